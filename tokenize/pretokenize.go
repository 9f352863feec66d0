package tokenize

import (
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer/pretokenizer"
)

// splitter cuts text into pre-tokens, the words that the model sees one at a time, and appends them to dst.
type splitter func(dst []string, text string) []string

// splitByteLevel cuts by the pattern of GPT-2,
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// whose alternatives are tried from the left at every position. Nothing is removed: the pieces join to the text.
func splitByteLevel(dst []string, text string) []string {
	for len(text) > 0 {
		n := byteLevelMatch(text)
		dst = append(dst, text[:n])
		text = text[n:]
	}
	return dst
}

// byteLevelMatch is the length in bytes of the match at the start of text, which is not empty.
func byteLevelMatch(text string) int {
	if n := contraction(text); n > 0 {
		return n
	}
	r, size := utf8.DecodeRuneInString(text)
	lead := 0
	class := classOf(r)
	if r == ' ' {
		// ` ?` takes the blank only when a run of one class follows.
		lead = 1
		if r, size = utf8.DecodeRuneInString(text[1:]); size == 0 {
			return 1
		}
		class = classOf(r)
	}
	if class == classSpace {
		return spaceMatch(text)
	}
	return lead + size + runOf(text[lead+size:], class)
}

// runOf is the length of the run of characters of one class at the start of text.
func runOf(text string, class charClass) int {
	for i, r := range text {
		if classOf(r) != class {
			return i
		}
	}
	return len(text)
}

// spaceMatch is `\s+(?!\S)|\s+`: the whole run at the end of the text, otherwise the run but its last character, so that
// a blank stays with the word it leads, and one character when the run has only one.
func spaceMatch(text string) int {
	n := runOf(text, classSpace)
	if n == len(text) {
		return n
	}
	_, last := utf8.DecodeLastRuneInString(text[:n])
	if n > last {
		return n - last
	}
	return n
}

var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

func contraction(text string) int {
	if text[0] != '\'' {
		return 0
	}
	for _, c := range contractions {
		if strings.HasPrefix(text, c) {
			return len(c)
		}
	}
	return 0
}

// withPrefixSpace adds a blank before text that does not start with one, so that its first word looks like any other.
func withPrefixSpace(next splitter) splitter {
	return func(dst []string, text string) []string {
		if text != "" && text[0] != ' ' {
			text = " " + text
		}
		return next(dst, text)
	}
}

// splitWhole makes one pre-token of the whole text.
func splitWhole(dst []string, text string) []string {
	if text == "" {
		return dst
	}
	return append(dst, text)
}

// splitBert cuts at white space, which is removed, and around every punctuation character, which stays.
func splitBert(dst []string, text string) []string {
	start := 0
	for i, r := range text {
		space := isSpace(r)
		if !space && !isBertPunct(r) {
			continue
		}
		if start < i {
			dst = append(dst, text[start:i])
		}
		start = i + utf8.RuneLen(r)
		if !space {
			dst = append(dst, text[i:start])
		}
	}
	if start < len(text) {
		dst = append(dst, text[start:])
	}
	return dst
}

// splitInTurn lets each splitter cut the pieces of the one before it.
func splitInTurn(members []splitter) splitter {
	return func(dst []string, text string) []string {
		pieces := []string{text}
		for _, split := range members {
			var next []string
			for _, p := range pieces {
				next = split(next, p)
			}
			pieces = next
		}
		return append(dst, pieces...)
	}
}

// byteAlphabet maps every byte to the printable character that stands for it in a byte-level vocabulary.
var byteAlphabet = func() (t [256]string) {
	for b, c := range pretokenizer.BytesChar {
		t[b] = c
	}
	return t
}()

// alphabetByte is the inverse of byteAlphabet.
var alphabetByte = func() map[rune]byte {
	m := make(map[rune]byte, 256)
	for b, c := range byteAlphabet {
		r, _ := utf8.DecodeRuneInString(c)
		m[r] = byte(b)
	}
	return m
}()

// toByteAlphabet writes each byte of word as its character of the byte alphabet.
func toByteAlphabet(word string) string {
	var b strings.Builder
	b.Grow(2 * len(word))
	for i := range len(word) {
		b.WriteString(byteAlphabet[word[i]])
	}
	return b.String()
}
