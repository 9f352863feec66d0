package dpadam

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/pld"
)

// PLD is the tight accountant: it bounds the composed privacy loss distribution of both
// directions of the neighbouring relation and takes the larger epsilon (package pld has the
// method and its proof). The bound is typically 6e-5 of itself above the true epsilon, the estimate
// 1e-7 beside it.
//
// Without-replacement sampling is not supported (RDP has it), nor truncated Poisson sampling
// under replace-one. Where losses are so large that no cells cover them (noise multipliers far below
// 0.01, an epsilon in the ten thousands) it gives the bound by RDP, and the order with it.
type PLD struct {
	mu    sync.Mutex
	cache map[string]Result
	rdp   *RDP
}

// NewPLD returns a PLD accountant with an empty cache.
func NewPLD() *PLD { return &PLD{cache: map[string]Result{}, rdp: NewRDP()} }

// Name returns "pld".
func (*PLD) Name() string { return "pld" }

// Epsilon returns the smallest epsilon it can prove at delta.
func (a *PLD) Epsilon(c Composition, delta float64) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	if err := checkDelta(delta); err != nil {
		return Result{}, err
	}
	return a.remembered(fmt.Sprintf("epsilon %v %v", c, delta), func() (Result, error) {
		r, err := a.bound(c, delta, pld.Composition.Epsilon)
		if err != nil {
			return r, err
		}
		if !attained(c) {
			r.Lower = 0
		}
		r.Lower = math.Min(math.Max(r.Lower, lowerEpsilon(c, delta)), r.Estimate)
		return r, nil
	})
}

// attained reports that some pair of data sets has exactly the losses of lossesOf, so that a lower bound of theirs is one
// of the mechanism's. That of a truncated batch knows whether the batch was full, which nobody is told.
func attained(c Composition) bool {
	for _, e := range c.Events {
		if _, ok := e.Mechanism.(PoissonSubsampledGaussian); !ok && e.Count > 0 {
			return false
		}
	}
	return true
}

// bound is Epsilon without the lower bound; solve is one of the two methods of a composition that give a bound.
func (a *PLD) bound(c Composition, delta float64, solve solver) (Result, error) {
	directions, err := lossesOf(c)
	if err != nil {
		return Result{}, err
	}
	r := Result{Delta: delta, Accountant: a.Name()}
	for _, d := range directions {
		if err := raise(&r, d, delta, solve); errors.Is(err, pld.ErrRange) {
			return a.fallback(a.rdp.Epsilon(c, delta))
		} else if err != nil {
			return Result{}, err
		}
	}
	if r.Epsilon > 1.01*r.Estimate { // beyond its range the bound is loose: RDP's may be better
		if other, err := a.rdp.Epsilon(c, delta); err == nil && other.Epsilon < r.Epsilon {
			r.Epsilon, r.Order = other.Epsilon, other.Order
		}
	}
	return r, nil
}

type solver func(c pld.Composition, delta float64) (pld.Bound, error)

// raise takes another direction into account. Where a cheap bound proves that it does not have a larger
// epsilon than the first there is nothing to compute.
func raise(r *Result, d pld.Composition, delta float64, solve solver) error {
	if r.Epsilon > 0 {
		if more, err := d.Exceeds(r.Estimate, delta); err == nil && !more {
			return nil
		}
	}
	b, err := solve(d, delta)
	if err != nil {
		return err
	}
	r.Epsilon = math.Max(r.Epsilon, b.Upper)
	r.Estimate = math.Max(r.Estimate, math.Min(b.Estimate, b.Upper))
	r.Lower = math.Max(r.Lower, b.Lower) // of either direction
	return nil
}

// Delta returns the smallest delta it can prove at epsilon.
func (a *PLD) Delta(c Composition, epsilon float64) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	if !(epsilon >= 0) || math.IsInf(epsilon, 0) {
		return Result{}, invalid("epsilon", epsilon, "must be a finite number >= 0")
	}
	return a.remembered(fmt.Sprintf("delta %v %v", c, epsilon), func() (Result, error) {
		directions, err := lossesOf(c)
		if err != nil {
			return Result{}, err
		}
		r := Result{Epsilon: epsilon, Estimate: epsilon, Accountant: a.Name()}
		for _, d := range directions {
			if r.Delta > 0 {
				if more, err := d.Exceeds(epsilon, r.Delta); err == nil && !more {
					continue
				}
			}
			b, err := d.Delta(epsilon)
			if errors.Is(err, pld.ErrRange) {
				return a.fallback(a.rdp.Delta(c, epsilon))
			}
			if err != nil {
				return Result{}, err
			}
			r.Delta = math.Max(r.Delta, b.Upper)
		}
		r.Delta, err = a.invert(c, epsilon, r.Delta)
		return r, err
	})
}

