package tokenize

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// charClass is the part a character plays in the byte-level pattern of GPT-2.
type charClass uint8

const (
	classOther  charClass = iota // [^\s\p{L}\p{N}]
	classSpace                   // \s
	classLetter                  // \p{L}
	classNumber                  // \p{N}
)

// asciiClass is classOf for the first 128 characters, the bulk of all text.
var asciiClass = func() (t [utf8.RuneSelf]charClass) {
	for r := range rune(utf8.RuneSelf) {
		t[r] = classOfTables(r)
	}
	return t
}()

func classOf(r rune) charClass {
	if r < utf8.RuneSelf {
		return asciiClass[r]
	}
	return classOfTables(r)
}

func classOfTables(r rune) charClass {
	switch {
	case unicode.Is(letterTable, r):
		return classLetter
	case unicode.Is(numberTable, r):
		return classNumber
	case unicode.Is(spaceTable, r):
		return classSpace
	}
	return classOther
}

func isSpace(r rune) bool { return classOf(r) == classSpace }

// isWord is \w of the reference's regular expressions, which decides what a single_word added token may stand beside.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return unicode.Is(wordTable, r)
}

// isCJK is the reference's list of CJK ideograph blocks, gaps included.
func isCJK(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r <= 0x4DBF, 0x4E00 <= r && r <= 0x9FFF, 0xF900 <= r && r <= 0xFAFF:
		return true
	case 0x20000 <= r && r <= 0x2A6DF, 0x2A700 <= r && r <= 0x2B73F, 0x2B740 <= r && r <= 0x2B81F,
		0x2B920 <= r && r <= 0x2CEAF, 0x2F800 <= r && r <= 0x2FA1F:
		return true
	}
	return false
}

// lowerString lower-cases rune by rune, without regard to context (no final sigma), as the reference does.
func lowerString(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		writeLower(&b, r)
	}
	return b.String()
}

func writeLower(b *strings.Builder, r rune) {
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		b.WriteByte(byte(r))
	case !unicode.Is(lowerTable, r):
		b.WriteRune(r)
	default:
		if s, ok := lowerExtra[r]; ok {
			b.WriteString(s)
			return
		}
		b.WriteRune(unicode.ToLower(r))
	}
}

// normalizeForm applies a Unicode normalization form with the reference's data (Unicode 9 to 13) on Go's newer tables:
// a character that Go would change or reorder, and the reference leaves alone, passes through as a boundary.
func normalizeForm(f norm.Form, s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	start := 0
	for i, r := range s {
		if !unknownToReference(r) {
			continue
		}
		b.WriteString(f.String(s[start:i]))
		start = i + utf8.RuneLen(r)
		b.WriteString(s[i:start])
	}
	if start == 0 {
		return f.String(s)
	}
	b.WriteString(f.String(s[start:]))
	return b.String()
}

func unknownToReference(r rune) bool {
	if r < 0x300 {
		return false
	}
	// The second half of the one composition that came after the reference's data (U+11938).
	if r == 0x11930 {
		return true
	}
	p := norm.NFKD.PropertiesString(string(r))
	return (p.CCC() != 0 || p.Decomposition() != nil) && !unicode.Is(normActiveTable, r)
}

// without removes the characters of a table that has none below 128.
func without(s string, table *unicode.RangeTable) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && unicode.Is(table, r) {
			return -1
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
