package pld

import "math"

// A Kind is a family of pairs of mixtures.
type Kind int

// The kinds, in units of the noise's standard deviation: s = sensitivity/standard deviation,
// N(m) the normal distribution of mean m and variance 1. Every one is turned so that its
// loss rises with x.
const (
	// Remove: P = (1-q)N(0)+qN(s), Q = N(0). A record is removed (Poisson sampling).
	Remove Kind = iota
	// Add: P = N(0), Q = (1-q)N(0)+qN(s), mirrored.
	Add
	// Replace: P = (1-q)N(0)+qN(s), Q = (1-q)N(0)+qN(-s). A record is replaced; the pair
	// is its own mirror image, so it stands for both directions.
	Replace
)

// A pair is a dominating pair of one step.
type pair struct {
	kind Kind
	q, s float64
}

// density returns the density of P at x.
func (p pair) density(x float64) float64 {
	if p.kind == Add {
		return normal(x)
	}
	return (1-p.q)*normal(x) + p.q*normal(x-p.s)
}

// loss returns L(x) = log dP/dQ(x). With
//
//	A(x) = log((1-q) + q e^(sx - s^2/2)),
//
// it is A(x) for Remove, -A(-x) for Add and A(x) - A(-x) for Replace.
func (p pair) loss(x float64) float64 {
	switch p.kind {
	case Add:
		return -p.ratio(-x)
	case Replace:
		return p.ratio(x) - p.ratio(-x)
	}
	return p.ratio(x)
}

// ratio is A(x).
func (p pair) ratio(x float64) float64 {
	u := p.exponent(x)
	if u < 30 {
		return math.Log1p(p.q * math.Expm1(u))
	}
	return u + math.Log(p.q+(1-p.q)*math.Exp(-u))
}

func (p pair) exponent(x float64) float64 { return p.s * (x - p.s/2) }

// rise returns L(y) - L(x) for x <= y without the cancellation of a difference.
func (p pair) rise(x, y float64) float64 {
	switch p.kind {
	case Add:
		return p.ratioRise(-y, -x)
	case Replace:
		return p.ratioRise(x, y) + p.ratioRise(-y, -x)
	}
	return p.ratioRise(x, y)
}

// ratioRise is A(y) - A(x) = log(1 + w (e^(u(y)-u(x)) - 1)), where
// w = q e^u/((1-q) + q e^u) at x is the probability that x came from N(s).
func (p pair) ratioRise(x, y float64) float64 {
	w := 1.0
	if p.q < 1 {
		w = 1 / (1 + (1-p.q)/p.q*math.Exp(-p.exponent(x)))
	}
	d := p.s * (y - x)
	if d > 30 {
		return d + math.Log(w+(1-w)*math.Exp(-d))
	}
	return math.Log1p(w * math.Expm1(d))
}

// slope is L'(x).
func (p pair) slope(x float64) float64 {
	w := func(x float64) float64 { return 1 / (1 + (1-p.q)/p.q*math.Exp(-p.exponent(x))) }
	switch p.kind {
	case Add:
		return p.s * w(-x)
	case Replace:
		return p.s * (w(x) + w(-x))
	}
	return p.s * w(x)
}

// supremum is the least upper bound of the loss.
func (p pair) supremum() float64 {
	if p.kind == Add {
		return -math.Log1p(-p.q)
	}
	return math.Inf(1)
}

// above returns an upper bound of P(X > x).
func (p pair) above(x float64) float64 {
	if p.kind == Add {
		return upperTail(x)
	}
	return (1-p.q)*upperTail(x) + p.q*upperTail(x-p.s)
}

// end returns a point x with P(N(0,1) > x) <= e^logTail.
func end(logTail float64) float64 {
	x := math.Sqrt(math.Max(0, -2*logTail)) // the tail is at most e^(-x^2/2)
	for x > 0 && logTailOf(x-1.0/16) <= logTail {
		x -= 1.0 / 16
	}
	return math.Max(x, 1)
}

// start is a point left of which P has less than 1e-20: N(0)'s tail bounds it too.
const start = -9.25

const invSqrt2Pi = 0.39894228040143267793994605993438

func normal(x float64) float64 { return invSqrt2Pi * math.Exp(-x*x/2) }

// upperTail is P(N(0,1) > x) and a little more.
func upperTail(x float64) float64 { return 0.5 * math.Erfc(x/math.Sqrt2) * (1 + 1e-13) }
