package tokenize

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// unsupportedPatterns are those of testdata/regexes.json that the reference takes and we refuse, with why.
var unsupportedPatterns = map[string]string{
	`a{2,1}`:      "an interval whose end comes first is possessive",
	`\K`:          "it moves the start of the match",
	`(a)\1`:       "back references",
	`(?i)ss`:      "one character matches two",
	`(?i:ß)`:      "one character matches two",
	`\Gab`:        "it refers to the search",
	`\X`:          "grapheme clusters",
	`(?~a)`:       "absent operator",
	`(?<name>a)b`: "named groups",
}

// TestRegexAgainstReference compares the matches of many patterns with those of the reference.
func TestRegexAgainstReference(t *testing.T) {
	data, err := os.ReadFile("testdata/regexes.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Texts    []string
		Patterns []struct {
			Pattern string
			Matches [][]int // start and end of each, in characters; null where the reference refuses the pattern
		}
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	for _, c := range expected.Patterns {
		p, err := newRegexPattern(c.Pattern)
		if c.Matches == nil {
			continue // no file has it
		}
		if why, known := unsupportedPatterns[c.Pattern]; known {
			if err == nil {
				t.Errorf("%s: no error, though %s", c.Pattern, why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Pattern, err)
			continue
		}
		for i, text := range expected.Texts {
			found, err := p.findAll(text)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, m := range found {
				if m.start < m.end { // empty pieces are left out
					got = append(got, utf8.RuneCountInString(text[:m.start]), utf8.RuneCountInString(text[:m.end]))
				}
			}
			if !slices.Equal(got, c.Matches[i]) {
				t.Errorf("%s in %+q: %v, want %v", c.Pattern, text, got, c.Matches[i])
			}
		}
	}
}

// nastyText draws text in which patterns turn: blanks, breaks, quotes, letters of all kinds, digits.
func nastyText(t *rapid.T) string {
	pieces := []string{" ", "  ", "\n", "\r", "\r\n", "\t", "\u00a0", "\u2028", "\u3000", "'", "'s", "'S", "'ſ", "'ll", "'lL", "'re", "'VE", "'d", "''",
		"a", "Ab", "é", "e\u0301", "中", "ß", "1", "23", "4567", "٣", "½", "Ⅷ", "!", "?!", "...", "_", "-", "$", "😀", "\u200d", "\x00", "\ufffd", "ſ", "K", "\u0378"}
	piece := rapid.OneOf(rapid.SampledFrom(pieces), rapid.SampledFrom(pieces), rapid.StringN(1, 1, -1))
	return strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
}

// TestScannersEqualPatterns: the scanners of well-known patterns cut where the patterns do, and match everything.
func TestScannersEqualPatterns(t *testing.T) {
	for source, scan := range knownPatterns {
		p, err := newRegexPattern(source)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			text := nastyText(t)
			found, err := p.findAll(text)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for _, m := range found {
				if m.start != at || m.start == m.end {
					t.Fatalf("%s leaves a gap at %d of %+q", source, at, text)
				}
				if n := scan(text[at:]); at+n != m.end {
					t.Fatalf("%s: %+q at %d: the scanner takes %d bytes, the pattern %d", source, text, at, n, m.end-m.start)
				}
				at = m.end
			}
			if at != len(text) {
				t.Fatalf("%s leaves the end of %+q", source, text)
			}
		})
	}
}

// TestFormsAgree: the two ways to normalize give the same text.
func TestFormsAgree(t *testing.T) {
	marks := rapid.SampledFrom([]string{"\u0301", "\u0327", "\u0345", "\u0334", "\u0344", "\u1161", "\u11a8", "가", "각", "\u0958", "ﬁ", "Å", "a", "é", "\u0f71\u0f72", "\u3099", "か", "\U00011935", "\U00011930", "\u034f"})
	for _, name := range []string{"NFC", "NFD", "NFKC", "NFKD"} {
		rapid.Check(t, func(t *rapid.T) {
			text := strings.Join(rapid.SliceOfN(rapid.OneOf(marks, marks, rapid.StringN(1, 1, -1)), 0, 40).Draw(t, "text"), "")
			want, err := plainNormalizers[name].normalized(text)
			if err != nil {
				t.Fatal(err)
			}
			a := aligned{text: text, tracked: true}
			if err := plainNormalizers[name](&a); err != nil {
				t.Fatal(err)
			}
			if a.text != want {
				t.Fatalf("%s of %+q: tracked %+q, untracked %+q", name, text, a.text, want)
			}
		})
	}
}

// TestLongRunsOfMarks: more combining characters than Go's normalizer takes in one go come through without a joiner.
func TestLongRunsOfMarks(t *testing.T) {
	text := "e" + strings.Repeat("\u0301", 40)
	got, err := plainNormalizers["NFC"].normalized(text)
	if want := "é" + strings.Repeat("\u0301", 39); err != nil || got != want {
		t.Errorf("%+q, %v", got, err)
	}
}

// TestTrackedEqualsUntracked: offsets do not change ids.
func TestTrackedEqualsUntracked(t *testing.T) {
	for name := range readKinds(t) {
		tok := load(t, "testdata/kinds/"+name)
		rapid.Check(t, func(t *rapid.T) {
			text := nastyText(t)
			ids, err := tok.Encode(text)
			if err != nil {
				t.Fatal(err)
			}
			d, err := tok.EncodeDetailed(Text{First: text}, EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(ids, d.IDs) {
				t.Fatalf("%s: %+q: %v, with offsets %v", name, text, ids, d.IDs)
			}
		})
	}
}
