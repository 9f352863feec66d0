package pld

import "math"

// Closed forms: no step but Gaussian mechanisms, and a single step.

// closed returns delta(epsilon) of c and a bound of its rounding error, if c has a closed form.
func (c Composition) closed() (func(epsilon float64) (delta, slack float64), bool) {
	switch {
	case len(c.Steps) == 0:
		mu := math.Sqrt(c.GaussianMu2)
		return func(e float64) (float64, float64) { return gaussian(mu, e) }, true
	case len(c.Steps) == 1 && c.Steps[0].Count == 1 && c.GaussianMu2 == 0:
		parts := c.Steps[0].Components
		return func(e float64) (delta, slack float64) {
			for _, k := range parts {
				d, s := pair{k.Kind, k.SampleRate, k.Shift}.delta(e)
				delta, slack = delta+k.Weight*d, slack+k.Weight*s
			}
			return delta, slack
		}, true
	}
	return nil, false
}

// gaussian is the Gaussian mechanism of mean mu and standard deviation 1 (Balle, Wang 2018,
// Theorem 5):
//
//	delta = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu).
//
// Both terms are written with erfcx's quotient so that e^epsilon neither overflows nor
// meets 0: e^epsilon Phi(-b) = phi(a)/phi(b) Phi(-b), where b^2 - a^2 = 2 epsilon.
func gaussian(mu, epsilon float64) (delta, slack float64) {
	if mu == 0 {
		return 0, 0
	}
	a, b := epsilon/mu-mu/2, epsilon/mu+mu/2 // delta = Phi(-a) - e^epsilon Phi(-b)
	x, y := tail1(a), math.Exp(-a*a/2)*mills(b)
	if a < 0 {
		y = math.Exp(epsilon + logTailOf(b))
	}
	// mills is good to 1e-13; the exponents are rounded.
	return math.Max(0, x-y), (x + y) * (2e-13 + 0x1p-51*(a*a+b*b))
}

// tail1 is P(N(0,1) > x).
func tail1(x float64) float64 { return 0.5 * math.Erfc(x/math.Sqrt2) }

// logTailOf is log P(N(0,1) > x).
func logTailOf(x float64) float64 {
	if x < 10 {
		return math.Log(tail1(x))
	}
	return -x*x/2 + math.Log(mills(x))
}

// mills is e^(x^2/2) P(N(0,1) > x): from erfc while that has digits, then by the continued
// fraction of Laplace, 1/(x + 1/(x + 2/(x + 3/(x + ...)))) / sqrt(2 pi).
func mills(x float64) float64 {
	if x < 10 {
		return math.Exp(x*x/2) * tail1(x)
	}
	f := 0.0
	for k := 60; k >= 1; k-- {
		f = float64(k) / (x + f)
	}
	return invSqrt2Pi / (x + f)
}

// delta is P(L > epsilon) - e^epsilon Q(L > epsilon), both tails from the point x where the loss
// is epsilon. Terms are gathered so that what is common to P and Q cancels before it
// is rounded.
func (p pair) delta(epsilon float64) (delta, slack float64) {
	if epsilon >= p.supremum() {
		return 0, 0
	}
	x := p.inverse(epsilon)
	if math.IsInf(x, 1) {
		return 0, 1e-300
	}
	n, q, grow := tail1(x), p.q, math.Expm1(epsilon)
	var plus, minus float64
	switch p.kind {
	case Remove: // (1-q)n + q r - (1+grow) n
		plus, minus = q*tail1(x-p.s), (q+grow)*n
	case Add: // n - (1+grow)((1-q) n + q l)
		plus, minus = q*(1+grow)*n, grow*n+(1+grow)*q*tail1(x+p.s)
	case Replace: // (1-q) n + q r - (1+grow)((1-q) n + q l)
		plus, minus = q*tail1(x-p.s), (1-q)*grow*n+(1+grow)*q*tail1(x+p.s)
	}
	return math.Max(0, plus-minus), (plus+minus)*(1e-14+0x1p-50*x*x) + 1e-300
}

// inverse returns x with loss(x) = l, ±Inf where the loss does not reach l. Delta is largest at the exact
// point, so an error of x lowers it by the square of that error only.
func (p pair) inverse(l float64) float64 {
	switch p.kind {
	case Add:
		return -p.ratioInverse(-l)
	case Replace:
		return p.replaceInverse(l)
	}
	return p.ratioInverse(l)
}

// ratioInverse solves A(x) = l: e^(sx - s^2/2) = (e^l - (1-q))/q.
func (p pair) ratioInverse(l float64) float64 {
	var u float64
	if l < 30 {
		v := math.Expm1(l) + p.q
		if v <= 0 {
			return math.Inf(-1)
		}
		u = math.Log(v / p.q)
	} else {
		u = l + math.Log1p(-(1-p.q)*math.Exp(-l)) - math.Log(p.q)
	}
	return u/p.s + p.s/2
}

// replaceInverse solves A(x) - A(-x) = l, an odd function of x; for l >= 0 with z = e^(sx - s^2/2) and
// k = e^(-s^2): q z^2 - (1-q)(e^l - 1) z - e^l q k = 0, divided by e^l.
func (p pair) replaceInverse(l float64) float64 {
	if l < 0 {
		return -p.replaceInverse(-l)
	}
	b := -(1 - p.q) * math.Expm1(-l)
	z := (b + math.Sqrt(b*b+4*p.q*p.q*math.Exp(-p.s*p.s-l))) / (2 * p.q) // times e^-l
	return (math.Log(z)+l)/p.s + p.s/2
}
