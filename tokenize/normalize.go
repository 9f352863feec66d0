package tokenize

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is cut into words. Text is valid UTF-8, in and out.
type normalizer func(text string) string

// The normalizers that need no options, by their name in tokenizer.json.
var plainNormalizers = map[string]normalizer{
	"NFC":          func(s string) string { return normalizeForm(norm.NFC, s) },
	"NFD":          func(s string) string { return normalizeForm(norm.NFD, s) },
	"NFKC":         func(s string) string { return normalizeForm(norm.NFKC, s) },
	"NFKD":         func(s string) string { return normalizeForm(norm.NFKD, s) },
	"Lowercase":    lowerString,
	"StripAccents": func(s string) string { return without(s, markTable) },
}

// sequenceNormalizer applies its members in order.
func sequenceNormalizer(members []normalizer) normalizer {
	return func(s string) string {
		for _, n := range members {
			s = n(s)
		}
		return s
	}
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
	return func(s string) string {
		if o.CleanText || o.HandleChineseChars {
			s = bertClean(s, o.CleanText, o.HandleChineseChars)
		}
		if strip {
			s = without(normalizeForm(norm.NFD, s), nonspacingTable)
		}
		if o.Lowercase {
			s = lowerString(s)
		}
		return s
	}
}

// bertClean removes control characters, turns white space into blanks and puts blanks around CJK ideographs.
func bertClean(s string, clean, cjk bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case clean && bertRemoved(r):
		case clean && isSpace(r):
			b.WriteByte(' ')
		case cjk && isCJK(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
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
