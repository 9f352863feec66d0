package metrics

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// lower is Python's str.lower: the full mapping of Unicode, the final sigma included.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return cases.Lower(language.Und).String(s) // a Caser has state: one for each call
		}
	}
	return strings.ToLower(s)
}

// isSpace says what Python's str.split and \s take for white space: unlike unicode.IsSpace also the four separators of
// files, groups, records and units.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// fields is Python's str.split().
func fields(s string) []string { return strings.FieldsFunc(s, isSpace) }

// isWord says what \w matches in a Python pattern.
func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }
