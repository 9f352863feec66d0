package metrics

// A vocabulary numbers words from 1, so that an n-gram is a few numbers.
type vocabulary map[string]int32

func (v vocabulary) number(words []string) []int32 {
	out := make([]int32, len(words))
	for i, w := range words {
		id, ok := v[w]
		if !ok {
			id = int32(len(v) + 1)
			v[w] = id
		}
		out[i] = id
	}
	return out
}

// A wordItem is an item as numbered words.
type wordItem struct {
	output     []int32
	references [][]int32
}

// splitItems splits an item's texts one by one.
func splitItems(items []Item, split func(string) []string) []wordItem {
	v := vocabulary{}
	out := make([]wordItem, len(items))
	for i, item := range items {
		out[i].output = v.number(split(item.Output))
		for _, r := range item.References {
			out[i].references = append(out[i].references, v.number(split(r)))
		}
	}
	return out
}

// maxNGram is the longest n-gram that a metric counts.
const maxNGram = 9

// An ngram is up to maxNGram words, 0 behind the last.
type ngram [maxNGram]int32

// A bag counts the n-grams of one length, in the order of their first occurrence.
type bag struct {
	list  []ngram
	count map[ngram]int
}

// ngramsOf counts the n-grams of a text.
func ngramsOf(words []int32, n int) bag {
	size := max(0, len(words)-n+1)
	b := bag{list: make([]ngram, 0, size), count: make(map[ngram]int, size)}
	for i := range size {
		var g ngram
		copy(g[:], words[i:i+n])
		b.add(g, 1)
	}
	return b
}

func (b *bag) add(g ngram, times int) {
	if b.count == nil {
		b.count = map[ngram]int{}
	}
	if _, ok := b.count[g]; !ok {
		b.list = append(b.list, g)
	}
	b.count[g] += times
}

// most raises every count to that of other.
func (b *bag) most(other bag) {
	for _, g := range other.list {
		if d := other.count[g] - b.count[g]; d > 0 {
			b.add(g, d)
		}
	}
}
