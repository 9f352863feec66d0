package tokenize

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"
)

// unknownPenalty is how far below the worst piece an unknown character scores (sentencepiece's kUnkPenalty).
const unknownPenalty = 10

// unigramModel cuts a word into the pieces whose scores add up to the most, by dynamic programming from left to right;
// of equal sums the one found first counts. A run of unknown characters is one unknown token or, with byteFallback,
// a token <0xNN> for each of its bytes, when the vocabulary has them all.
//
// sugarme's Unigram is not its base: with byte fallback it writes every text as bytes, and its cache of words grows
// without bound.
type unigramModel struct {
	pieces       []string
	scores       []float64
	ids          map[string]int // of equal pieces the last
	trie         pieceTrie
	unknown      int
	unknownScore float64
	bytes        *[256]int // ids of <0xNN>, -1 where there is none; nil without byteFallback
}

type unigramPiece struct {
	piece string
	score float64
}

func newUnigramModel(vocab []unigramPiece, unknown int, byteFallback bool) (*unigramModel, error) {
	if unknown < 0 || unknown >= len(vocab) {
		return nil, fmt.Errorf("unk_id %d is not in the vocabulary of %d pieces; without it a text with an unknown character has no ids", unknown, len(vocab))
	}
	m := &unigramModel{ids: make(map[string]int, len(vocab)), unknown: unknown}
	lowest := math.Inf(1)
	for id, p := range vocab {
		m.pieces, m.scores = append(m.pieces, p.piece), append(m.scores, p.score)
		m.ids[p.piece] = id
		lowest = min(lowest, p.score)
	}
	m.unknownScore = lowest - unknownPenalty
	m.trie = newPieceTrie(m.ids)
	if byteFallback {
		m.bytes = byteTokens(m.ids)
	}
	return m, nil
}

// byteTokens are the ids of <0x00> to <0xFF>, -1 for those that vocab does not have.
func byteTokens(vocab map[string]int) *[256]int {
	var t [256]int
	for b := range t {
		t[b] = -1
		if id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]; ok {
			t[b] = id
		}
	}
	return &t
}

// fallback are the ids of the bytes of s, nil unless the vocabulary has them all.
func fallback(bytes *[256]int, s string) []int {
	if bytes == nil {
		return nil
	}
	ids := make([]int, len(s))
	for i := range len(s) {
		if ids[i] = bytes[s[i]]; ids[i] < 0 {
			return nil
		}
	}
	return ids
}

// bestPath is the best way to cut the text up to a place: its score, and the piece at its end.
type bestPath struct {
	score float64
	start int // where that piece starts; -1 while no way is known
	id    int
}

// cut gives the pieces of word from left to right; a run of unknown characters is one piece.
func (m *unigramModel) cut(word string) []bestPath {
	best := make([]bestPath, len(word)+1)
	for i := 1; i <= len(word); i++ {
		best[i].start = -1
	}
	offer := func(start, end, id int, score float64) {
		if b := &best[end]; b.start < 0 || score > b.score {
			*b = bestPath{score: score, start: start, id: id}
		}
	}
	for start := 0; start < len(word); {
		here := best[start].score
		_, size := utf8.DecodeRuneInString(word[start:])
		single := false
		node := int32(0)
		for end := start; end < len(word); {
			if node = m.trie.next(node, word[end]); node < 0 {
				break
			}
			end++
			if id := m.trie.nodes[node].id; id >= 0 {
				offer(start, end, int(id), here+m.scores[id])
				single = single || end == start+size
			}
		}
		if !single {
			offer(start, start+size, m.unknown, here+m.unknownScore)
		}
		start += size
	}
	return m.back(best)
}

// back follows the best path from its end; start of each piece is where it starts.
func (m *unigramModel) back(best []bestPath) []bestPath {
	var path []bestPath
	for end := len(best) - 1; end > 0; end = best[end].start {
		if n := len(path); n > 0 && best[end].id == m.unknown && path[n-1].id == m.unknown {
			path[n-1].start = best[end].start
			continue
		}
		path = append(path, best[end])
	}
	slices.Reverse(path)
	return path
}

// each calls yield for every token of word, with the bytes of word that it stands for.
func (m *unigramModel) each(word string, yield func(id, start, end int)) {
	path := m.cut(word)
	for i, p := range path {
		end := len(word)
		if i+1 < len(path) {
			end = path[i+1].start
		}
		piece := word[p.start:end]
		id, known := m.ids[piece]
		if !known {
			if ids := fallback(m.bytes, piece); ids != nil {
				for _, id := range ids {
					yield(id, p.start, end)
				}
				continue
			}
			id = m.unknown
		}
		yield(id, p.start, end)
	}
}

func (m *unigramModel) appendIDs(dst []int32, word string) []int32 {
	m.each(word, func(id, _, _ int) { dst = append(dst, int32(id)) })
	return dst
}

// Tokenize gives the tokens of one pre-token, with byte offsets into it. An unknown token's value is its text.
func (m *unigramModel) Tokenize(word string) ([]tokenizer.Token, error) {
	var tokens []tokenizer.Token
	m.each(word, func(id, start, end int) {
		value := m.pieces[id]
		if id == m.unknown {
			value = word[start:end]
		}
		tokens = append(tokens, tokenizer.Token{Id: id, Value: value, Offsets: []int{start, end}})
	})
	return tokens, nil
}

// TokenToId finds a piece's id.
func (m *unigramModel) TokenToId(token string) (int, bool) {
	id, ok := m.ids[token]
	return id, ok
}

// IdToToken is the inverse of TokenToId.
func (m *unigramModel) IdToToken(id int) (string, bool) {
	if id < 0 || id >= len(m.pieces) {
		return "", false
	}
	return m.pieces[id], true
}

// GetVocab gives the ids by piece.
func (m *unigramModel) GetVocab() map[string]int { return m.ids }

// GetVocabSize is the number of pieces, equal ones counted each.
func (m *unigramModel) GetVocabSize() int { return len(m.pieces) }

// Save is not supported: tokenizers are copied as the files they were loaded from.
func (m *unigramModel) Save(string, ...string) error { return errSave }
