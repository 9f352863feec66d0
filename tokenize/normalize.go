package tokenize

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is cut into words. Text is valid UTF-8, in and out. Only a regular expression that
// takes too long is an error.
type normalizer func(a *aligned) error

// The normalizers that need no options, by their name in tokenizer.json.
var plainNormalizers = map[string]normalizer{
	"NFC":          formNormalizer(norm.NFC),
	"NFD":          formNormalizer(norm.NFD),
	"NFKC":         formNormalizer(norm.NFKC),
	"NFKD":         formNormalizer(norm.NFKD),
	"Lowercase":    sure(lower),
	"StripAccents": sure(func(a *aligned) { without(a, markTable) }),
	"Nmt":          sure(nmt),
	"ByteLevel":    sure(func(a *aligned) { a.toBytes() }),
}

// sure is a normalizer that can't fail.
func sure(f func(a *aligned)) normalizer {
	return func(a *aligned) error { f(a); return nil }
}

// sequenceNormalizer applies its members in order.
func sequenceNormalizer(members []normalizer) normalizer {
	return func(a *aligned) error {
		before := len(a.text)
		for _, n := range members {
			if err := n(a); err != nil {
				return err
			}
			if err := checkGrowth(before, len(a.text)); err != nil {
				return err
			}
		}
		return nil
	}
}

// Limits against files whose parts make ever more text of a text: no part may insert more than maxInserted bytes at
// a place, and several together make at most growthFactor times the text, and growthRoom more.
const (
	maxInserted  = 1024
	growthFactor = 64
	growthRoom   = 1 << 20
)

func checkGrowth(before, after int) error {
	if after > growthFactor*before+growthRoom {
		return fmt.Errorf("the text grows from %d to %d bytes", before, after)
	}
	return nil
}

func checkInserted(of, s string) error {
	if len(s) > maxInserted {
		return fmt.Errorf("%s inserts %d bytes; the limit is %d", of, len(s), maxInserted)
	}
	return nil
}

// normalized is a whole text's normalized form.
func (n normalizer) normalized(text string) (string, error) {
	if n == nil {
		return text, nil
	}
	a := aligned{text: text}
	err := n(&a)
	return a.text, err
}

// lower lower-cases rune by rune, without regard to context (no final sigma), as the reference does.
func lower(a *aligned) {
	if !a.tracked {
		a.text = lowerString(a.text)
		return
	}
	edits := make([]charEdit, 0, len(a.text))
	for _, r := range a.text {
		change := 0
		for _, l := range lowered(r) {
			edits = append(edits, charEdit{r: l, change: change})
			change = 1
		}
	}
	a.transform(edits, 0)
}

// bertOptions are the options of BertNormalizer. StripAccents nil follows Lowercase.
type bertOptions struct {
	CleanText          bool  `json:"clean_text"`
	HandleChineseChars bool  `json:"handle_chinese_chars"`
	StripAccents       *bool `json:"strip_accents"`
	Lowercase          bool  `json:"lowercase"`
}

// bertNormalizer cleans, separates CJK ideographs, strips accents and lower-cases, in this order.
func bertNormalizer(o bertOptions) normalizer {
	strip := o.Lowercase
	if o.StripAccents != nil {
		strip = *o.StripAccents
	}
	nfd := formNormalizer(norm.NFD)
	return func(a *aligned) error {
		if o.CleanText {
			a.filter(func(r rune) bool { return !bertRemoved(r) })
			a.mapRunes(blankSpace)
		}
		if o.HandleChineseChars {
			separateCJK(a)
		}
		if strip {
			if err := nfd(a); err != nil {
				return err
			}
			without(a, nonspacingTable)
		}
		if o.Lowercase {
			lower(a)
		}
		return nil
	}
}

func blankSpace(r rune) rune {
	if isSpace(r) {
		return ' '
	}
	return r
}

// separateCJK puts blanks around ideographs.
func separateCJK(a *aligned) {
	if strings.IndexFunc(a.text, isCJK) < 0 {
		return
	}
	edits := make([]charEdit, 0, len(a.text))
	for _, r := range a.text {
		if isCJK(r) {
			edits = append(edits, charEdit{r: ' '}, charEdit{r: r, change: 1}, charEdit{r: ' ', change: 1})
		} else {
			edits = append(edits, charEdit{r: r})
		}
	}
	a.transform(edits, 0)
}

func bertRemoved(r rune) bool {
	if ' ' <= r && r < 0x7F {
		return false
	}
	return unicode.Is(bertRemovedTable, r)
}

func isBertPunct(r rune) bool {
	if r < utf8.RuneSelf {
		return '!' <= r && r <= '/' || ':' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
	}
	return unicode.Is(bertPunctTable, r)
}

// without removes the characters of a table that has none below 128.
func without(a *aligned, table *unicode.RangeTable) {
	if !isASCII(a.text) {
		a.filter(func(r rune) bool { return r < utf8.RuneSelf || !unicode.Is(table, r) })
	}
}

// nmt is sentencepiece's cleaning of control characters and unusual blanks.
func nmt(a *aligned) {
	a.filter(func(r rune) bool {
		switch {
		case 0x01 <= r && r <= 0x08, 0x0E <= r && r <= 0x1F, r == 0x0B, r == 0x7F, r == 0x8F, r == 0x9F:
			return false
		}
		return true
	})
	a.mapRunes(func(r rune) rune {
		switch r {
		case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
			return ' '
		}
		return r
	})
}
