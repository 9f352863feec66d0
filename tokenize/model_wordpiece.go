package tokenize

import (
	"fmt"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"
	sugarmodel "github.com/sugarme/tokenizer/model"
	"github.com/sugarme/tokenizer/model/wordpiece"
)

// maxWordChars bounds max_input_chars_per_word: the longest-match search is quadratic in it.
const maxWordChars = 1000

// wordPieceModel is sugarme's WordPiece with offsets in bytes instead of runes and without an allocation per candidate.
// A word is cut greedily into the longest pieces in the vocabulary, all but the first with the prefix; a word that
// cannot be cut, or has more than maxChars characters, is one unknown token.
type wordPieceModel struct {
	wordpiece.WordPiece

	vocab    map[string]int
	prefix   string
	unknown  tokenizer.Token
	maxChars int
	longest  int // bytes of the longest piece, its prefix not counted
}

type wordPieceOptions struct {
	unknown  string
	prefix   string
	maxChars int
}

func newWordPieceModel(vocab map[string]int, o wordPieceOptions) (*wordPieceModel, error) {
	id, ok := vocab[o.unknown]
	if !ok {
		return nil, fmt.Errorf("the unknown token %s is not in the vocabulary", shown(o.unknown))
	}
	if o.maxChars < 1 || o.maxChars > maxWordChars {
		return nil, fmt.Errorf("max_input_chars_per_word is %d; it must be 1 to %d", o.maxChars, maxWordChars)
	}
	v := sugarmodel.Vocab(vocab)
	base := wordpiece.NewWordPieceBuilder().Vocab(&v).UnkToken(o.unknown).ContinuingSubwordPrefix(o.prefix).
		MaxInputCharsPerWord(o.maxChars).Build()
	m := &wordPieceModel{WordPiece: base, vocab: vocab, prefix: o.prefix, maxChars: o.maxChars,
		unknown: tokenizer.Token{Id: id, Value: o.unknown}}
	for token := range vocab {
		m.longest = max(m.longest, len(token))
	}
	return m, nil
}

// Tokenize gives the tokens of one pre-token, with byte offsets into it.
func (m *wordPieceModel) Tokenize(word string) ([]tokenizer.Token, error) {
	var tokens []tokenizer.Token
	known := m.pieces(word, func(id, start, end int) {
		value := word[start:end]
		if start > 0 {
			value = m.prefix + value
		}
		tokens = append(tokens, tokenizer.Token{Id: id, Value: value, Offsets: []int{start, end}})
	})
	if !known {
		unknown := m.unknown
		unknown.Offsets = []int{0, len(word)}
		return []tokenizer.Token{unknown}, nil
	}
	return tokens, nil
}

func (m *wordPieceModel) appendIDs(dst []int32, word string) []int32 {
	n := len(dst)
	if !m.pieces(word, func(id, _, _ int) { dst = append(dst, int32(id)) }) {
		return append(dst[:n], int32(m.unknown.Id))
	}
	return dst
}

// pieces calls yield for each piece from the left, and reports whether the whole word could be cut.
func (m *wordPieceModel) pieces(word string, yield func(id, start, end int)) bool {
	if utf8.RuneCountInString(word) > m.maxChars {
		return false
	}
	var buf []byte
	for start := 0; start < len(word); {
		end := min(len(word), start+m.longest)
		id, found := 0, false
		for ; end > start; end-- {
			if end < len(word) && !utf8.RuneStart(word[end]) {
				continue
			}
			if start == 0 {
				id, found = m.vocab[word[:end]]
			} else {
				buf = append(append(buf[:0], m.prefix...), word[start:end]...)
				id, found = m.vocab[string(buf)]
			}
			if found {
				break
			}
		}
		if !found {
			return false
		}
		yield(id, start, end)
		start = end
	}
	return true
}
