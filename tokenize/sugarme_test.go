package tokenize

import (
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/model/bpe"
	sugarnormalizer "github.com/sugarme/tokenizer/normalizer"
	"github.com/sugarme/tokenizer/pretokenizer"
)

// The tests here hold sugarme/tokenizer against what the reference gives, and ours beside it. Each fails when a newer
// version of sugarme has the right answer: then the part that stands in for it can go (docs/tokenizers.md).

// sugarBPE is sugarme's own model of testdata/bpe, with the cache that it can't do without.
func sugarBPE(t *testing.T) (*bpe.BPE, *bpeModel) {
	t.Helper()
	ours := load(t, "testdata/bpe").model.(*bpeModel)
	builder := bpe.NewBpeBuilder()
	builder.VocabAndMerges(*ours.Vocab, *ours.Merges)
	theirs, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return theirs, ours
}

func idsOf(tokens []tokenizer.Token) (ids []int32) {
	for _, token := range tokens {
		ids = append(ids, int32(token.Id))
	}
	return ids
}

// TestSugarmeTies: merges of equal rank go from left to right.
func TestSugarmeTies(t *testing.T) {
	theirs, ours := sugarBPE(t)
	wrong := 0
	for _, c := range readExpected(t)["bpe"].Texts {
		if strings.ContainsAny(c.Text, " <\n\t\r") {
			continue // one pre-token each
		}
		words := pieces(t, splitScanned(byteLevelMatch), c.Text)
		if len(words) != 1 {
			continue
		}
		if got := ours.appendIDs(nil, toByteAlphabet(c.Text)); !slices.Equal(got, c.Plain) {
			t.Errorf("%q: %v, want %v", c.Text, got, c.Plain)
		}
		tokens, err := theirs.Tokenize(toByteAlphabet(c.Text))
		if err != nil || !slices.Equal(idsOf(tokens), c.Plain) {
			wrong++
		}
	}
	if wrong == 0 {
		t.Error("sugarme's BPE gives the reference's ids; ours could go")
	}
}

// TestSugarmeCacheless: a BPE model without a cache works.
func TestSugarmeCacheless(t *testing.T) {
	ours := load(t, "testdata/bpe").model.(*bpeModel)
	if ids := ours.appendIDs(nil, "aaa"); len(ids) == 0 {
		t.Error("no ids")
	}
	panicked := func() (is bool) {
		defer func() { is = recover() != nil }()
		_, _ = ours.BPE.Tokenize("aaa")
		return false
	}()
	if !panicked {
		t.Error("sugarme's BPE without a cache no longer panics")
	}
}

// TestSugarmeOffsets: WordPiece's offsets are in bytes, like those of the other models.
func TestSugarmeOffsets(t *testing.T) {
	ours := load(t, "testdata/wordpiece").model.(*wordPieceModel)
	const word = "müller"
	tokens, err := ours.Tokenize(word)
	if err != nil || tokens[len(tokens)-1].Offsets[1] != len(word) {
		t.Errorf("ours ends at %v, want %d; %v", tokens[len(tokens)-1].Offsets, len(word), err)
	}
	theirs, err := ours.WordPiece.Tokenize(word)
	if err == nil && theirs[len(theirs)-1].Offsets[1] == len(word) {
		t.Error("sugarme's WordPiece has byte offsets now")
	}
}

// TestSugarmeWhiteSpace: NBSP, U+2028 and U+3000 separate words.
func TestSugarmeWhiteSpace(t *testing.T) {
	const text = "a\u00a0b\u2028c\u3000d"
	if got := pieces(t, splitBert, text); len(got) != 4 {
		t.Errorf("ours cuts %q", got)
	}
	p, err := pretokenizer.NewBertPreTokenizer().PreTokenize(tokenizer.NewPreTokenizedString(text))
	if err == nil && len(p.GetSplits(0, 0)) == 4 {
		t.Error("sugarme's BertPreTokenizer cuts there now")
	}
}

// TestSugarmeAccents: accents go, also of what is in lower case only afterwards.
func TestSugarmeAccents(t *testing.T) {
	got, err := bertNormalizer(bertOptions{CleanText: true, HandleChineseChars: true, Lowercase: true}).normalized("Ångström")
	if err != nil || got != "angstrom" {
		t.Errorf("ours gives %q, %v", got, err)
	}
	n, err := sugarnormalizer.NewBertNormalizer(true, true, true, true).Normalize(sugarnormalizer.NewNormalizedFrom("Ångström"))
	if err == nil && n.GetNormalized() == "angstrom" {
		t.Error("sugarme's BertNormalizer strips accents now")
	}
}

// TestSugarmeByteDecoder: a token outside the byte alphabet, as added tokens are, stands for itself.
func TestSugarmeByteDecoder(t *testing.T) {
	var out strings.Builder
	s := decoder{byteLevelStage}.open(&out)
	for _, token := range []string{"a", "中"} {
		s.text(token)
		s.end()
	}
	s.close()
	if out.String() != "a中" {
		t.Errorf("ours gives %q", out.String())
	}
	if pretokenizer.NewByteLevel().Decode([]string{"a", "中"}) == "a中" {
		t.Error("sugarme's ByteLevel decoder leaves it alone now")
	}
}

// TestSugarmeSpecials: special tokens inside text are found with ByteLevel.
func TestSugarmeSpecials(t *testing.T) {
	const text = "a<|endoftext|>b"
	theirs, _ := sugarBPE(t)
	tok := load(t, "testdata/bpe")
	want := mustEncode(t, tok, text) // the reference's: TestReferenceTexts
	tk := tokenizer.NewTokenizer(theirs)
	split := pretokenizer.NewByteLevel()
	split.SetAddPrefixSpace(false)
	tk.WithPreTokenizer(split)
	tk.AddSpecialTokens([]tokenizer.AddedToken{tokenizer.NewAddedToken("<|endoftext|>", true)})
	e, err := tk.EncodeSingle(text)
	if err != nil {
		return
	}
	var got []int32
	for _, id := range e.Ids {
		got = append(got, int32(id))
	}
	t.Logf("sugarme gives %v, want %v", got, want)
	if slices.Equal(got, want) {
		t.Error("sugarme finds special tokens beside ByteLevel now")
	}
}
