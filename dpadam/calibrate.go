package dpadam

import (
	"context"
	"fmt"
	"math"
)

// upperBounder is implemented by accountants that can give the rigorous upper bound
// alone, faster than a whole Result.
type upperBounder interface {
	upperEpsilon(c Composition, delta float64) (float64, error)
}

// boundOf returns the upper bound of a phase and what is released beside it; an
// accountant that has no finite one answers +Inf, which every search below treats as too
// much.
func boundOf(a Accountant, relation Relation, p Phase, beside []Event, delta float64) (float64, error) {
	c, err := Compose(relation, p)
	if err != nil {
		return 0, err
	}
	c.Events = append(c.Events, beside...)
	if u, ok := a.(upperBounder); ok {
		return u.upperEpsilon(c, delta)
	}
	r, err := a.Epsilon(c, delta)
	return r.Epsilon, err
}

// CalibrateNoise returns the smallest noise multiplier, rounded up to seven significant
// digits, at which the accountant's rigorous bound for steps steps at sampling rate q
// does not exceed targetEpsilon at delta, and that bound. The result never exceeds
// the target: it is evaluated at the sigma returned. The search is a bisection over
// log sigma and deterministic. beside is what else the run releases and pays for from the
// same target, such as noised evaluations.
func CalibrateNoise(ctx context.Context, a Accountant, relation Relation, q float64, steps int64, delta, targetEpsilon float64, beside ...Event) (float64, Result, error) {
	if err := checkEpsilon("target epsilon", targetEpsilon); err != nil {
		return 0, Result{}, err
	}
	if err := checkDelta(delta); err != nil {
		return 0, Result{}, err
	}
	if !(q > 0 && q <= 1) {
		return 0, Result{}, invalid("sampling rate", q, "must be in (0, 1] to calibrate noise")
	}
	if steps < 1 {
		return 0, Result{}, invalid("steps", steps, "must be >= 1 to calibrate noise")
	}
	affordable := func(sigma float64) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		eps, err := boundOf(a, relation, Phase{q, sigma, steps}, beside, delta)
		return eps <= targetEpsilon, err
	}
	sigma, err := smallestNoise(affordable)
	if err != nil {
		return 0, Result{}, err
	}
	if sigma == 0 {
		return 0, Result{}, invalid("target epsilon", targetEpsilon, fmt.Sprintf(
			"no noise multiplier up to %g reaches it at delta = %g in %d steps%s; raise epsilon or delta, or take fewer steps",
			maxNoiseMultiplier, delta, steps, alsoReleased(beside)))
	}
	c, err := Compose(relation, Phase{q, sigma, steps})
	if err != nil {
		return 0, Result{}, err
	}
	c.Events = append(c.Events, beside...)
	r, err := a.Epsilon(c, delta)
	if err == nil && r.Epsilon > targetEpsilon {
		err = fmt.Errorf("internal error: calibrated sigma %v gives epsilon %v > %v", sigma, r.Epsilon, targetEpsilon)
	}
	return sigma, r, err
}

// alsoReleased names what shares the target, for a message.
func alsoReleased(beside []Event) string {
	if len(beside) == 0 {
		return ""
	}
	var n int64
	for _, e := range beside {
		n += e.Count
	}
	return fmt.Sprintf(" beside %d other releases", n)
}

// smallestNoise bisects; 0 means that no noise multiplier within bounds is affordable.
func smallestNoise(affordable func(float64) (bool, error)) (float64, error) {
	lo, hi := 0.5, 1.0 // lo is not affordable, hi is
	for {
		ok, err := affordable(hi)
		if err != nil {
			return 0, err
		}
		if ok {
			break
		}
		if hi >= maxNoiseMultiplier {
			return 0, nil
		}
		lo, hi = hi, math.Min(hi*4, maxNoiseMultiplier)
	}
	for lo >= minNoiseMultiplier {
		ok, err := affordable(lo)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		lo, hi = lo/2, lo
	}
	lo = math.Max(lo, minNoiseMultiplier)
	for hi > lo*(1+2e-8) {
		mid := math.Sqrt(lo * hi)
		ok, err := affordable(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			hi = mid
		} else {
			lo = mid
		}
	}
	return settle(hi, affordable)
}

// settle rounds up to seven significant digits and checks the rounded value itself, which
// may need a little more where the bound's last digits are not monotone.
func settle(sigma float64, affordable func(float64) (bool, error)) (float64, error) {
	unit := math.Pow(10, math.Floor(math.Log10(sigma))-6)
	n := math.Ceil(sigma / unit)
	for range 100 {
		// The shortest decimal of n*unit reads back as the same float64.
		s := math.Min(decimal(n, unit), maxNoiseMultiplier)
		if s >= sigma {
			ok, err := affordable(s)
			if err != nil || ok {
				return s, err
			}
		}
		n++
	}
	return 0, fmt.Errorf("internal error: the bound is not monotone near sigma %v", sigma)
}

// decimal returns the float64 nearest to n*unit, unit a power of ten.
func decimal(n, unit float64) float64 {
	if unit < 1 {
		return n / math.Round(1/unit)
	}
	return n * unit
}

// MaxSteps returns the largest number of steps, at most limit, whose rigorous bound at
// delta, together with what is released beside them, does not exceed targetEpsilon. It may
// be 0.
func MaxSteps(ctx context.Context, a Accountant, relation Relation, q, sigma, delta, targetEpsilon float64, limit int64, beside ...Event) (int64, error) {
	if err := checkEpsilon("target epsilon", targetEpsilon); err != nil {
		return 0, err
	}
	if limit < 0 || limit > maxCount {
		return 0, invalid("step limit", limit, fmt.Sprintf("must be in [0, %d]", maxCount))
	}
	affordable := func(steps int64) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		eps, err := boundOf(a, relation, Phase{q, sigma, steps}, beside, delta)
		return eps <= targetEpsilon, err
	}
	lo, hi := int64(0), int64(1) // lo is affordable; hi is the next to try
	for {
		hi = min(hi, limit)
		ok, err := affordable(hi)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		if lo = hi; lo == limit {
			return limit, nil
		}
		hi *= 2
	}
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		ok, err := affordable(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}
