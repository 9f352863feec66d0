package dpadam

import "math"

// maxSeriesTerms bounds the work for one fractional order.
const maxSeriesTerms = 20000

// logMomentSeries returns an upper bound of log A_alpha for fractional alpha under
// add-remove by the two series of Mironov, Talwar, Zhang 2019, Section 3.3:
//
//	A = sum_i C(alpha,i) [ (1-q)^j q^i e^{(i^2-i)/2sigma^2} Phi((z0-i)/sigma)
//	                     + (1-q)^i q^j e^{(j^2-j)/2sigma^2} Phi((j-z0)/sigma) ],
//	j = alpha - i,  z0 = sigma^2 log(1/q - 1) + 1/2.
//
// Signs matter: C(alpha,i) alternates for i > alpha. There both |C(alpha,i)| and the
// integrals of y^i over {y <= 1} decrease, so the remainder of each series is at most
// its first omitted term, which is added. ok is false when the bound would not be
// tight to 1e-9 relative: A close to 1, where the quadrature serves.
func logMomentSeries(q, sigma, alpha float64) (value float64, ok bool) {
	s := newSeries(q, sigma, alpha)
	plus, minus, errs := newLogSum(), newLogSum(), newLogSum()
	logC, sign := 0.0, 1.0
	for i := 0; i < maxSeriesTerms; i++ {
		t := s.term(float64(i), logC)
		errs.add(t + math.Log(s.size(float64(i), logC)))
		if sign > 0 {
			plus.add(t)
		} else {
			minus.add(t)
		}
		r := (alpha - float64(i)) / float64(i+1)
		logC += math.Log(math.Abs(r))
		if r < 0 {
			sign = -sign
		}
		if float64(i) <= alpha {
			continue
		}
		// next bounds the remainder of both series together.
		if next := s.term(float64(i+1), logC); next < plus.value()-28 || i == maxSeriesTerms-1 {
			return s.finish(plus, minus, errs, next)
		}
	}
	return 0, false
}

type series struct{ alpha, sigma, logQ, logP, z0 float64 }

func newSeries(q, sigma, alpha float64) series {
	logQ, logP := math.Log(q), math.Log1p(-q)
	return series{alpha, sigma, logQ, logP, sigma*sigma*(logP-logQ) + 0.5}
}

// term returns the logarithm of the i-th terms of both series together, sign aside.
func (s series) term(i, logC float64) float64 {
	j, v := s.alpha-i, 2*s.sigma*s.sigma
	sum := newLogSum()
	sum.add(logC + j*s.logP + i*s.logQ + i*(i-1)/v + logNormalCDF((s.z0-i)/s.sigma))
	sum.add(logC + i*s.logP + j*s.logQ + j*(j-1)/v + logNormalCDF((j-s.z0)/s.sigma))
	return sum.value()
}

// size bounds the parts of the exponent of term i; each has a relative error of a few 2^-53,
// logC an absolute one of 2^-53 for every factor of its recurrence.
func (s series) size(i, logC float64) float64 {
	v := s.sigma * s.sigma
	j, z := math.Abs(s.alpha-i), math.Abs(s.z0)
	return math.Abs(logC) + i*(1+math.Abs(s.logP)+math.Abs(s.logQ)) +
		j*(1+math.Abs(s.logP)+math.Abs(s.logQ)) + ((i+z)*(i+z)+(j+z)*(j+z))/v + 4
}

// finish adds the remainder and the rounding error and takes the logarithm.
func (s series) finish(plus, minus, errs logSum, next float64) (float64, bool) {
	p := plus.value()
	rest := math.Exp(next-p) + 0x1p-49*math.Exp(errs.value()-p) // relative to the positive part
	inner := 1 - math.Exp(minus.value()-p)
	a := math.Max(p+math.Log(inner+rest), 0) // A >= 1: below 0 can only be rounding
	return roundUp(a), rest/(inner+rest) < 1e-9*a
}

// logNormalCDF returns log Phi(x), to a relative accuracy of 1e-14 or better.
// Below -30 it uses the asymptotic series
// Phi(x) = phi(x)/|x| * (1 - 1/x^2 + 3/x^4 - 15/x^6 + ...).
func logNormalCDF(x float64) float64 {
	if x > -30 {
		if x > 5 {
			return math.Log1p(-0.5 * math.Erfc(x/math.Sqrt2))
		}
		return math.Log(0.5 * math.Erfc(-x/math.Sqrt2))
	}
	inv, term, sum := 1/(x*x), 1.0, 0.0
	for k := 1; k <= 7; k++ {
		term *= -float64(2*k-1) * inv
		sum += term
	}
	const halfLog2Pi = 0.91893853320467274178032973640562
	return -x*x/2 - math.Log(-x) - halfLog2Pi + math.Log1p(sum)
}
