package dpadam

import "math"

// lowerEpsilon returns a valid lower bound of the true epsilon of a composition at
// delta, by a test that an attacker can run. One record's gradient points the same way at
// norm C in every step; the attacker sees n steps and adds up what he sees in that
// direction. With the record that sum is a mixture, without it a Gaussian:
//
//	P = sum_k Bin(n, q)(k) N(k, n sigma^2),  Q = N(0, n sigma^2)   (in units of C),
//
// and for every threshold c, (epsilon, delta)-DP demands P(X>c) <= e^epsilon Q(X>c) + delta:
//
//	epsilon >= log((P(X>c) - delta) / Q(X>c)).
//
// The composition reveals at least as much as any one of its events, replace-one at least as
// much as add-remove (the other record may have gradient 0). At q = 1 the sum is a
// sufficient statistic and the bound is the true epsilon. It says nothing new
// elsewhere: it is there to show how loose an upper bound can at most be.
func lowerEpsilon(c Composition, delta float64) float64 {
	best := 0.0
	for _, e := range c.Events {
		m, ok := e.Mechanism.(PoissonSubsampledGaussian)
		if !ok || e.Count == 0 || m.SampleRate == 0 {
			continue
		}
		best = math.Max(best, lowerOfSum(m, 1, delta))
		if e.Count > 1 {
			best = math.Max(best, lowerOfSum(m, float64(e.Count), delta))
		}
	}
	return best
}

// lowerOfSum scans thresholds, then refines around the best one.
func lowerOfSum(m PoissonSubsampledGaussian, n, delta float64) float64 {
	const slack = 1e-9 // more than all rounding below
	k, pk := binomialLumps(n, m.SampleRate)
	s := m.NoiseMultiplier * math.Sqrt(n)
	at := func(c float64) float64 {
		p := 0.0
		for i := range k {
			p += pk[i] * math.Exp(logNormalCDF((k[i]-c)/s))
		}
		p = p*(1-slack) - delta
		if p <= 0 {
			return 0
		}
		return (math.Log(p) - logNormalCDF(-c/s)) * (1 - slack)
	}
	lo, hi := -2*s, k[len(k)-1]+9*s
	best, arg, step := 0.0, 0.0, (hi-lo)/40
	for range 5 {
		for c := lo; c <= hi; c += step {
			if v := at(c); v > best {
				best, arg = v, c
			}
		}
		lo, hi = arg-step, arg+step
		step /= 10
	}
	return best
}

// binomialLumps returns at most some 150 pairs (k, probability) of a distribution that
// is stochastically smaller than Bin(n, q): blocks of successive values are moved to their
// smallest one and both far tails are dropped, which can only lower P(X>c).
func binomialLumps(n, q float64) (k, p []float64) {
	if q == 1 {
		return []float64{n}, []float64{1}
	}
	sd := math.Sqrt(n * q * (1 - q))
	lo := math.Max(0, math.Floor(n*q-9*sd-1))
	hi := math.Min(n, math.Ceil(n*q+9*sd+10))
	block := math.Ceil((hi - lo + 1) / 150)
	lgn, _ := math.Lgamma(n + 1)
	exact := 1 - 1e-14*(lgn+1) // rounding of the logarithms below
	if hi-lo > 1e5 || exact < 0.5 {
		return []float64{0}, []float64{0} // too long a run: no lower bound
	}
	for b := lo; b <= hi; b += block {
		mass := 0.0
		for x := b; x < b+block && x <= hi; x++ {
			lgx, _ := math.Lgamma(x + 1)
			lgr, _ := math.Lgamma(n - x + 1)
			mass += exact * math.Exp(lgn-lgx-lgr+x*math.Log(q)+(n-x)*math.Log1p(-q))
		}
		k, p = append(k, b), append(p, mass)
	}
	return k, p
}
