package audit

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Poisson says how well batches agree with Poisson sampling, every record in every batch
// independently with probability q: the p-values of four statistics under it. Accounting holds
// for nothing else; shuffled batches, or batches of a fixed size, can cost many times as much
// (Chua et al. 2024), and their sizes and overlaps give them away.
type Poisson struct {
	Mean       float64 `json:"mean_size"`  // mean size of a batch
	Dispersion float64 `json:"dispersion"` // variance of the sizes: batches of a fixed size have none
	Rates      float64 `json:"rates"`      // how often each record came: a shuffle is too even
	Overlap    float64 `json:"overlap"`    // records in two successive batches: an epoch's batches have none
}

// Least is the smallest of the four p-values, times four (Bonferroni).
func (p Poisson) Least() float64 { return min(1, 4*min(p.Mean, p.Dispersion, p.Rates, p.Overlap)) }

// CheckPoisson compares batches of a data set of n records with Poisson sampling at rate q. The
// p-values are approximate (normal and chi-square, two-sided, with half a record of
// continuity): trust those far below 1e-3 when n*q is at least 10.
func CheckPoisson(batches [][]int, n int, q float64) (Poisson, error) {
	switch {
	case !(q > 0 && q < 1):
		return Poisson{}, invalid("sampling rate", q, "must be in (0, 1)")
	case len(batches) < 1 || n < 1:
		return Poisson{}, invalid("batches", len(batches), "must be at least one, of a data set of at least one record")
	}
	t, expected, variance := float64(len(batches)), float64(n)*q, float64(n)*q*(1-q)
	counts, last := make([]float64, n), make([]int, n)
	for i := range last {
		last[i] = -1 // the last batch that record i was in
	}
	var size, low, high, again float64
	for k, batch := range batches {
		d := float64(len(batch)) - expected
		size += d
		low += square(math.Abs(d)+0.5) / variance
		high += square(max(0, math.Abs(d)-0.5)) / variance
		for _, i := range batch {
			if i < 0 || i >= n {
				return Poisson{}, invalid("record", i, fmt.Sprintf("must be in [0, %d)", n))
			}
			counts[i]++
			if k > 0 && last[i] == k-1 {
				again++
			}
			last[i] = k
		}
	}
	rates := 0.0
	for _, c := range counts {
		rates += square(c-t*q) / (t * q * (1 - q))
	}
	p := Poisson{
		Mean:       twoSided(size, 0, math.Sqrt(t*variance)),
		Dispersion: min(1, 2*min(chi(low, t), 1-chi(high, t))),
		// The kurtosis of a binomial: its variance is 2 + (1-6pq)/(Tpq) a record.
		Rates:   twoSided(rates, float64(n), math.Sqrt(float64(n)*(2+(1-6*q*(1-q))/(t*q*(1-q))))),
		Overlap: 1,
	}
	if t > 1 {
		// Successive pairs share a batch: covariances add 2 q^3 (1-q) a record.
		mean := (t - 1) * float64(n) * q * q
		sd := math.Sqrt(float64(n) * ((t-1)*q*q*(1-q*q) + 2*(t-2)*q*q*q*(1-q)))
		p.Overlap = twoSided(again, mean, sd)
	}
	return p, nil
}

func square(x float64) float64 { return x * x }

// twoSided is the p-value of a normal statistic, half a unit off for continuity.
func twoSided(x, mean, sd float64) float64 {
	return min(1, 2*phi(-max(0, math.Abs(x-mean)-0.5)/sd))
}

func chi(x, degrees float64) float64 { return distuv.ChiSquared{K: degrees}.CDF(x) }
