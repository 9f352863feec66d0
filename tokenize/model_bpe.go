package tokenize

import (
	"fmt"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/model/bpe"
)

// bpeModel is sugarme's BPE with the merge loop corrected: of several merges with the same rank the leftmost comes
// first (word.rs of the reference orders its queue by rank, then position), which decides `!!!` and `aaa`.
//
// A character that is not in the vocabulary becomes the tokens <0xNN> of its bytes, where byte fallback is set and they
// are all there, otherwise the unknown token; without one it yields nothing, as in the reference. In a complete
// byte-level vocabulary none of this happens.
type bpeModel struct {
	*bpe.BPE

	initial      map[rune]int // the one-character tokens
	prefix       string       // of every character but a word's first
	suffix       string       // of a word's last character
	bytes        *[256]int    // ids of <0xNN>; nil without byte fallback
	unknown      int          // id of the unknown token, -1 for none
	fuseUnknown  bool         // a run of unknown characters becomes one unknown token
	ignoreMerges bool         // a pre-token that is in the vocabulary is one token, whatever the merges say
}

// bpeOptions are the fields of a BPE model that change ids.
type bpeOptions struct {
	unknown        string
	prefix, suffix string
	fuseUnknown    bool
	byteFallback   bool
	ignoreMerges   bool
}

// newBPEModel checks merges against the vocabulary and builds the model. merges[i] has rank i; when a pair comes
// twice the later rank counts, as in the reference.
func newBPEModel(vocab map[string]int, merges [][2]string, o bpeOptions) (*bpeModel, error) {
	table, err := mergeTable(vocab, merges, o.prefix)
	if err != nil {
		return nil, err
	}
	builder := bpe.NewBpeBuilder()
	builder.CacheCapacity(0) // the Tokenizer's own cache holds ids
	builder.VocabAndMerges(vocab, table)
	base, err := builder.Build()
	if err != nil {
		return nil, err
	}
	m := &bpeModel{BPE: base, initial: map[rune]int{}, prefix: o.prefix, suffix: o.suffix, unknown: -1,
		fuseUnknown: o.fuseUnknown, ignoreMerges: o.ignoreMerges}
	for token, id := range vocab {
		if r, size := utf8.DecodeRuneInString(token); size == len(token) && size > 0 {
			m.initial[r] = id
		}
	}
	if o.byteFallback {
		m.bytes = byteTokens(vocab)
	}
	if o.unknown != "" {
		id, ok := vocab[o.unknown]
		if !ok {
			return nil, fmt.Errorf("the unknown token %s is not in the vocabulary", shown(o.unknown))
		}
		m.unknown = id
	}
	return m, nil
}

// mergeTable looks the merges up: the second token's prefix goes when it is joined to the first.
func mergeTable(vocab map[string]int, merges [][2]string, prefix string) (bpe.Merges, error) {
	table := make(bpe.Merges, len(merges))
	for rank, m := range merges {
		if len(m[1]) < len(prefix) {
			return nil, fmt.Errorf("merge %d joins %s and %s, which is shorter than the prefix %s", rank, shown(m[0]), shown(m[1]), shown(prefix))
		}
		left, okLeft := vocab[m[0]]
		right, okRight := vocab[m[1]]
		merged, okMerged := vocab[m[0]+m[1][len(prefix):]]
		if !okLeft || !okRight || !okMerged {
			return nil, fmt.Errorf("merge %d joins %s and %s, but one of them or the result is not in the vocabulary",
				rank, shown(m[0]), shown(m[1]))
		}
		table[bpe.Pair{C1: left, C2: right}] = bpe.PairVal{Rank: rank, NewId: merged}
	}
	return table, nil
}

// Tokenize gives the tokens of one pre-token, with byte offsets into it.
func (m *bpeModel) Tokenize(word string) ([]tokenizer.Token, error) {
	if m.ignoreMerges {
		if id, ok := (*m.Vocab)[word]; ok {
			return []tokenizer.Token{{Id: id, Value: word, Offsets: []int{0, len(word)}}}, nil
		}
	}
	var tokens []tokenizer.Token
	at := 0
	for _, s := range m.merge(word) {
		if s.size == 0 {
			continue
		}
		value, _ := m.IdToToken(s.id)
		tokens = append(tokens, tokenizer.Token{Id: s.id, Value: value, Offsets: []int{at, at + s.size}})
		at += s.size
	}
	return tokens, nil
}

