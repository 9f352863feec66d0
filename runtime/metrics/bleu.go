package metrics

import "math"

// A BLEUScore is BLEU with what it was computed from. Index n−1 is that of n-grams.
type BLEUScore struct {
	// Score is in [0, 1] for E2EBLEU and in [0, 100] for sacrebleu's form.
	Score float64
	// Matches are the n-grams of the outputs that the references have, clipped; Totals are all of the outputs'.
	Matches, Totals []int
	// Precisions are on the scale of Score, smoothed if the form smooths.
	Precisions []float64
	// BrevityPenalty is exp(1 − r/c) for outputs of c tokens, shorter than the r of the closest references; else 1.
	BrevityPenalty                float64
	OutputLength, ReferenceLength int
}

// E2EBLEU is BLEU (Papineni et al. 2002) as the E2E challenge's e2e-metrics computes it, in [0, 1]:
//
//	BLEU = BP · exp(¼ Σ_{n=1..4} ln p_n),   p_n = clipped matches / n-grams of the outputs
//	BP   = exp(min(0, 1 − r/c)),             r = Σ lengths of the reference closest in length, of equal ones the shorter
//
// over mteval-v13a tokens in lower case, without smoothing: 0 where some p_n is 0.
func E2EBLEU(items []Item) (BLEUScore, error) {
	if err := checkItems(items); err != nil {
		return BLEUScore{}, err
	}
	return e2eBLEU(splitItems(items, tokens13aLower)), nil
}

func e2eBLEU(items []wordItem) BLEUScore {
	s := countBLEU(items, 4)
	s.BrevityPenalty = brevityPenalty(s.OutputLength, s.ReferenceLength)
	logs := 0.0
	for n, m := range s.Matches {
		p := 0.0
		if m > 0 {
			p = float64(m) / float64(s.Totals[n])
		}
		s.Precisions = append(s.Precisions, p)
		logs += math.Log(p) // −∞ for 0
	}
	s.Score = s.BrevityPenalty * math.Exp(logs/float64(len(s.Matches)))
	return s
}

// tokens13aLower are the tokens of e2e-metrics.
func tokens13aLower(s string) []string {
	words := Tokens13a(s)
	for i, w := range words {
		words[i] = lower(w)
	}
	return words
}

// countBLEU adds up matches and lengths for n-grams up to order.
func countBLEU(items []wordItem, order int) BLEUScore {
	s := BLEUScore{Matches: make([]int, order), Totals: make([]int, order)}
	for _, item := range items {
		lengths := make([]int, len(item.references))
		for i, r := range item.references {
			lengths[i] = len(r)
		}
		s.OutputLength += len(item.output)
		s.ReferenceLength += closest(len(item.output), lengths)
		for n := 1; n <= order; n++ {
			var most bag
			for _, r := range item.references {
				most.most(ngramsOf(r, n))
			}
			mine := ngramsOf(item.output, n)
			for _, g := range mine.list {
				s.Matches[n-1] += min(mine.count[g], most.count[g])
			}
			s.Totals[n-1] += max(0, len(item.output)-n+1)
		}
	}
	return s
}

// closest is the length nearest to n, of equally near ones the shorter.
func closest(n int, lengths []int) int {
	best := lengths[0]
	for _, l := range lengths[1:] {
		switch d, e := abs(l-n), abs(best-n); {
		case d < e, d == e && l < best:
			best = l
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// brevityPenalty is exp(min(0, 1 − r/c)); 0 where nothing was put out and something was expected.
func brevityPenalty(c, r int) float64 {
	switch {
	case c >= r:
		return 1
	case c == 0:
		return 0
	}
	return math.Exp(1 - float64(r)/float64(c))
}
