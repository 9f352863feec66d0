package tokenize

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"
)

// expectedPart is an encoding of the reference; offsets are start and end in turn.
type expectedPart struct {
	IDs     []int32
	TypeIDs []int32 `json:"type_ids"`
	Offsets []int
}

// expectedKind is what the reference makes of testdata/gen/fixtures.py's texts.
type expectedKind struct {
	Texts []struct {
		Text string
		expectedPart
		Words            []int32
		Decoded, Skipped *string // null where the reference panics
	}
	Options []struct {
		expectedPart
		MaxLength      int `json:"max_length"`
		Strategy       Truncation
		Stride         int
		Side           string
		Overflow       []expectedPart
		Single         expectedPart
		SingleOverflow []expectedPart `json:"single_overflow"`
	}
}

var expectedPair = Text{First: "The Golden Lantern is a quiet pub", Second: "near the river, and it serves good food", Pair: true}

func readKinds(t testing.TB) map[string]expectedKind {
	t.Helper()
	data, err := os.ReadFile("testdata/kinds/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]expectedKind
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 23 {
		t.Fatalf("expected.json holds %d tokenizers, want at least 23", len(all))
	}
	return all
}

func flatSpans(spans []Span) []int {
	var out []int
	for _, s := range spans {
		out = append(out, s.Start, s.End)
	}
	return out
}

// TestKinds compares ids, offsets, words and decoded texts of every kind of tokenizer with the reference's.
func TestKinds(t *testing.T) {
	for name, want := range readKinds(t) {
		t.Run(name, func(t *testing.T) {
			tok := load(t, filepath.Join("testdata", "kinds", name))
			for _, c := range want.Texts {
				if got := mustEncode(t, tok, c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%+q) = %v, want %v", c.Text, got, c.IDs)
				}
				d, err := tok.EncodeDetailed(Text{First: c.Text}, EncodeOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(d.IDs, c.IDs) || !slices.Equal(flatSpans(d.Runes), c.Offsets) || !slices.Equal(d.Words, c.Words) {
					t.Errorf("EncodeDetailed(%+q):\nids %v want %v\noffsets %v want %v\nwords %v want %v", c.Text, d.IDs, c.IDs, flatSpans(d.Runes), c.Offsets, d.Words, c.Words)
				}
				checkSpans(t, c.Text, d)
				if c.Decoded != nil {
					ids := c.IDs
					if got := tok.Decode(ids, false); got != *c.Decoded {
						t.Errorf("Decode of %+q = %+q, want %+q", c.Text, got, *c.Decoded)
					}
					checkStream(t, tok, ids, false)
				}
				if c.Skipped != nil {
					if got := tok.Decode(c.IDs, true); got != *c.Skipped {
						t.Errorf("Decode without special tokens of %+q = %+q, want %+q", c.Text, got, *c.Skipped)
					}
					checkStream(t, tok, c.IDs, true)
				}
			}
		})
	}
}

// checkSpans holds a token's bytes against its characters.
func checkSpans(t testing.TB, text string, d *Detailed) {
	t.Helper()
	for i, b := range d.Bytes {
		if b.Start < 0 || b.End > len(text) || b.End < b.Start {
			continue // the reference's own numbers, beyond the text
		}
		want := Span{utf8.RuneCountInString(text[:b.Start]), utf8.RuneCountInString(text[:b.End])}
		if d.Runes[i].End <= utf8.RuneCountInString(text) && want != d.Runes[i] {
			t.Errorf("%+q: token %d has bytes %v, which are characters %v, but characters %v", text, i, b, want, d.Runes[i])
		}
	}
}

func checkPart(t *testing.T, what string, d *Detailed, want expectedPart) {
	t.Helper()
	if !slices.Equal(d.IDs, want.IDs) || !slices.Equal(d.TypeIDs, want.TypeIDs) || !slices.Equal(flatSpans(d.Runes), want.Offsets) {
		t.Errorf("%s:\nids %v want %v\ntypes %v want %v\noffsets %v want %v", what, d.IDs, want.IDs, d.TypeIDs, want.TypeIDs, flatSpans(d.Runes), want.Offsets)
	}
}

// TestTruncationOptions compares every strategy, stride and side, and what overflows.
func TestTruncationOptions(t *testing.T) {
	for name, want := range readKinds(t) {
		tok := load(t, filepath.Join("testdata", "kinds", name))
		for _, c := range want.Options {
			o := EncodeOptions{MaxLength: c.MaxLength, Truncation: c.Strategy, Stride: c.Stride, TruncateLeft: c.Side == "left"}
			for what, run := range map[string]struct {
				text     Text
				part     expectedPart
				overflow []expectedPart
			}{"pair": {expectedPair, c.expectedPart, c.Overflow}, "single": {Text{First: expectedPair.First}, c.Single, c.SingleOverflow}} {
				what = name + " " + what + " " + string(c.Strategy) + " " + c.Side
				d, err := tok.EncodeDetailed(run.text, o)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				checkPart(t, what, d, run.part)
				if len(d.Overflow) != len(run.overflow) {
					t.Errorf("%s: %d pieces overflow, want %d", what, len(d.Overflow), len(run.overflow))
					continue
				}
				for i, o := range d.Overflow {
					checkPart(t, what+" overflow", o, run.overflow[i])
				}
			}
		}
	}
}

func TestPadding(t *testing.T) {
	tok := load(t, "testdata/wordpiece")
	texts := []Text{{First: "the river"}, {First: "a", Second: "b", Pair: true}, {First: ""}}
	for name, c := range map[string]struct {
		o     EncodeOptions
		sizes [3]int
	}{
		"none":             {EncodeOptions{}, [3]int{4, 5, 2}},
		"longest":          {EncodeOptions{PadLongest: true}, [3]int{5, 5, 5}},
		"longest multiple": {EncodeOptions{PadLongest: true, PadMultiple: 4, PadLeft: true}, [3]int{8, 8, 8}},
		"to a length":      {EncodeOptions{PadTo: 3}, [3]int{4, 5, 3}},
		"a multiple alone": {EncodeOptions{PadMultiple: 3}, [3]int{6, 6, 3}},
		"truncated":        {EncodeOptions{MaxLength: 4, PadTo: 4, NoSpecialTokens: true}, [3]int{4, 4, 4}},
	} {
		batch, err := tok.EncodeDetailedBatch(context.Background(), texts, c.o, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range batch {
			if d.Len() != c.sizes[i] {
				t.Errorf("%s: text %d has %d tokens, want %d", name, i, d.Len(), c.sizes[i])
			}
			plain, err := tok.EncodeDetailed(texts[i], EncodeOptions{MaxLength: c.o.MaxLength, NoSpecialTokens: c.o.NoSpecialTokens})
			if err != nil {
				t.Fatal(err)
			}
			from := 0
			if c.o.PadLeft {
				from = d.Len() - plain.Len()
			}
			for j := range d.Len() {
				real := j >= from && j < from+plain.Len()
				if real != (d.AttentionMask[j] == 1) || !real && (d.IDs[j] != tok.PadID() || !d.Special[j] || d.Tokens[j] != "[PAD]" || d.Words[j] != -1) {
					t.Errorf("%s: text %d token %d: id %d, mask %d", name, i, j, d.IDs[j], d.AttentionMask[j])
				}
				if real && d.IDs[j] != plain.IDs[j-from] {
					t.Errorf("%s: text %d token %d: id %d, want %d", name, i, j, d.IDs[j], plain.IDs[j-from])
				}
			}
		}
	}
}

func TestDetailedErrors(t *testing.T) {
	tok := load(t, "testdata/wordpiece")
	pair := expectedPair
	for name, c := range map[string]struct {
		text Text
		o    EncodeOptions
	}{
		"not UTF-8":               {Text{First: "\xff"}, EncodeOptions{}},
		"second not UTF-8":        {Text{Second: "\xff", Pair: true}, EncodeOptions{}},
		"negative length":         {pair, EncodeOptions{MaxLength: -1}},
		"unknown strategy":        {pair, EncodeOptions{MaxLength: 9, Truncation: "shortest"}},
		"stride without a length": {pair, EncodeOptions{Stride: 2}},
		"stride too long":         {pair, EncodeOptions{MaxLength: 5, Stride: 3}},
		"no room for specials":    {pair, EncodeOptions{MaxLength: 2}},
		"no second text":          {Text{First: pair.First}, EncodeOptions{MaxLength: 4, Truncation: OnlySecond}},
		"no room left":            {pair, EncodeOptions{MaxLength: 6, Truncation: OnlyFirst}},
	} {
		if _, err := tok.EncodeDetailed(c.text, c.o); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := tok.EncodeDetailedBatch(context.Background(), []Text{c.text}, c.o, 0); err == nil {
			t.Errorf("%s: no error of the batch", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tok.EncodeDetailedBatch(ctx, []Text{pair}, EncodeOptions{}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestChatTemplate(t *testing.T) {
	if got := load(t, "testdata/kinds/dir-llama-new").ChatTemplate(); got != "{{ bos_token }}" {
		t.Errorf("ChatTemplate = %q", got)
	}
	words := fixture(t, "wordpiece-vocab", "vocab.txt")
	for want, files := range map[string]map[string]string{
		"":  {},
		"a": {"tokenizer_config.json": `{"chat_template": [{"name": "tool", "template": "b"}, {"name": "default", "template": "a"}]}`},
		"c": {"tokenizer_config.json": `{"chat_template": "b"}`, "chat_template.jinja": "c"},
	} {
		files["vocab.txt"] = words
		if got := load(t, write(t, files)).ChatTemplate(); got != want {
			t.Errorf("ChatTemplate = %q, want %q", got, want)
		}
	}
}

// TestCLIPSpecials: the special tokens of CLIP's class are looked for in the normalized text, so in any case, and not
// where a character behind changes their last one (> with U+0338 is one character).
func TestCLIPSpecials(t *testing.T) {
	tok := load(t, "testdata/kinds/dir-clip")
	for text, want := range map[string][]int32{
		"a<|ENDOFTEXT|>b":            {0, 276, 1, 273, 1},
		"x<|endoftext|>\u0338y":      {0, 1, 29, 270, 297, 69, 80, 71, 85, 70, 89, 266, 93, 160, 233, 1, 277, 1},
		"<|startoftext|>\u0301 <|S>": {0, 0, 138, 1, 29, 270, 269, 1, 1},
	} {
		if got := mustEncode(t, tok, text); !slices.Equal(got, want) {
			t.Errorf("%+q: %v, want %v", text, got, want)
		}
	}
}
