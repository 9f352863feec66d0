package pld

import (
	"errors"
	"math"
)

// A Component is a pair of mixtures, in units of the noise's standard deviation.
type Component struct {
	Weight     float64 // probability that the step is this one, known to the observer; 1 for a plain step
	Kind       Kind
	SampleRate float64 // q in (0, 1)
	Shift      float64 // s > 0: sensitivity/standard deviation of the noise
}

// A Step is a mechanism repeated Count times: a mixture of components whose weights sum to 1.
type Step struct {
	Components []Component
	Count      float64
}

// A Composition is everything that was released, seen from one direction of the neighbouring
// relation, in any order.
type Composition struct {
	Steps []Step
	// GaussianMu2 is the square of mu of all releases that are plain Gaussian mechanisms
	// (q = 1) together: sum of (sensitivity/standard deviation)^2.
	GaussianMu2 float64
}

// ErrRange marks a composition that this package cannot bound: its losses are so large
// that no cells of a useful number cover them.
var ErrRange = errors.New("privacy loss beyond the range of the accountant")

// Bound is an answer: two proofs and the best guess between them. Lower may be 0 where it would take long.
type Bound struct{ Upper, Estimate, Lower float64 }

// Epsilon returns bounds and an estimate of the epsilon of c at delta in (0, 1).
func (c Composition) Epsilon(delta float64) (Bound, error) { return c.bound(delta, true) }

// Upper is Epsilon without a lower bound and with an estimate that may be rough, which saves half of the work and more.
func (c Composition) Upper(delta float64) (Bound, error) { return c.bound(delta, false) }

func (c Composition) bound(delta float64, refine bool) (Bound, error) {
	if f, ok := c.closed(); ok {
		upper := func(e float64) float64 { d, slack := f(e); return d + slack }
		b := Bound{Estimate: c.closedEstimate(f, delta)}
		if b.Upper = root(upper, b.Estimate, delta); math.IsInf(b.Upper, 1) {
			return Bound{}, ErrRange
		}
		b.Lower = root(func(e float64) float64 { d, slack := f(e); return d - slack }, b.Estimate, delta) * (1 - 1e-9)
		return b, nil
	}
	if c.trivial(delta) {
		return Bound{}, nil
	}
	at, err := c.solve(delta)
	if err != nil {
		return Bound{}, err
	}
	upper, err := c.bounding(at, 1)
	if err != nil {
		return Bound{}, err
	}
	b := Bound{Upper: root(upper.upper, at.epsilon, delta), Estimate: at.epsilon}
	if refine && (at.bounds || c.few()) {
		if b.Estimate, err = c.extrapolate(at, upper, delta); err != nil {
			return Bound{}, err
		}
	}
	if math.IsNaN(b.Upper) || math.IsInf(b.Upper, 0) {
		return Bound{}, ErrRange
	}
	if refine {
		b.Lower, err = c.lower(at, delta)
	}
	return b, err
}

// extrapolate returns the estimate of epsilon from the sums of two bounds, without what covers their
// rounding: halving the shares halves what they are above the truth (Richardson).
func (c Composition) extrapolate(at target, full *contour, delta float64) (float64, error) {
	half, err := c.bounding(at, 0.5)
	if err != nil {
		return 0, err
	}
	return math.Max(0, 2*root(half.total, at.epsilon, delta)-root(full.total, at.epsilon, delta)), nil
}

// Estimate returns the estimate of Epsilon alone, several times faster.
func (c Composition) Estimate(delta float64) (float64, error) {
	if f, ok := c.closed(); ok {
		return c.closedEstimate(f, delta), nil
	}
	if c.trivial(delta) {
		return 0, nil
	}
	at, err := c.solve(delta)
	return at.epsilon, err
}

// trivial reports that epsilon is 0 because the steps' total variation distances, which are their deltas at 0,
// add up to at most delta.
func (c Composition) trivial(delta float64) bool {
	sum, slack := gaussian(math.Sqrt(c.GaussianMu2), 0)
	sum += slack
	for _, s := range c.Steps {
		for _, k := range s.Components {
			d, slack := pair{k.Kind, k.SampleRate, k.Shift}.delta(0)
			sum += s.Count * k.Weight * (d + slack)
		}
	}
	return sum*(1+1e-12) <= delta
}

