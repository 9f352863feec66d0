package tokenize

import (
	"fmt"
	"slices"
)

// Buckets are the lengths that examples are padded to. The edges are fixed and public: the padded length of an example
// is a function of that example alone. Padding to the longest of a batch would let one record change another's gradient.
type Buckets struct {
	edges []int
}

// NewBuckets makes buckets of increasing lengths, each at least 1.
func NewBuckets(edges ...int) (Buckets, error) {
	if len(edges) == 0 {
		return Buckets{}, fmt.Errorf("there are no bucket edges")
	}
	for i, e := range edges {
		if e < 1 || i > 0 && e <= edges[i-1] {
			return Buckets{}, fmt.Errorf("bucket edge %d is %d; edges must be at least 1 and increase", i, e)
		}
	}
	return Buckets{edges: slices.Clone(edges)}, nil
}

// DefaultBuckets are 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, … (four to each doubling) up to maxLength, which is the last:
// at most a fifth of a padded example is padding, from 8 tokens on. Twice as many edges would save a twentieth more of
// the tokens and leave twice as many part-filled microbatches.
func DefaultBuckets(maxLength int) (Buckets, error) {
	if maxLength < 1 {
		return Buckets{}, fmt.Errorf("maximum length is %d; it must be at least 1", maxLength)
	}
	var edges []int
	for octave := 8; octave < maxLength; octave *= 2 {
		for e := octave; e < min(2*octave, maxLength); e += octave / 4 {
			edges = append(edges, e)
		}
	}
	return Buckets{edges: append(edges, maxLength)}, nil
}

// Edges are the padded lengths, increasing.
func (b Buckets) Edges() []int { return slices.Clone(b.edges) }

// Edge is the padded length for an example of the given length (0, a dropped one, has the first): the smallest edge
// that holds it. ok is false when it is longer than the last.
func (b Buckets) Edge(length int) (edge int, ok bool) {
	i, _ := slices.BinarySearch(b.edges, length)
	if i == len(b.edges) {
		return 0, false
	}
	return b.edges[i], true
}

// Group sorts the indices of examples by bucket: edge → indices, in their order. An example that no bucket holds is an
// error that names its row.
func (b Buckets) Group(examples []Example) (map[int][]int, error) {
	groups := map[int][]int{}
	for i := range examples {
		edge, ok := b.Edge(examples[i].Len())
		if !ok {
			return nil, &RowError{Row: examples[i].Row,
				Problem: fmt.Sprintf("it has %d tokens, but the longest bucket has %d", examples[i].Len(), b.edges[len(b.edges)-1])}
		}
		groups[edge] = append(groups[edge], i)
	}
	return groups, nil
}
