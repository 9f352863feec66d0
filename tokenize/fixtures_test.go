package tokenize

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// expectedTokenizer is what the reference makes of testdata/generate.py's strings.
type expectedTokenizer struct {
	VocabSize int `json:"vocab_size"`
	Texts     []struct {
		Text             string
		IDs, Plain       []int32
		Decoded, Skipped string
	}
	Pairs []struct {
		A, B      string
		IDs       []int32
		TypeIDs   []int32 `json:"type_ids"`
		Truncated []struct {
			Limit   int
			IDs     []int32
			TypeIDs []int32 `json:"type_ids"`
			Single  []int32
		}
	}
}

func readExpected(t testing.TB) map[string]expectedTokenizer {
	t.Helper()
	data, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]expectedTokenizer
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("expected.json holds %d tokenizers, want at least 10", len(all))
	}
	return all
}

func load(t testing.TB, path string) *Tokenizer {
	t.Helper()
	tok, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func mustEncode(t testing.TB, tok *Tokenizer, text string) []int32 {
	t.Helper()
	ids, err := tok.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestReferenceTexts compares ids and decoded texts of every tokenizer in testdata with the reference's.
func TestReferenceTexts(t *testing.T) {
	for name, want := range readExpected(t) {
		t.Run(name, func(t *testing.T) {
			tok := load(t, filepath.Join("testdata", name))
			if tok.VocabSize() != want.VocabSize {
				t.Errorf("VocabSize = %d, want %d", tok.VocabSize(), want.VocabSize)
			}
			for _, c := range want.Texts {
				if got := mustEncode(t, tok, c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%+q) = %v, want %v", c.Text, got, c.IDs)
				}
				plain, err := tok.EncodePlain(c.Text)
				if err != nil || !slices.Equal(plain, c.Plain) {
					t.Errorf("EncodePlain(%+q) = %v, %v, want %v", c.Text, plain, err, c.Plain)
				}
				if got := tok.Decode(c.IDs, false); got != c.Decoded {
					t.Errorf("Decode of %+q = %+q, want %+q", c.Text, got, c.Decoded)
				}
				if got := tok.Decode(c.IDs, true); got != c.Skipped {
					t.Errorf("Decode without special tokens of %+q = %+q, want %+q", c.Text, got, c.Skipped)
				}
			}
		})
	}
}

// TestReferencePairs compares pairs, and their truncation, with the reference's.
func TestReferencePairs(t *testing.T) {
	for name, want := range readExpected(t) {
		t.Run(name, func(t *testing.T) {
			tok := load(t, filepath.Join("testdata", name))
			for _, c := range want.Pairs {
				got, err := tok.EncodePair(c.A, c.B)
				if err != nil || !slices.Equal(got.IDs, c.IDs) || !slices.Equal(got.TypeIDs, c.TypeIDs) {
					t.Errorf("EncodePair(%q, %q) = %v, %v, want %v %v", c.A, c.B, got, err, c.IDs, c.TypeIDs)
				}
				for _, cut := range c.Truncated {
					got, err := tok.EncodePairTruncated(c.A, c.B, cut.Limit)
					if err != nil || !slices.Equal(got.IDs, cut.IDs) || !slices.Equal(got.TypeIDs, cut.TypeIDs) {
						t.Errorf("EncodePairTruncated(%q, %q, %d) = %v, %v, want %v %v", c.A, c.B, cut.Limit, got, err, cut.IDs, cut.TypeIDs)
					}
					single, err := tok.EncodeTruncated(c.A, cut.Limit)
					if err != nil || !slices.Equal(single.IDs, cut.Single) {
						t.Errorf("EncodeTruncated(%q, %d) = %v, %v, want %v", c.A, cut.Limit, single, err, cut.Single)
					}
				}
			}
		})
	}
}

// TestSugarmeModelAgrees shows that the corrected models, used through sugarme's interface, give the same tokens, with
// offsets that cut the word into them.
func TestSugarmeModelAgrees(t *testing.T) {
	for _, name := range []string{"bpe", "bpe-options", "bpe-whole", "wordpiece"} {
		tok := load(t, filepath.Join("testdata", name))
		for _, c := range readExpected(t)[name].Texts {
			for _, word := range pieces(t, tok.split, c.Text) {
				if tok.byteLevel {
					word = toByteAlphabet(word)
				}
				tokens, err := tok.model.Tokenize(word)
				if err != nil {
					t.Fatal(err)
				}
				var ids []int32
				at := 0
				for _, token := range tokens {
					ids = append(ids, int32(token.Id))
					if token.Offsets[0] != at || token.Offsets[1] <= at || token.Offsets[1] > len(word) {
						t.Errorf("%s: %+q: offsets %v do not follow %d", name, word, token.Offsets, at)
					}
					at = token.Offsets[1]
				}
				if want := tok.model.appendIDs(nil, word); !slices.Equal(ids, want) {
					t.Errorf("%s: %+q: Tokenize gives %v, appendIDs %v", name, word, ids, want)
				}
			}
		}
	}
}

func TestSpecials(t *testing.T) {
	none := int32(-1)
	for name, want := range map[string]SpecialIDs{
		"bpe":              {BOS: 0, EOS: 0, PAD: none, MASK: none, CLS: none, SEP: none, UNK: 0},
		"bpe-vocab":        {BOS: 0, EOS: 0, PAD: none, MASK: none, CLS: none, SEP: none, UNK: 0},
		"bpe-roberta":      {BOS: 0, EOS: 2, PAD: 1, MASK: 400, CLS: 0, SEP: 2, UNK: 3},
		"roberta-vocab":    {BOS: 0, EOS: 2, PAD: 1, MASK: 4, CLS: 0, SEP: 2, UNK: 3},
		"wordpiece":        {BOS: none, EOS: none, PAD: 0, MASK: 4, CLS: 2, SEP: 3, UNK: 1},
		"wordpiece-vocab":  {BOS: none, EOS: none, PAD: 0, MASK: 4, CLS: 2, SEP: 3, UNK: 1},
		"wordpiece-config": {BOS: none, EOS: none, PAD: 0, MASK: 4, CLS: 2, SEP: 3, UNK: 1},
	} {
		tok := load(t, filepath.Join("testdata", name))
		if got := tok.Specials(); got != want {
			t.Errorf("%s: Specials = %+v, want %+v", name, got, want)
		}
	}
}
