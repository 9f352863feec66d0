package tokenize

import (
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer/pretokenizer"
)

// splitter cuts text into pre-tokens, the words that the model sees one at a time, and appends them to dst. Empty ones
// are left out by its caller.
type splitter func(dst []aligned, a aligned) ([]aligned, error)

// scanner gives the length in bytes of the first pre-token of a text that is not empty, at least one.
type scanner func(text string) int

// splitScanned cuts by a scanner. Nothing is removed: the pieces join to the text.
func splitScanned(scan scanner) splitter {
	return func(dst []aligned, a aligned) ([]aligned, error) {
		for at := 0; at < len(a.text); {
			n := scan(a.text[at:])
			dst = append(dst, a.slice(at, at+n))
			at += n
		}
		return dst, nil
	}
}

// byteLevelMatch is the length of the match of GPT-2's pattern,
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// whose alternatives are tried from the left at every position.
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
	return func(dst []aligned, a aligned) ([]aligned, error) {
		if !strings.HasPrefix(a.text, " ") {
			a.prepend(" ")
		}
		return next(dst, a)
	}
}

// splitWhole makes one pre-token of the whole text.
func splitWhole(dst []aligned, a aligned) ([]aligned, error) { return append(dst, a), nil }

// splitBert cuts at white space, which is removed, and around every punctuation character, which stays.
func splitBert(dst []aligned, a aligned) ([]aligned, error) {
	start := 0
	for i, r := range a.text {
		space := isSpace(r)
		if !space && !isBertPunct(r) {
			continue
		}
		if start < i {
			dst = append(dst, a.slice(start, i))
		}
		start = i + utf8.RuneLen(r)
		if !space {
			dst = append(dst, a.slice(i, start))
		}
	}
	if start < len(a.text) {
		dst = append(dst, a.slice(start, len(a.text)))
	}
	return dst, nil
}

// splitFixed cuts into pieces of length characters.
func splitFixed(length int) splitter {
	return func(dst []aligned, a aligned) ([]aligned, error) {
		start, n := 0, 0
		for i := range a.text {
			if n == length {
				dst = append(dst, a.slice(start, i))
				start, n = i, 0
			}
			n++
		}
		return append(dst, a.slice(start, len(a.text))), nil
	}
}

// splitMetaspace writes blanks as the replacement, puts one in front as the scheme says, and, with split, cuts before
// every one.
func splitMetaspace(replacement string, scheme prependScheme, split bool) splitter {
	r, _ := utf8.DecodeRuneInString(replacement)
	cut := splitMatches(runePattern(func(c rune) bool { return c == r }), mergedWithNext, false)
	return func(dst []aligned, a aligned) ([]aligned, error) {
		if strings.IndexByte(a.text, ' ') >= 0 {
			if a.tracked {
				blanks, err := literal(" ").findAll(a.text)
				if err != nil {
					return nil, err
				}
				a.replace(blanks, replacement)
			} else {
				a.text = strings.ReplaceAll(a.text, " ", replacement)
			}
		}
		if scheme == prependAlways || scheme == prependFirst && a.start == 0 {
			if !strings.HasPrefix(a.text, replacement) {
				a.prepend(replacement)
			}
		}
		if !split {
			return append(dst, a), nil
		}
		return cut(dst, a)
	}
}

// splitBytes writes the pieces of next in the byte alphabet.
func splitBytes(next splitter) splitter {
	return func(dst []aligned, a aligned) ([]aligned, error) {
		from := len(dst)
		dst, err := next(dst, a)
		for i := from; i < len(dst); i++ {
			dst[i].toBytes()
		}
		return dst, err
	}
}

// splitInTurn lets each splitter cut the pieces of the one before it.
func splitInTurn(members []splitter) splitter {
	return func(dst []aligned, a aligned) ([]aligned, error) {
		pieces := []aligned{a}
		for _, split := range members {
			next := make([]aligned, 0, len(pieces))
			size := 0
			for _, p := range pieces {
				if p.text == "" {
					continue
				}
				var err error
				if next, err = split(next, p); err != nil {
					return nil, err
				}
			}
			for i := range next {
				size += len(next[i].text)
			}
			if err := checkGrowth(len(a.text), size); err != nil {
				return nil, err
			}
			pieces = next
		}
		return append(dst, pieces...), nil
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