func (c Composition) closedEstimate(f func(float64) (float64, float64), delta float64) float64 {
	return root(func(e float64) float64 { d, _ := f(e); return d }, 1, delta)
}

// solve finds the estimate of epsilon at delta, and what belongs to it: first roughly, with a
// generous tail, then with the tail that this epsilon allows.
func (c Composition) solve(delta float64) (target, error) {
	rough, err := c.exact(tail{excess: 1e-3 * delta, anyEpsilon: true})
	if err != nil {
		return target{}, err
	}
	first := rough.saddleAtDelta(delta)
	exact, err := c.exact(tail{excess: settled * delta, epsilon: math.Max(0, first.epsilon)})
	if err != nil {
		return target{}, err
	}
	point := exact.saddleAtDelta(delta)
	if point.epsilon < 0 {
		point = exact.saddleAtEpsilon(0)
		point.epsilon = 0
	}
	trace, done := exact.estimate(point, delta)
	at := target{saddle: point.c, epsilon: point.epsilon, delta: delta}
	if !done {
		return c.approach(exact, at, func(ct *contour, at *target) float64 {
			e := root(ct.total, at.epsilon, delta)
			moved := math.Abs(e/at.epsilon - 1)
			at.epsilon, at.room = e, math.Max(0, delta-ct.total(0))
			return moved
		})
	}
	at.epsilon = root(trace.total, point.epsilon, delta)
	if math.IsNaN(at.epsilon) || math.IsInf(at.epsilon, 0) {
		return target{}, ErrRange
	}
	c.survey(exact, trace, &at)
	if at.epsilon == 0 {
		at.room = math.Max(0, delta-trace.total(0))
	}
	return at, nil
}

// approach finds the place by bounds alone, first by a rough one: each says where to make the next. move puts the place where a
// contour says it is, and returns how far off it was, relative to itself.
func (c Composition) approach(exact *spectrum, at target, move func(ct *contour, at *target) float64) (target, error) {
	const (
		rounds    = 6
		near      = 1e-3
		roughStep = 1.0 / 32
		roughMu   = 1e-2 // of epsilon
	)
	at.bounds = true
	at.fall = at.saddle * at.delta
	scale := at.scale()
	at.density = 2 * gaussianShare * at.fall / (roughMu * roughMu * scale)
	at.roughness = 12 * dotsShare * scale * at.fall / (roughStep * roughStep)
	for range rounds {
		ct, err := c.bounding(at, 1)
		if err != nil {
			return target{}, err
		}
		moved := move(ct, &at)
		if math.IsNaN(at.epsilon) || math.IsInf(at.epsilon, 0) {
			return target{}, ErrRange
		}
		at.roughness = 0
		c.survey(exact, ct, &at)
		if moved < near || at.epsilon == 0 {
			break
		}
		if s := exact.saddleAtEpsilon(at.epsilon); s.c > 0 {
			at.saddle = s.c
		}
	}
	return at, nil
}

// Exceeds reports whether c may have a larger epsilon at delta than the given one (or, which is
// the same, a larger delta at epsilon), by a cheap bound alone: false is a proof that it has not.
func (c Composition) Exceeds(epsilon, delta float64) (bool, error) {
	bound, err := c.chernoff(epsilon, 1e-3*delta)
	return !(bound <= delta), err
}

// chernoff bounds delta at epsilon; excess is what the tail may add.
func (c Composition) chernoff(epsilon, excess float64) (float64, error) {
	s, err := c.dotted(tail{excess: excess, epsilon: epsilon}, chernoffStep)
	if err != nil {
		return 1, err
	}
	return math.Min(1, s.chernoff(epsilon)), nil
}

// deltaPart makes the errors of Delta's bound smaller than those of Epsilon's, so that delta at an epsilon that Epsilon gave
// for some delta is not above it.
const deltaPart = 0.25

