package audit

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// GaussianEpsilon is Epsilon for a mechanism that is known to be Gaussian: it refutes every
// epsilon whose Gaussian mechanism, the one of noise just enough for (epsilon, delta), could
// not have let so many guesses be right. Knowing the whole trade-off curve it gives more than
// Epsilon from the same guesses, and refutes less: the claim "this much Gaussian noise was
// added", not the claim (epsilon, delta) of an unknown mechanism. It needs delta > 0.
//
// Mahloujifar, Melis, Chaudhuri 2024, "Auditing f-differential privacy in one run", Algorithm 3,
// with the trade-off curve of a Gaussian mechanism of parameter mu (Dong, Roth, Su 2019).
func (o OneRun) GaussianEpsilon(significance float64) (float64, error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	if err := checkSignificance(significance); err != nil {
		return 0, err
	}
	if o.Delta == 0 {
		return 0, errNoDelta
	}
	return first(func(epsilon float64) bool {
		return o.refutesGaussian(significance, GaussianMu(epsilon, o.Delta))
	}), nil
}

var errNoDelta = invalid("delta", 0.0, "must be > 0: no Gaussian mechanism is private at delta = 0")

// refutesGaussian reports whether the counts contradict privacy of parameter mu. With
// r_i = P[the last i guesses of an order are right, and ...] bounded from the significance
// downwards, h_i by the blow-up of the right ones, h = Phi(Phi^-1(r) - mu):
//
//	r_c = s c/m,  h_c = s (c'-c)/m;   h_i = max(h_{i+1}, Phi(Phi^-1(r_{i+1}) - mu)),
//	r_i = r_{i+1} + i/(c'-i) (h_i - h_{i+1}),  i = c-1, ..., 0;   refuted if r_0 + h_0 > c'/m,
//
// c right of c' guesses among m canaries.
func (o OneRun) refutesGaussian(significance, mu float64) bool {
	m, c := float64(o.Canaries), float64(o.Guesses)
	r, h := significance*float64(o.Correct)/m, significance*float64(o.Guesses-o.Correct)/m
	for i := o.Correct - 1; i >= 0; i-- {
		next := max(h, phi(mathext.NormalQuantile(min(r, 1))-mu))
		if next == h {
			break // r cannot change any more either
		}
		r = min(1, r+float64(i)/(c-float64(i))*(next-h))
		h = next
	}
	return r+h > c/m
}

// GaussianMu is the largest mu at which a Gaussian mechanism (sensitivity mu times the standard
// deviation of the noise) is (epsilon, delta)-private, epsilon >= 0 and 0 < delta < 1 (Balle, Wang
// 2018, Theorem 8):
//
//	delta(epsilon; mu) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu) <= delta.
func GaussianMu(epsilon, delta float64) float64 {
	return first(func(mu float64) bool { return mu == 0 || gaussianDelta(epsilon, mu) <= delta })
}

func gaussianDelta(epsilon, mu float64) float64 {
	return phi(mu/2-epsilon/mu) - math.Exp(epsilon+logPhi(-mu/2-epsilon/mu))
}

// phi is the standard normal distribution function.
func phi(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// logPhi is log Phi(x), for x < -30 by the first terms of its asymptotic series.
func logPhi(x float64) float64 {
	if x > -30 {
		return math.Log(phi(x))
	}
	z := 1 / (x * x)
	return -x*x/2 - math.Log(-x) - math.Log(2*math.Pi)/2 + math.Log1p(-z*(1-z*(3-15*z)))
}
