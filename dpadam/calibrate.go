package dpadam

import (
	"context"
	"fmt"
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
	return upperOf(a, c, delta)
}

// estimator is implemented by accountants that can estimate epsilon much faster than bound it. An
// estimate only tells a search where to begin.
type estimator interface {
	estimateEpsilon(c Composition, delta float64) (float64, error)
}

// CalibrateNoise returns the smallest noise multiplier, rounded up to seven significant
// digits, at which the accountant's rigorous bound for steps steps at sampling rate q
// does not exceed targetEpsilon at delta, and that bound. The result never exceeds
// the target: it is evaluated at the sigma returned. The search is deterministic. beside is
// what else the run releases and pays for from the same target, such as noised evaluations.
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
	composed := func(sigma float64) (Composition, error) {
		c, err := Compose(relation, Phase{q, sigma, steps})
		c.Events = append(c.Events, beside...)
		return c, err
	}
	search := noiseSearch{target: targetEpsilon}
	search.bound = func(sigma float64) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return boundOf(a, relation, Phase{q, sigma, steps}, beside, delta)
	}
	if e, ok := a.(estimator); ok {
		search.estimate = func(sigma float64) (float64, error) {
			c, err := composed(sigma)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return 0, err
			}
			return e.estimateEpsilon(c, delta)
		}
	}
	sigma, err := search.smallest()
	if err != nil {
		return 0, Result{}, err
	}
	if sigma == 0 {
		return 0, Result{}, invalid("target epsilon", targetEpsilon, fmt.Sprintf(
			"no noise multiplier up to %g reaches it at delta = %g in %d steps%s; raise epsilon or delta, or take fewer steps",
			maxNoiseMultiplier, delta, steps, alsoReleased(beside)))
	}
	c, err := composed(sigma)
	if err != nil {
		return 0, Result{}, err
	}
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

// MaxSteps returns the largest number of steps, at most limit, whose rigorous bound at
// delta, together with what is released beside them, does not exceed targetEpsilon. It may
// be 0.
func MaxSteps(ctx context.Context, a Accountant, relation Relation, q, sigma, delta, targetEpsilon float64, limit int64, beside ...Event) (int64, error) {
	return maxStepsNear(ctx, 0, a, relation, q, sigma, delta, targetEpsilon, limit, beside...)
}

// maxStepsNear is MaxSteps for a search that begins at start, if that is not 0.
func maxStepsNear(ctx context.Context, start int64, a Accountant, relation Relation, q, sigma, delta, targetEpsilon float64, limit int64, beside ...Event) (int64, error) {
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
	if start == 0 {
		start = 1
	}
	if e, ok := a.(estimator); ok && start == 1 {
		var err error
		start, err = lastTrue(1, limit, func(steps int64) (bool, error) {
			c, err := Compose(relation, Phase{q, sigma, steps})
			if err != nil {
				return false, err
			}
			c.Events = append(c.Events, beside...)
			eps, err := e.estimateEpsilon(c, delta)
			return eps <= targetEpsilon*(1-7e-5), err // what the bound adds to the estimate
		})
		if err != nil {
			return 0, err
		}
	}
	return lastTrue(max(start, 1), limit, affordable)
}

// lastTrue returns the largest n in [0, limit] with ok(n), 0 counting as true; ok turns from true to
// false once. It gallops away from start, then bisects.
func lastTrue(start, limit int64, ok func(int64) (bool, error)) (int64, error) {
	lo, hi := int64(0), limit+1 // ok(lo), not ok(hi)
	for n, step := min(start, limit), int64(1); lo+1 < hi; step *= 2 {
		if n <= lo || n >= hi {
			n = lo + (hi-lo)/2
		}
		yes, err := ok(n)
		if err != nil {
			return 0, err
		}
		if yes {
			lo, n = n, n+step
		} else {
			hi, n = n, n-step
		}
	}
	return lo, nil
}
