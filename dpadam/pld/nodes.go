package pld

import "math"

// nodes is a distribution of a privacy loss on finitely many values; what is missing of its
// mass to 1 sits at +Inf or was left out (estimate).
type nodes struct {
	loss, mass, logMass []float64
	slope               []float64 // L' at the node; of a quadrature only
	infinite            float64   // upper bound of the mass at +Inf
}

// add adds a point and reports whether it counts: one without mass does not.
func (n *nodes) add(loss, mass float64) bool {
	if !(mass > 0) {
		return false
	}
	n.loss, n.mass, n.logMass = append(n.loss, loss), append(n.mass, mass), append(n.logMass, math.Log(mass))
	return true
}

// merge adds another distribution with a weight: a mixture of which the drawn part is
// revealed.
func (n *nodes) merge(m nodes, weight float64) {
	for i, l := range m.loss {
		if n.add(l, weight*m.mass[i]) && m.slope != nil {
			n.slope = append(n.slope, m.slope[i])
		}
	}
	n.infinite += weight * m.infinite
}

// quadrature returns the points of the trapezoid rule of the given step for
// E_P[f(L)] = int P(x) f(L(x)) dx; what is right of hi counts as +Inf.
func quadrature(p pair, lo, hi, step float64) nodes {
	var n nodes
	for i := 0; ; i++ {
		x := lo + float64(i)*step
		if x > hi {
			n.infinite = p.above(x - step/2)
			return n
		}
		if n.add(p.loss(x), p.density(x)*step) {
			n.slope = append(n.slope, p.slope(x))
		}
	}
}

// gauss4 are the points and weights of the Gauss-Legendre rule of order 4 on [0, 1].
var gauss4 = [4][2]float64{
	{0.069431844202973712388, 0.17392742256872692869},
	{0.33000947820757186760, 0.32607257743127307131},
	{0.66999052179242813240, 0.32607257743127307131},
	{0.93056815579702628761, 0.17392742256872692869},
}

// massSlack makes every mass an upper bound: the rule's own error is below 1e-14 relative for
// the cells used (at most 1/8 wide), exp adds the rounding of x^2/2 <= 800 times 2^-53.
const massSlack = 2e-13

// dots connects the dots (Doroshenko et al. 2022, "Connect the Dots: Tighter Discrete
// Approximations of Privacy Loss Distributions", Section 3). A cell [a, b] of losses l_a < l_b
// gives the upper end
//
//	int P (1 - e^(l_a - L)) / (1 - e^(l_a - l_b)) dx
//
// and the rest of its P-mass to the lower one, which keeps P-mass and Q-mass, for
// Q = P e^-L. Mass left of lo moves up to the first loss, mass right of hi to +Inf: moving up
// only raises delta. (The least upper bound of a loss would be nearer, but exponential
// tilts make a mountain of an atom there.) All is written with the rise of the loss, so
// nothing cancels in a narrow cell.
func dots(p pair, lo, hi, step float64) nodes {
	cells := int(math.Ceil((hi - lo) / step))
	upper := make([]float64, cells+1) // mass by end
	at := func(i int) float64 { return lo + float64(i)*step }
	upper[0] = upperTail(-lo) // P(X < lo) <= N(0)'s: the other part lies to the right
	for i := range cells {
		a, b := at(i), at(i+1)
		full := -math.Expm1(-p.rise(a, b))
		for _, g := range gauss4 {
			x := a + g[0]*(b-a)
			mass := p.density(x) * g[1] * (b - a)
			up := 1.0
			if full > 0 {
				up = math.Min(1, -math.Expm1(-p.rise(a, x))/full)
			}
			upper[i] += mass * (1 - up)
			upper[i+1] += mass * up
		}
	}
	var n nodes
	for i, m := range upper {
		l := p.loss(at(i))
		n.add(l+4e-16*math.Abs(l), m*(1+massSlack))
	}
	n.infinite = p.above(at(cells))
	return n
}
