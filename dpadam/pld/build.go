package pld

import (
	"fmt"
	"math"
	"slices"
)

// Shares of the error that the bound may have, relative to epsilon, or to delta times slope*epsilon,
// which is by what delta changes when epsilon doubles.
const (
	dotsShare     = 1.5e-5 // of epsilon: mass moved to the ends of cells
	gaussianShare = 4e-5   // of epsilon: the small Gaussian composed on top
	tailShare     = 2e-7   // of delta: losses counted as infinite
	cutShare      = 2e-7   // of delta: what the sum cuts off
	aliasShare    = 2e-7   // of delta: the trapezoid sum's other terms
	settled       = 3e-8   // of delta: each of these for the estimate
)

// Widths of cells and steps of the quadrature, in standard deviations of the noise, and bounds of
// the work.
const (
	exactStep = 1.0 / 64 // of the quadrature
	fewSteps  = 12

	chernoffStep = 1.0 / 64 // of the cells of a cheap bound
	coarsest     = 1.0 / 8
	finest       = 1.0 / 4096
	maxCells     = 1 << 18 // of one component
	maxWork      = 1.5e8   // cells times frequencies, of one term
)

// A tail bounds what the tail of a step may add to delta. Counting losses beyond a point x
// as infinite adds to delta at most
//
//	E_P[e^(epsilon-Lambda); some step beyond x] = e^epsilon Q(some step beyond x) <= e^epsilon T Q(X > x),
//
// for (1-e^(epsilon-Lambda))_+ >= 1 - e^(epsilon-Lambda): much less than P(X > x), and so the
// enormous losses that hardly ever happen need no cells. In every pair N(0)'s tail bounds Q's, or P's
// where the loss is bounded (Add). Without an epsilon yet P's own tail is what has to be small.
type tail struct {
	excess, epsilon float64
	anyEpsilon      bool
}

// from is the point from which on p's tail is left out.
func (t tail) from(p pair, count float64) float64 {
	x := math.Max(math.Log(t.excess)-math.Log(count)-t.epsilon, -1e8) // -1e8: more cells than there can be
	if t.anyEpsilon && p.kind != Add {
		return p.s + end(x)
	}
	return end(x)
}

// exact returns the quadrature of c.
func (c Composition) exact(t tail) (*spectrum, error) { return c.spectrum(t, exactStep, quadrature) }

// few reports so few steps that the transform falls slowly: the estimate from it is rough.
func (c Composition) few() bool {
	steps := 0.0
	for _, st := range c.Steps {
		steps += st.Count
	}
	return steps <= fewSteps
}

// dotted returns the connected dots of c.
func (c Composition) dotted(t tail, step float64) (*spectrum, error) {
	return c.spectrum(t, step, dots)
}

func (c Composition) spectrum(t tail, step float64, discretise func(p pair, lo, hi, step float64) nodes) (*spectrum, error) {
	s := &spectrum{mu2: c.GaussianMu2}
	for _, st := range c.Steps {
		out := term{count: st.Count}
		for _, k := range st.Components {
			p := pair{k.Kind, k.SampleRate, k.Shift}
			hi := t.from(p, st.Count*float64(len(c.Steps)))
			if !((hi-start)/step <= maxCells) {
				return nil, fmt.Errorf("%w: noise multiplier %g", ErrRange, 1/k.Shift)
			}
			out.merge(discretise(p, start, hi, step), k.Weight)
		}
		s.terms = append(s.terms, out)
	}
	return s, nil
}

// A target is where a bound is wanted, and what the estimate knows about the place.
type target struct {
	saddle, epsilon, delta float64
	fall                   float64 // -d delta/d epsilon
	density                float64 // of the loss at epsilon
	roughness              float64 // sum_i T_i E[L_i'^2 density(epsilon - L_i)]
	room                   float64 // where epsilon is 0, by how much delta is larger than needed
	bounds                 bool    // the place was found by bounds alone; there is no estimate yet
}