func (m *bpeModel) appendIDs(dst []int32, word string) []int32 {
	if m.ignoreMerges {
		if id, ok := (*m.Vocab)[word]; ok {
			return append(dst, int32(id))
		}
	}
	for _, s := range m.merge(word) {
		if s.size != 0 {
			dst = append(dst, int32(s.id))
		}
	}
	return dst
}

// symbol is a piece of a word between merges: its token, its size in bytes (0 once merged into its left neighbour),
// and the places of its neighbours (-1 at the ends).
type symbol struct{ id, size, prev, next int }

// pendingMerge is an adjacent pair that may be merged, found at the symbol at pos.
type pendingMerge struct{ rank, pos, newID int }

// merge applies the merges to the characters of word in the order of rank, then position. O(n log n).
func (m *bpeModel) merge(word string) []symbol {
	symbols := m.symbols(word)
	queue := make(mergeQueue, 0, len(symbols))
	add := func(left int) {
		if left < 0 || symbols[left].next < 0 {
			return
		}
		pair := bpe.Pair{C1: symbols[left].id, C2: symbols[symbols[left].next].id}
		if v, ok := (*m.Merges)[pair]; ok {
			queue.push(pendingMerge{rank: v.Rank, pos: left, newID: v.NewId})
		}
	}
	for i := range symbols {
		add(i)
	}
	for len(queue) > 0 {
		top := queue.pop()
		left := &symbols[top.pos]
		if left.size == 0 || left.next < 0 {
			continue // merged away since it was queued
		}
		right := &symbols[left.next]
		v, ok := (*m.Merges)[bpe.Pair{C1: left.id, C2: right.id}]
		if !ok || v.NewId != top.newID {
			continue // the pair has changed since it was queued
		}
		left.id, left.size, left.next = top.newID, left.size+right.size, right.next
		right.size = 0
		if left.next >= 0 {
			symbols[left.next].prev = top.pos
		}
		add(left.prev)
		add(top.pos)
	}
	return symbols
}

// symbols looks up the characters of word. An unknown token waits for the next character that is known by itself, even
// when the bytes of another come between: so does the reference's merge_word.
func (m *bpeModel) symbols(word string) []symbol {
	symbols := make([]symbol, 0, len(word))
	add := func(id, size int) {
		n := len(symbols)
		symbols = append(symbols, symbol{id: id, size: size, prev: n - 1, next: n + 1})
	}
	waiting := 0 // bytes of the unknown token that waits
	flush := func() {
		if waiting > 0 {
			add(m.unknown, waiting)
		}
		waiting = 0
	}
	for i, r := range word {
		size := utf8.RuneLen(r)
		id, token, ok := m.character(word, i, r, size)
		if ok {
			flush()
			add(id, size)
			continue
		}
		if ids := fallback(m.bytes, token); ids != nil {
			for _, id := range ids {
				add(id, 1)
			}
			continue
		}
		if m.unknown >= 0 {
			if !m.fuseUnknown {
				flush()
			}
			waiting += size
		}
	}
	flush()
	if n := len(symbols); n > 0 {
		symbols[n-1].next = -1
	}
	return symbols
}

// character finds the character r at byte i of word, with the prefix and the suffix that belong there.
func (m *bpeModel) character(word string, i int, r rune, size int) (id int, token string, ok bool) {
	token = word[i : i+size]
	decorated := false
	if i > 0 && m.prefix != "" {
		token, decorated = m.prefix+token, true
	}
	if i+size == len(word) && m.suffix != "" {
		token, decorated = token+m.suffix, true
	}
	if decorated {
		id, ok = (*m.Vocab)[token]
	} else {
		id, ok = m.initial[r]
	}
	return id, token, ok
}

// mergeQueue is a binary heap by rank, then position. (container/heap would box every element.)
type mergeQueue []pendingMerge

func (q mergeQueue) less(i, j int) bool {
	if q[i].rank != q[j].rank {
		return q[i].rank < q[j].rank
	}
	return q[i].pos < q[j].pos
}

func (q *mergeQueue) push(m pendingMerge) {
	*q = append(*q, m)
	h := *q
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (q *mergeQueue) pop() pendingMerge {
	h := *q
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	*q = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return top
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
