package pld

import "math"

// merged is the loss of an observer who is told only which cell x fell into: by post-processing it has no larger delta than
// the pair, and so bounds it from below. A cell's loss is the logarithm of its P-mass over its Q-mass; mass on the left of lo is
// left out, mass on the right of hi has the loss at hi, which is less than its own.
func merged(p pair, lo, hi, step float64) nodes {
	var n nodes
	cells := int(math.Ceil((hi - lo) / step))
	for i := range cells {
		a := lo + float64(i)*step
		base, up, down := p.loss(a), 0.0, 0.0 // down is the Q-mass times e^base: it neither over- nor underflows
		for _, g := range gauss4 {
			x := a + g[0]*step
			mass := p.density(x) * g[1] * step
			up += mass
			down += mass * math.Exp(-p.rise(a, x))
		}
		if l := base + math.Log(up/down); down > 0 {
			n.add(l-4e-13-4e-16*math.Abs(l), up*(1-massSlack))
		}
	}
	end := lo + float64(cells)*step
	l := p.loss(end)
	n.add(l-4e-16*math.Abs(l), p.above(end)*(1-1e-10))
	return n
}

// Work and shares of the lower bound; it has no promise to keep and is left out where it would take long.
const (
	lowerWork  = 2e7
	lowerShare = 1e-3 // of delta: what the small Gaussian may have added
)

// lower returns a lower bound of the epsilon of c at delta, near its estimate; 0 where it would take long. It is the bound's trapezoid sum
// over merged cells, less everything that may be too much of it: aliases, the cut, rounding, and the small Gaussian mechanism
// on top, whose loss Y ~ N(mu^2/2, mu^2) adds more than t with probability P(Y > t), so
//
//	f(epsilon - t) >= f_with(epsilon) - P(Y > t)   for f(e) = E[(1-e^(e-Lambda))_+].
func (c Composition) lower(at target, delta float64) (float64, error) {
	if at.epsilon == 0 {
		return 0, nil
	}
	s, mu2, loss, err := c.around(at, 1, merged)
	if err != nil {
		return 0, err
	}
	alias := aliasShare * loss
	tilt, window, last := s.cheapest(at, loss)
	if work := float64(s.size()) * last * window / (2 * math.Pi); !(work > 0 && work <= lowerWork) {
		return 0, nil
	}
	ct := s.upTo(tilt, window, last)
	shift, beyond := 0.0, 0.0
	if mu2 > 0 {
		mu := math.Sqrt(mu2)
		z := end(math.Log(lowerShare * loss))
		shift, beyond = mu2/2+z*mu, upperTail(z)
	}
	floor := func(e float64) float64 {
		blur := 2 * (ct.blur + 0x1p-50*(1+math.Abs(ct.k)+ct.c*e))
		return ct.delta(e)*(1-blur) - ct.prefactor(e)*(ct.rounding+ct.cut)*(1+blur) - 4*alias - beyond
	}
	e := root(floor, at.epsilon, delta) * (1 - 1e-9) // floor(e) > delta here: root's result is the first where it is not
	if !(floor(e) > delta) || math.IsInf(e, 1) || s.window(tilt, e, 1.9*alias) > window {
		return 0, nil // the window was made for at.epsilon: both sides' aliases have to fit into 4 of them here too
	}
	return math.Max(0, e-shift), nil
}
