package tokenize

import (
	"strings"
	"unicode"
	"unicode/utf8"
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
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		b.WriteByte(byte(r))
		return
	}
	b.WriteString(lowered(r))
}

// lowered is the lower case of one character, which may be several.
func lowered(r rune) string {
	if r >= utf8.RuneSelf {
		if !unicode.Is(lowerTable, r) {
			return string(r)
		}
		if s, ok := lowerExtra[r]; ok {
			return s
		}
	}
	return string(unicode.ToLower(r))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