// scale is what relative errors of epsilon are relative to: epsilon, or where that is 0 a
// small part of the distance over which delta falls by a factor e, or so much that the errors fill a
// sixth of the room.
func (t target) scale() float64 {
	return math.Max(t.epsilon, math.Max(1e-3*t.delta, t.room/(6*(dotsShare+gaussianShare)))/t.fall)
}

// survey fills in what a trace of the estimate tells about the place. With density = delta” - delta', a
// small independent variance v and mean v/2 added to the loss raises delta by density v/2, and
// epsilon by density/fall v/2. A mass at a distance d from the lower end of a cell of width h in the
// loss becomes a distribution of variance d(h-d), h^2/6 on average: there the
// density is that of the other steps, at epsilon - L.
func (c Composition) survey(s *spectrum, ct *contour, at *target) {
	_, _, variance := s.cumulant(at.saddle)
	h := 0.1 * math.Min(1/at.saddle, math.Sqrt(variance))
	at.fall, at.density = ct.fall(at.epsilon, h), ct.density(at.epsilon, h)
	least := at.saddle * at.delta / 100
	at.fall = atLeast(at.fall, least)
	at.density = atLeast(at.density, at.fall/100)
	for i, st := range c.Steps {
		t := &s.terms[i]
		rest := ct.table(at.epsilon, t.loss, h)
		for j, l := range t.loss {
			at.roughness += st.Count * t.mass[j] * t.slope[j] * t.slope[j] * rest(l)
		}
	}
	at.roughness = atLeast(at.roughness, at.density*1e-6*variance)
}

// atLeast is x, or least where x is smaller or no number.
func atLeast(x, least float64) float64 {
	if x > least && !math.IsInf(x, 1) {
		return x
	}
	return least
}

// table returns the density at epsilon - l by linear interpolation, for l within the losses.
func (ct *contour) table(epsilon float64, losses []float64, h float64) func(l float64) float64 {
	const points = 64
	window := 2 * math.Pi / ct.spacing
	lo, hi := slices.Min(losses), math.Min(slices.Max(losses), epsilon+window/2)
	step := (hi - lo) / (points - 1)
	values := make([]float64, points)
	for i := range values {
		if v := ct.density(epsilon-lo-float64(i)*step, h); v > 0 && !math.IsInf(v, 1) {
			values[i] = v // elsewhere it is nothing, or rounding
		}
	}
	return func(l float64) float64 {
		x := (l - lo) / step
		i := int(x)
		if !(x >= 0) || i >= points-1 {
			return values[points-1]
		}
		return values[i] + (x-float64(i))*(values[i+1]-values[i])
	}
}

// around discretises c for the target, with errors of the given part of their shares, and composes the small Gaussian on top: its
// mu^2 is added. loss is what delta changes by when epsilon does by its scale.
func (c Composition) around(at target, part float64, discretise func(p pair, lo, hi, step float64) nodes) (s *spectrum, added, loss float64, err error) {
	scale := at.scale()
	step := math.Sqrt(12 * part * dotsShare * scale * at.fall / at.roughness)
	loss = math.Min(at.delta, at.fall*scale)
	if s, err = c.spectrum(tail{excess: tailShare * loss, epsilon: at.epsilon}, math.Max(finest, math.Min(coarsest, step)), discretise); err != nil {
		return nil, 0, 0, err
	}
	added = math.Max(0, 2*part*gaussianShare*scale*at.fall/at.density-s.mu2)
	s.mu2 += added
	return s, added, loss, nil
}

// upTo traces the contour up to frequency last and bounds what is beyond.
func (s *spectrum) upTo(tilt, window, last float64) *contour {
	ct := s.trace(tilt, window, func(_ int, y, _ float64) bool { return y >= last })
	ct.cut = s.beyond(float64(len(ct.g)-1)*ct.spacing) * window // in units of the prefactor
	return ct
}