// invert lowers a bound of delta at epsilon to the smallest delta found whose epsilon is bounded by epsilon, so
// that asking for epsilon at a delta and then for delta at that epsilon comes back: every such delta is a bound
// too. Newton's method on the logarithm; three or four bounds do.
func (a *PLD) invert(c Composition, epsilon, delta float64) (float64, error) {
	if !(delta > 1e-250 && delta < 1 && epsilon > 0) {
		return delta, nil
	}
	x, step := delta, 1e-3 // next to try is x*e^-step
	at, err := a.upperEpsilon(c, x)
	for range 8 {
		if err != nil || at > epsilon || step < 1e-8 {
			break
		}
		delta = x
		next := x * math.Exp(-step)
		further, err := a.upperEpsilon(c, next)
		if err != nil {
			return delta, err
		}
		fall := (further - at) / step // of epsilon, as log delta falls
		if further <= epsilon {
			x, at = next, further
			delta = x
		}
		if !(fall > 0) {
			break
		}
		step = math.Min((epsilon-at)/fall*(1-1e-7), 1)
	}
	return delta, err
}

// fallback is RDP's answer under this accountant's name; its order says where it comes from.
func (a *PLD) fallback(r Result, err error) (Result, error) {
	r.Accountant = a.Name()
	return r, err
}

// upperEpsilon is Epsilon for searches: +Inf where there is no finite bound.
func (a *PLD) upperEpsilon(c Composition, delta float64) (float64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	if err := checkDelta(delta); err != nil {
		return 0, err
	}
	r, err := a.remembered(fmt.Sprintf("upper %v %v", c, delta), func() (Result, error) {
		return a.bound(c, delta, pld.Composition.Upper)
	})
	if errors.Is(err, errNoFinite) {
		return math.Inf(1), nil
	}
	return r.Epsilon, err
}

// estimateEpsilon is a fast estimate for searches; +Inf beyond the range.
func (a *PLD) estimateEpsilon(c Composition, delta float64) (float64, error) {
	directions, err := lossesOf(c)
	if err != nil {
		return 0, err
	}
	most := 0.0
	for _, d := range directions {
		if most > 0 {
			if more, err := d.Exceeds(most, delta); err == nil && !more {
				continue
			}
		}
		e, err := d.Estimate(delta)
		if errors.Is(err, pld.ErrRange) {
			return a.rdp.upperEpsilon(c, delta)
		}
		if err != nil {
			return 0, err
		}
		most = math.Max(most, e)
	}
	return most, nil
}

// maxRemembered bounds the cache: a training loop asks for every step once, a statement again.
const maxRemembered = 1024

func (a *PLD) remembered(question string, answer func() (Result, error)) (Result, error) {
	a.mu.Lock()
	r, ok := a.cache[question]
	a.mu.Unlock()
	if ok {
		return r, nil
	}
	r, err := answer()
	if err != nil {
		return r, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cache) >= maxRemembered {
		clear(a.cache)
	}
	a.cache[question] = r
	return r, nil
}

// lossesOf translates events into compositions of dominating pairs, one for each direction of
// the relation; replace-one needs one, for its pair is its own mirror image. Equal mechanisms
// become one step; Gaussian ones (q = 1) one mechanism of mu^2 = sum_i T_i (sensitivity/sigma_i)^2.
func lossesOf(c Composition) ([]pld.Composition, error) {
	kinds := []pld.Kind{pld.Remove, pld.Add}
	if c.Relation == ReplaceOne {
		kinds = []pld.Kind{pld.Replace}
	}
	out := make([]pld.Composition, len(kinds))
	for _, e := range distinct(c.Events) {
		for i, kind := range kinds {
			if err := addEvent(&out[i], kind, e); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// distinct adds up the counts of equal mechanisms, in the order of their first use.
func distinct(events []Event) []Event {
	at := map[Mechanism]int{}
	var out []Event
	for _, e := range events {
		if i, ok := at[e.Mechanism]; ok {
			out[i].Count += e.Count
			continue
		}
		at[e.Mechanism] = len(out)
		out = append(out, e)
	}
	return out
}

func addEvent(out *pld.Composition, kind pld.Kind, e Event) error {
	if e.Count == 0 {
		return nil
	}
	step := pld.Step{Count: float64(e.Count)}
	switch m := e.Mechanism.(type) {
	case PoissonSubsampledGaussian:
		switch {
		case m.SampleRate == 0:
			return nil
		case m.SampleRate == 1:
			s := 1 / m.NoiseMultiplier
			if kind == pld.Replace {
				s *= 2
			}
			out.GaussianMu2 += step.Count * s * s
			return nil
		}
		step.Components = []pld.Component{{Weight: 1, Kind: kind, SampleRate: m.SampleRate, Shift: 1 / m.NoiseMultiplier}}
	case TruncatedPoissonGaussian:
		if kind == pld.Replace {
			return fmt.Errorf("%w: pld and truncated Poisson sampling under replace-one", ErrUnsupported)
		}
		if m.SampleRate == 0 {
			return nil
		}
		step.Components = m.components(kind)
	default:
		return fmt.Errorf("%w: pld and %T; rdp may have it", ErrUnsupported, m)
	}
	out.Steps = append(out.Steps, step)
	return nil
}
