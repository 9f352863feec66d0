package dpadam

import "math"

// logMomentInteger returns an upper bound of log A_alpha for integer alpha >= 2
// under add-remove (Mironov, Talwar, Zhang 2019, equation (4), Section 3.3):
//
//	A_alpha = sum_{i=0}^{alpha} C(alpha,i) (1-q)^(alpha-i) q^i e^{(i^2-i)/2sigma^2}
//
// Because the binomial weights sum to 1 this is
//
//	A_alpha - 1 = sum_{i=2}^{alpha} C(alpha,i) (1-q)^(alpha-i) q^i (e^{(i^2-i)/2sigma^2} - 1),
//
// positive terms only, so nothing cancels when A_alpha is close to 1.
//
// Worked example: q = 0.5, sigma = 1, alpha = 2: A-1 = 0.25*(e-1) = 0.42957,
// log A = 0.35737.
func logMomentInteger(q, sigma float64, alpha int) float64 {
	n := float64(alpha)
	lgn, _ := math.Lgamma(n + 1)
	logQ, logP := math.Log(q), math.Log1p(-q)
	sum := newLogSum()
	for i := 2; i <= alpha; i++ {
		x := float64(i)
		lgi, _ := math.Lgamma(x + 1)
		lgr, _ := math.Lgamma(n - x + 1)
		sum.add(lgn - lgi - lgr + (n-x)*logP + x*logQ + logExpm1(x*(x-1)/2/sigma/sigma))
	}
	// Every logarithm above is a sum of parts of at most this size, each with a
	// relative error of a few 2^-53 (Lgamma: below 2^-50).
	size := lgn + n*(math.Abs(logQ)+math.Abs(logP)) + n*(n-1)/2/sigma/sigma + n
	err := 0x1p-48 * size
	return log1pExpUp(sum.value() + err)
}

// logExpm1 returns log(e^x - 1) for x > 0.
func logExpm1(x float64) float64 {
	if x > 40 {
		return x + math.Log1p(-math.Exp(-x))
	}
	return math.Log(math.Expm1(x))
}

// log1pExpUp returns log(1 + e^x), rounded up.
func log1pExpUp(x float64) float64 {
	if x > 40 {
		return roundUp(x + math.Exp(-x) + 1e-15)
	}
	return math.Log1p(math.Exp(x)) * (1 + 1e-13)
}

// logSum accumulates log(sum e^x) without overflow.
type logSum struct{ max, sum float64 }

func newLogSum() logSum { return logSum{max: math.Inf(-1)} }

func (s *logSum) add(x float64) {
	switch {
	case math.IsInf(x, -1):
	case x <= s.max:
		s.sum += math.Exp(x - s.max)
	default:
		s.sum = s.sum*math.Exp(s.max-x) + 1
		s.max = x
	}
}

func (s *logSum) value() float64 {
	if s.sum == 0 {
		return math.Inf(-1)
	}
	return s.max + math.Log(s.sum)
}