// Delta returns an upper bound and an estimate of the delta of c at epsilon >= 0.
func (c Composition) Delta(epsilon float64) (Bound, error) {
	if f, ok := c.closed(); ok {
		d, slack := f(epsilon)
		return Bound{Upper: math.Min(1, d+slack), Estimate: math.Min(1, d)}, nil
	}
	cheap, err := c.chernoff(epsilon, 1e-290)
	if err != nil {
		return Bound{}, err
	}
	if !(cheap > 1e-250) { // beyond what the sum can hold
		return Bound{Upper: cheap, Estimate: cheap}, nil
	}
	at, err := c.resolve(epsilon, cheap)
	if err != nil {
		return Bound{}, err
	}
	upper, err := c.bounding(at, deltaPart)
	if err != nil {
		return Bound{}, err
	}
	b := Bound{Upper: math.Min(cheap, upper.upper(epsilon)), Estimate: at.delta}
	if at.bounds || c.few() { // Richardson, as for epsilon
		half, err := c.bounding(at, deltaPart/2)
		if err != nil {
			return Bound{}, err
		}
		b.Estimate = math.Max(0, 2*half.total(epsilon)-upper.total(epsilon))
	}
	b.Estimate = math.Min(b.Estimate, b.Upper)
	return b, nil
}

// resolve estimates delta at epsilon, which is at most cheap: first with errors small against that, then,
// while nothing but rounding was to be seen, against less and less; once more for the last digits.
func (c Composition) resolve(epsilon, cheap float64) (target, error) {
	const seen = 1e-5
	size := 1e-2 * cheap
	at, err := c.near(epsilon, size)
	for range 8 {
		if err != nil || at.delta > seen*size {
			break
		}
		size *= seen
		at, err = c.near(epsilon, size)
	}
	if err != nil || at.delta > 0.1*size || at.bounds {
		return at, err
	}
	if again, err := c.near(epsilon, at.delta); err == nil && math.Abs(math.Log(again.delta/at.delta)) < 0.1 {
		return again, nil
	}
	return at, nil
}

// near estimates delta at epsilon with errors that are small against a delta of this size.
func (c Composition) near(epsilon, size float64) (target, error) {
	exact, err := c.exact(tail{excess: settled * size, epsilon: epsilon})
	if err != nil {
		return target{}, err
	}
	point := exact.saddleAtEpsilon(epsilon)
	point.epsilon = epsilon
	trace, done := exact.estimate(point, size)
	at := target{saddle: point.c, epsilon: epsilon, delta: size}
	least := 1e-7 * size
	if !done {
		return c.approach(exact, at, func(ct *contour, at *target) float64 {
			d := math.Max(ct.total(epsilon), least)
			moved := math.Abs(math.Log(d / at.delta))
			at.delta = d
			return moved
		})
	}
	at.delta = math.Max(trace.total(epsilon), least)
	c.survey(exact, trace, &at)
	return at, nil
}

// root returns the smallest epsilon >= 0 found with f(epsilon) <= delta; f falls, and is
// evaluated at the result itself. start is a guess. What is not a number is not <= delta.
func root(f func(float64) float64, start, delta float64) float64 {
	if !(f(start) <= delta) {
		return climb(f, start, delta)
	}
	hi := start // f(hi) <= delta
	for step := math.Max(start, 1e-12) * 1e-6; hi > 0; step *= 4 {
		lo := math.Max(0, hi-step)
		if !(f(lo) <= delta) {
			return bisect(f, lo, hi, delta)
		}
		hi = lo
	}
	return 0
}

// climb is root for a start that is too low; +Inf when no epsilon will do.
func climb(f func(float64) float64, lo, delta float64) float64 {
	for step := math.Max(lo, 1e-12) * 1e-6; lo < 1e9; step *= 4 {
		hi := lo + step
		if f(hi) <= delta {
			return bisect(f, lo, hi, delta)
		}
		lo = hi
	}
	return math.Inf(1)
}

// bisect keeps f(hi) <= delta.
func bisect(f func(float64) float64, lo, hi, delta float64) float64 {
	for hi-lo > 1e-11*hi {
		mid := lo + (hi-lo)/2
		if mid <= lo || mid >= hi {
			break
		}
		if f(mid) <= delta {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}
