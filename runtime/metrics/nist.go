package metrics

import "math"

// nistOrder is the longest n-gram of NIST.
const nistOrder = 5

// nistBeta makes the brevity penalty ½ for outputs of two thirds of the references' length.
var nistBeta = -math.Log(0.5) / (math.Log(1.5) * math.Log(1.5))

// A NISTScore is NIST in the two forms in which e2e-metrics gives it. They differ in the length of the references where
// their number differs from item to item.
type NISTScore struct {
	// Score takes as an item's reference length the mean over its references (e2e-metrics' own code).
	Score float64
	// Padded divides by the largest number of references that any item has, as e2e-metrics' call of mteval-v13a.pl
	// does: it pads the others with empty references. The E2E challenge published this one.
	Padded float64
}

// NIST is Doddington's score (2002) of n-grams up to 5, mteval-v13a tokens in lower case:
//
//	NIST = exp(−β·ln²(min(1, c/r))) · Σ_n (Σ matched n-grams' info / n-grams of the outputs)
//	info(w₁…w_n) = log₂(count(w₁…w_{n−1}) / count(w₁…w_n)),   counts over all references; of no words: their length
//
// with c the outputs' length and r the references'. Matches are clipped as BLEU's.
func NIST(items []Item) (NISTScore, error) {
	if err := checkItems(items); err != nil {
		return NISTScore{}, err
	}
	return nist(splitItems(items, tokens13aLower)), nil
}

func nist(items []wordItem) NISTScore {
	c := countNIST(items)
	sum := 0.0
	for n := range nistOrder {
		info := 0.0
		for _, hits := range c.hits[n] {
			info += float64(hits.times) * c.info(hits.gram, n+1)
		}
		if c.totals[n] > 0 {
			sum += info / float64(c.totals[n])
		}
	}
	return NISTScore{
		Score:  sum * nistPenalty(float64(c.output), c.reference),
		Padded: sum * nistPenalty(float64(c.output), float64(c.words)/float64(c.most)),
	}
}

// nistPenalty is exp(−β·ln²(min(1, c/r))).
func nistPenalty(c, r float64) float64 {
	if c >= r {
		return 1
	}
	log := math.Log(c / r) // −∞ for c = 0
	return math.Exp(-nistBeta * log * log)
}

type nistHit struct {
	gram  ngram
	times int
}

// nistCounts are what NIST is computed from. Index n−1 is that of n-grams.
type nistCounts struct {
	hits      [nistOrder][]nistHit
	totals    [nistOrder]int
	grams     [nistOrder]map[ngram]int // of all references
	words     int                      // of all references
	output    int                      // words of the outputs
	reference float64                  // sum of the items' mean reference lengths
	most      int                      // references of an item
}

func countNIST(items []wordItem) *nistCounts {
	c := &nistCounts{}
	for n := range c.grams {
		c.grams[n] = map[ngram]int{}
	}
	for _, item := range items {
		words := 0
		for _, r := range item.references {
			words += len(r)
		}
		for n := 1; n <= nistOrder; n++ {
			var most bag
			for _, r := range item.references {
				b := ngramsOf(r, n)
				most.most(b)
				for _, g := range b.list {
					c.grams[n-1][g] += b.count[g]
				}
			}
			mine := ngramsOf(item.output, n)
			for _, g := range mine.list {
				if times := min(mine.count[g], most.count[g]); times > 0 {
					c.hits[n-1] = append(c.hits[n-1], nistHit{g, times})
				}
			}
			c.totals[n-1] += max(0, len(item.output)-n+1)
		}
		c.words += words
		c.output += len(item.output)
		c.reference += float64(words) / float64(len(item.references))
		c.most = max(c.most, len(item.references))
	}
	return c
}

// info is the information of an n-gram that the references have.
func (c *nistCounts) info(g ngram, n int) float64 {
	before := c.words
	if n > 1 {
		prefix := g
		prefix[n-1] = 0
		before = c.grams[n-2][prefix]
	}
	return math.Log2(float64(before) / float64(c.grams[n-1][g]))
}
