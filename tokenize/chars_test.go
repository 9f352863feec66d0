package tokenize

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestByteLevelPattern spells out the pattern's alternatives, look-ahead included.
func TestByteLevelPattern(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ", []string{" "}},
		{"Hello world", []string{"Hello", " world"}},
		{"a  b", []string{"a", " ", " b"}},
		{"a   ", []string{"a", "   "}},
		{"a\n\nb", []string{"a", "\n", "\n", "b"}},
		{" \tb", []string{" ", "\t", "b"}},
		{"\t b", []string{"\t", " b"}},
		{"a\u00a0\u00a0b", []string{"a", "\u00a0", "\u00a0", "b"}},
		{"they're DON'T 's", []string{"they", "'re", " DON", "'", "T", " '", "s"}},
		{"x12.5!!", []string{"x", "12", ".", "5", "!!"}},
		{"don't''s", []string{"don", "'t", "''", "s"}},
	} {
		got := pieces(t, splitScanned(byteLevelMatch), c.text)
		if strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// pieces are the texts that a splitter cuts.
func pieces(t interface{ Fatal(...any) }, split splitter, text string) (out []string) {
	cut, err := split(nil, aligned{text: text})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cut {
		if p.text != "" {
			out = append(out, p.text)
		}
	}
	return out
}

// TestSplitters: the byte-level pattern loses nothing, the BERT one only white space, and no piece is empty.
func TestSplitters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		for name, split := range map[string]splitter{"byte-level": splitScanned(byteLevelMatch), "bert": splitBert} {
			cut := pieces(t, split, text)
			for _, p := range cut {
				if p == "" {
					t.Fatalf("%s: an empty piece", name)
				}
			}
			want := text
			if name == "bert" {
				want = strings.Join(strings.FieldsFunc(text, isSpace), "")
			}
			if got := strings.Join(cut, ""); got != want {
				t.Fatalf("%s: pieces of %+q join to %+q", name, text, got)
			}
		}
	})
}

// TestClassesAgainstGo: the frozen tables may differ from Go's only in characters of other Unicode versions; a table
// that was generated wrong differs in hundreds of thousands.
func TestClassesAgainstGo(t *testing.T) {
	different := 0
	for r := range rune(unicode.MaxRune + 1) {
		if !utf8.ValidRune(r) {
			continue
		}
		class := classOther
		switch {
		case unicode.IsLetter(r):
			class = classLetter
		case unicode.Is(unicode.N, r):
			class = classNumber
		case unicode.IsSpace(r):
			class = classSpace
		}
		if class != classOf(r) {
			different++
			if r < 0x1c80 {
				t.Errorf("%U: class %d, Go says %d", r, classOf(r), class)
			}
		}
		if isBertPunct(r) != (unicode.IsPunct(r) || r < 128 && unicode.IsSymbol(r)) {
			different++
		}
	}
	if different > 20000 {
		t.Errorf("%d characters differ from Go's Unicode %s", different, unicode.Version)
	}
}

func TestNormalizers(t *testing.T) {
	no := false
	uncased := bertNormalizer(bertOptions{CleanText: true, HandleChineseChars: true, Lowercase: true})
	keepAccents := bertNormalizer(bertOptions{CleanText: true, HandleChineseChars: true, Lowercase: true, StripAccents: &no})
	cased := bertNormalizer(bertOptions{CleanText: true, HandleChineseChars: true})
	for _, c := range []struct {
		name     string
		n        normalizer
		in, want string
	}{
		{"strip_accents null follows lowercase", uncased, "Ângström É", "angstrom e"},
		{"strip_accents false", keepAccents, "Ângström É", "ângström é"},
		{"cased keeps both", cased, "Ângström É", "Ângström É"},
		{"white space", cased, "a\u00a0b\u2028c\u3000d\u0085e\tf", "a b c d" + "e f"},
		{"control", cased, "a\x00b\ufffdc\u200bd\x07", "abcd"},
		{"ideographs", cased, "a中b", "a 中 b"},
		{"dotted I", uncased, "İ", "i"},
		{"dotted I keeps its dot", keepAccents, "İ", "i\u0307"},
		{"no final sigma", uncased, "ΣΑΣ", "σασ"},
		{"NFC", plainNormalizers["NFC"], "e\u0301", "é"},
		{"NFKC", plainNormalizers["NFKC"], "ﬁ", "fi"},
		{"after the reference's Unicode", plainNormalizers["NFC"], "\U00011935\U00011930", "\U00011935\U00011930"},
	} {
		if got, err := c.n.normalized(c.in); err != nil || got != c.want {
			t.Errorf("%s: %+q gives %+q, want %+q", c.name, c.in, got, c.want)
		}
	}
}

// TestLowerString: without exceptions lower-casing is Go's, rune by rune.
func TestLowerString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom(nil, unicode.Latin, unicode.Greek, unicode.Cyrillic)).Draw(t, "s")
		s = strings.Map(func(r rune) rune {
			if _, extra := lowerExtra[r]; extra {
				return -1
			}
			return r
		}, s)
		if got, want := lowerString(s), strings.Map(unicode.ToLower, s); got != want {
			t.Fatalf("%+q: %+q, want %+q", s, got, want)
		}
	})
}

// TestWordClass: \w is letters, marks, digits, connectors and joiners (UTS 18, annex C), up to Unicode versions.
func TestWordClass(t *testing.T) {
	different := 0
	for r := range rune(unicode.MaxRune + 1) {
		word := unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
		if utf8.ValidRune(r) && word != isWord(r) {
			different++
			if r < 0x800 {
				t.Errorf("%U: isWord is %v", r, isWord(r))
			}
		}
	}
	if different > 20000 {
		t.Errorf("%d characters differ from Go's Unicode %s", different, unicode.Version)
	}
}