// bounding traces the contour whose sums are upper bounds near the target, with errors of the given part of
// their shares.
func (c Composition) bounding(at target, part float64) (*contour, error) {
	s, _, loss, err := c.around(at, part, dots)
	if err != nil {
		return nil, err
	}
	tilt, window, last := s.cheapest(at, loss) // of s itself: its tail is not the estimate's
	if n := float64(s.size()) * last * window; !(n > 0) || math.IsInf(n, 1) {
		return nil, ErrRange
	}
	n := s.size()
	for float64(n)*last*window/(2*math.Pi) > maxWork*float64(len(s.terms)) {
		s.mu2 *= 1.5
		last /= math.Sqrt(1.5)
	}
	return s.upTo(tilt, window, last), nil
}

// narrowest is cheapest for the estimate, whose cut is not bounded: the integrand may not become much
// larger than at the saddle.
func (s *spectrum) narrowest(at target, alias float64) (tilt, window float64) {
	size := func(c float64) float64 {
		k, _, _ := s.cumulant(c)
		return k - c*at.epsilon - math.Log(c) - math.Log1p(c)
	}
	window = math.Inf(1)
	for f := 1.0; f > 0.05 && size(at.saddle*f) < size(at.saddle)+5; f /= 1.4 {
		w := s.window(at.saddle*f, at.epsilon, alias)
		if w >= window {
			break
		}
		tilt, window = at.saddle*f, w
	}
	return tilt, window
}

// cheapest chooses the tilt. Every one gives a valid bound; the saddle gives the smallest
// integrand, but where huge losses are rare it gives them most of the tilted mass, and the window
// has to hold them.
func (s *spectrum) cheapest(at target, loss float64) (tilt, window, last float64) {
	best := math.Inf(1)
	for f := 1.0; f > 0.05; f /= 1.4 {
		c := at.saddle * f
		w := s.window(c, at.epsilon, aliasShare*loss)
		k, _, _ := s.cumulant(c)
		y := s.reach(math.Log(cutShare*loss) - (k - c*at.epsilon))
		if w*y >= best {
			break
		}
		best, tilt, window, last = w*y, c, w, y
	}
	return tilt, window, last
}

// size is the number of nodes.
func (s *spectrum) size() int {
	n := 0
	for i := range s.terms {
		n += len(s.terms[i].loss)
	}
	return n
}

// beyond bounds what the trapezoid sum has beyond frequency y, both sides together, relative to
// e^(K(c)-c epsilon): |M(c+iy)| <= M(c) e^(-mu^2 y^2/2) and |t(t+1)| >= y^2, hence
//
//	1/pi int_y^inf e^(-mu^2 v^2/2)/v^2 dv <= 1/(pi y^2) sqrt(pi/2)/mu erfc(mu y/sqrt 2).
func (s *spectrum) beyond(y float64) float64 {
	mu := math.Sqrt(s.mu2)
	return math.Erfc(mu*y/math.Sqrt2) / (y * y * mu * math.Sqrt(2*math.Pi)) * (1 + 1e-12)
}

// reach returns a frequency with log beyond(y) <= budget.
func (s *spectrum) reach(budget float64) float64 {
	y := 0.1 / math.Sqrt(s.mu2)
	for math.Log(s.beyond(y)) > budget {
		y *= 1.02
	}
	return y
}

// estimate traces the contour of the exact transform until what is left no longer
// matters: a whole stretch of frequencies has to be small, for a transform may swing. done is false if that would
// take too long: where the loss hardly ever moves, at tiny q in few steps, the transform falls slowly.
func (s *spectrum) estimate(p saddle, delta float64) (ct *contour, done bool) {
	const stretch = 64
	at := target{saddle: p.c, epsilon: p.epsilon}
	tilt, window := s.narrowest(at, settled*delta)
	k, _, _ := s.cumulant(tilt)
	small := math.Exp(math.Log(settled*delta)-(k-tilt*p.epsilon)) * math.Pi
	limit := int(math.Max(4*stretch, maxWork/32/float64(s.size()+1)))
	largest := 0.0
	ct = s.trace(tilt, window, func(k int, y, size float64) bool {
		largest = math.Max(largest, size)
		if k%stretch != stretch-1 {
			return false
		}
		done = largest*y < small
		largest = 0
		return done || k > limit
	})
	return ct, done
}
