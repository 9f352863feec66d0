package tokenize

import (
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"
)

// Decode gives the text of ids as the reference's decode: ids that the vocabulary does not have are left out, special
// tokens too when skipSpecial is set, and bytes that are not UTF-8 (half a character) become U+FFFD. For a byte-level
// tokenizer Decode(EncodePlain(s)) is s again.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		token, ok := t.IDToToken(id)
		if !ok || skipSpecial && t.IsSpecial(id) {
			continue
		}
		tokens = append(tokens, token)
	}
	if t.decoder == nil {
		return strings.Join(tokens, " ")
	}
	return t.decoder.Decode(tokens)
}

// byteLevelDecoder maps the byte alphabet back to bytes. (sugarme's turns a character outside the alphabet, as added
// tokens have them, into a zero byte.)
type byteLevelDecoder struct{}

var _ tokenizer.Decoder = byteLevelDecoder{}

// Decode joins the tokens to one text.
func (d byteLevelDecoder) Decode(tokens []string) string {
	return strings.Join(d.DecodeChain(tokens), "")
}

// DecodeChain gives the text as its only element: a character may be spread over several tokens.
func (byteLevelDecoder) DecodeChain(tokens []string) []string {
	var b []byte
	for _, token := range tokens {
		start := len(b)
		for _, r := range token {
			c, ok := alphabetByte[r]
			if !ok {
				b = append(b[:start], token...) // not a token of the alphabet: as it stands
				break
			}
			b = append(b, c)
		}
	}
	return []string{lossyUTF8(b)}
}

// lossyUTF8 replaces every maximal part of an ill-formed sequence by one U+FFFD (Unicode 3.9, as Rust does; Go's own
// conversions replace every byte).
func lossyUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r != utf8.RuneError || size > 1 {
			out.Write(b[:size])
		} else {
			out.WriteRune(utf8.RuneError)
			size = illFormed(b)
		}
		b = b[size:]
	}
	return out.String()
}

// illFormed is the length of the maximal subpart at the start of b: the longest start of some well-formed sequence, at
// least one byte.
func illFormed(b []byte) int {
	low, high := byte(0x80), byte(0xBF) // bounds of the second byte
	var rest int
	switch c := b[0]; {
	case 0xC2 <= c && c <= 0xDF:
		rest = 1
	case 0xE0 <= c && c <= 0xEF:
		rest = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case 0xF0 <= c && c <= 0xF4:
		rest = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= rest && n < len(b) && low <= b[n] && b[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}

// cleanUps are the replacements of transformers' clean_up_tokenization, in order.
var cleanUps = []string{" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m", " 's", "'s",
	" 've", "'ve", " 're", "'re"}

// CleanUpSpaces removes the blanks before punctuation and contractions that a decoder leaves behind, as transformers
// does after decode where clean_up_tokenization_spaces is set. Decode itself does not.
func CleanUpSpaces(text string) string {
	for i := 0; i < len(cleanUps); i += 2 {
		text = strings.ReplaceAll(text, cleanUps[i], cleanUps[i+1])
	}
	return text
}
