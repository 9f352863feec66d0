package audit

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// Poisson says how well batches agree with Poisson sampling, every record in every batch
// independently with probability q: the p-values of four statistics under it, 1 where a
// statistic has too few records to say anything. Accounting holds for nothing else; shuffled batches,
// or batches of a fixed size, can cost many times as much (Chua et al. 2024), and their sizes and
// overlaps give them away.
type Poisson struct {
	Mean       float64 `json:"mean_size"`  // records sampled over all steps: exact
	Overlap    float64 `json:"overlap"`    // records in both batches of a pair of steps: exact
	Dispersion float64 `json:"dispersion"` // variance of the sizes: batches of a fixed size have none
	Rates      float64 `json:"rates"`      // how often each record came: a shuffle is too even
}

// Least is the smallest of the four p-values, times four (Bonferroni).
func (p Poisson) Least() float64 { return min(1, 4*min(p.Mean, p.Dispersion, p.Rates, p.Overlap)) }

// CheckPoisson compares batches of a data set of n records with Poisson sampling at rate q.
func CheckPoisson(batches [][]int, n int, q float64) (Poisson, error) {
	switch {
	case !(q > 0 && q < 1):
		return Poisson{}, invalid("sampling rate", q, "must be in (0, 1)")
	case len(batches) < 1 || n < 1:
		return Poisson{}, invalid("batches", len(batches), "must be at least one, of a data set of at least one record")
	}
	counts, last := make([]int, n), make([]int, n)
	for i := range last {
		last[i] = -1 // the last batch that record i was in
	}
	size, again := 0, 0
	for k, batch := range batches {
		size += len(batch)
		for _, i := range batch {
			if i < 0 || i >= n {
				return Poisson{}, invalid("record", i, fmt.Sprintf("must be in [0, %d)", n))
			}
			counts[i]++
			if k%2 == 1 && last[i] == k-1 { // steps 1 and 2, 3 and 4, ...: the pairs are independent
				again++
			}
			last[i] = k
		}
	}
	return Poisson{
		Mean:       binomialTails(size, len(batches)*n, q),
		Overlap:    binomialTails(again, len(batches)/2*n, q*q),
		Dispersion: dispersion(batches, float64(n)*q, float64(n)*q*(1-q)),
		Rates:      evenness(counts, float64(len(batches)), q),
	}, nil
}

// binomialTails is the two-sided p-value of k of n at probability p: twice the smaller tail.
func binomialTails(k, n int, p float64) float64 {
	above, below := 1.0, 1.0 // P[X >= k], P[X <= k]
	if k > 0 {
		above = mathext.RegIncBeta(float64(k), float64(n-k)+1, p)
	}
	if k < n {
		below = mathext.RegIncBeta(float64(n-k), float64(k)+1, 1-p)
	}
	return min(1, 2*min(above, below))
}

// dispersion compares the sizes' squared deviations with chi-square, two-sided, with half a record
// of continuity. Sizes of small variance are no normal numbers: they are not judged.
func dispersion(batches [][]int, mean, variance float64) float64 {
	if variance < 25 {
		return 1
	}
	var low, high float64
	for _, batch := range batches {
		d := math.Abs(float64(len(batch)) - mean)
		low += square(d+0.5) / variance
		high += square(max(0, d-0.5)) / variance
	}
	chi := distuv.ChiSquared{K: float64(len(batches))}
	return min(1, 2*min(chi.CDF(low), chi.Survival(high)))
}

// evenness compares the squared deviations of the records' counts, each binomial of t steps, with
// a normal number of the same mean and variance (by the binomial's kurtosis, 2 + (1-6pq)/(tpq) a
// record). Its lower tail, counts too even, errs to the safe side, for such sums are skewed to the
// right; the upper one is judged where a record's count is no rare event.
func evenness(counts []int, t, q float64) float64 {
	n, variance := float64(len(counts)), t*q*(1-q)
	sum := 0.0
	for _, c := range counts {
		sum += square(float64(c)-t*q) / variance
	}
	z := (sum - n) / math.Sqrt(n*(2+(1-6*q*(1-q))/variance))
	if z > 0 && (variance < 5 || n < 100) {
		return 1
	}
	return min(1, 2*phi(-math.Abs(z)))
}

func square(x float64) float64 { return x * x }
