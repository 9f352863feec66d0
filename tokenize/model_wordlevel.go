package tokenize

import (
	"errors"
	"fmt"

	"github.com/sugarme/tokenizer"
)

var errSave = errors.New("a tokenizer is saved by copying the files that it was loaded from")

// wordLevelModel gives every word one token, the unknown one when it is not in the vocabulary.
type wordLevelModel struct {
	vocab   map[string]int
	tokens  map[int]string
	unknown int
}

func newWordLevelModel(vocab map[string]int, unknown string) (*wordLevelModel, error) {
	id, ok := vocab[unknown]
	if !ok {
		return nil, fmt.Errorf("the unknown token %s is not in the vocabulary; without it an unknown word has no id", shown(unknown))
	}
	m := &wordLevelModel{vocab: vocab, tokens: make(map[int]string, len(vocab)), unknown: id}
	for token, id := range vocab {
		m.tokens[id] = token
	}
	return m, nil
}

func (m *wordLevelModel) id(word string) int {
	if id, ok := m.vocab[word]; ok {
		return id
	}
	return m.unknown
}

func (m *wordLevelModel) appendIDs(dst []int32, word string) []int32 {
	return append(dst, int32(m.id(word)))
}

// Tokenize gives the token of one pre-token.
func (m *wordLevelModel) Tokenize(word string) ([]tokenizer.Token, error) {
	id := m.id(word)
	return []tokenizer.Token{{Id: id, Value: m.tokens[id], Offsets: []int{0, len(word)}}}, nil
}

// TokenToId finds a word's id.
func (m *wordLevelModel) TokenToId(token string) (int, bool) {
	id, ok := m.vocab[token]
	return id, ok
}

// IdToToken is the inverse of TokenToId.
func (m *wordLevelModel) IdToToken(id int) (string, bool) {
	token, ok := m.tokens[id]
	return token, ok
}

// GetVocab gives the ids by word.
func (m *wordLevelModel) GetVocab() map[string]int { return m.vocab }

// GetVocabSize is the number of words.
func (m *wordLevelModel) GetVocabSize() int { return len(m.vocab) }

// Save is not supported.
func (m *wordLevelModel) Save(string, ...string) error { return errSave }
