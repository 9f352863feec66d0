package pld

import "math"

// A term is one kind of step, repeated.
type term struct {
	nodes
	count float64
}

// A spectrum is the loss of a composition, ready for evaluation: steps on nodes and one
// Gaussian mechanism, whose loss is N(mu^2/2, mu^2) without any discretisation.
type spectrum struct {
	terms []term
	mu2   float64
}

// infinite bounds the probability that any step's loss is +Inf.
func (s *spectrum) infinite() float64 {
	sum := 0.0
	for i := range s.terms {
		sum += s.terms[i].count * s.terms[i].nodes.infinite
	}
	return sum
}

// cumulant returns K(c) = log M(c) of the composition and its first two derivatives: mean and
// variance of the loss under the tilted distribution, of density proportional to
// p e^(cL).
func (s *spectrum) cumulant(c float64) (k, mean, variance float64) {
	for i := range s.terms {
		t := &s.terms[i]
		k1, m1, v1 := t.cumulant(c)
		k, mean, variance = k+t.count*k1, mean+t.count*m1, variance+t.count*v1
	}
	return k + s.mu2*(c*c+c)/2, mean + s.mu2*(c+0.5), variance + s.mu2
}

func (n *nodes) cumulant(c float64) (k, mean, variance float64) {
	top := math.Inf(-1)
	for i, l := range n.loss {
		top = math.Max(top, c*l+n.logMass[i])
	}
	// Losses are taken relative to the one at the peak: a variance below the square of
	// the mean's last digit would be lost otherwise.
	center := n.loss[0]
	for i, l := range n.loss {
		if c*l+n.logMass[i] == top {
			center = l
		}
	}
	var s0, s1, s2 float64
	for i, l := range n.loss {
		e := c*l + n.logMass[i] - top
		if e < -80 {
			continue
		}
		w, d := math.Exp(e), l-center
		s0 += w
		s1 += w * d
		s2 += w * d * d
	}
	m := s1 / s0
	return top + math.Log(s0), center + m, math.Max(0, s2/s0-m*m)
}

// saddle describes the point at which the contour crosses the real axis.
type saddle struct {
	c, epsilon, logDelta float64
}

// at returns the epsilon whose saddle point is c, the zero of the derivative of
//
//	psi(c) = K(c) - c*epsilon - log c - log(1+c),
//
// and the saddle point approximation of log delta there,
// psi - log(2 pi psi”)/2 (Alghamdi et al. 2023, "The Saddle-Point Method in Differential
// Privacy").
func (s *spectrum) at(c float64) saddle {
	k, mean, variance := s.cumulant(c)
	epsilon := mean - 1/c - 1/(1+c)
	psi := k - c*epsilon - math.Log(c) - math.Log1p(c)
	curvature := variance + 1/(c*c) + 1/((1+c)*(1+c))
	return saddle{c, epsilon, psi - 0.5*math.Log(2*math.Pi*curvature)}
}

// Bounds of the tilt. Below, delta is within 1e-8 of its largest value; above, float64 holds
// no loss of practical size.
const (
	minTilt = 1e-9
	maxTilt = 1e12
)

// saddleOf returns the point where below turns from true to false as c rises; below has to
// be monotone up to the error of the approximation, which is all that the search needs: every
// c gives a valid bound.
func (s *spectrum) saddleOf(below func(saddle) bool) saddle {
	lo, hi := math.Log(minTilt), math.Log(maxTilt)
	for hi-lo > 1e-4 {
		mid := lo + (hi-lo)/2
		if below(s.at(math.Exp(mid))) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return s.at(math.Exp(hi))
}

// saddleAtDelta is the saddle point of the epsilon that has about this delta.
func (s *spectrum) saddleAtDelta(delta float64) saddle {
	target := math.Log(delta)
	return s.saddleOf(func(p saddle) bool { return p.logDelta > target || math.IsNaN(p.logDelta) })
}

// saddleAtEpsilon is the saddle point of epsilon.
func (s *spectrum) saddleAtEpsilon(epsilon float64) saddle {
	return s.saddleOf(func(p saddle) bool { return p.epsilon < epsilon })
}

// chernoff bounds delta(epsilon) by the best tilt near the saddle:
//
//	(1-e^-x)_+ <= e^(cx) c^c/(1+c)^(1+c),  so  delta <= c^c/(1+c)^(1+c) e^(K(c)-c epsilon)
//
// (Canonne, Kamath, Steinke 2020, Proposition 12), and adds the mass at +Inf.
func (s *spectrum) chernoff(epsilon float64) float64 {
	c := s.saddleAtEpsilon(epsilon).c
	k, _, _ := s.cumulant(c)
	return math.Exp(k-c*epsilon+c*math.Log(c)-(1+c)*math.Log1p(c))*(1+1e-9) + s.infinite()
}
