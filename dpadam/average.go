package dpadam

import (
	"fmt"
	"math"
)

// Average is the exponential moving average of the weights over the steps (De et al. 2022,
// arXiv 2204.13650, "parameter averaging"), with w_t the weights after update t = 1, 2, ...:
//
//	a_0 = w_0,  a_t = a_{t-1} + (1 - d_t)(w_t - a_{t-1}),  d_t = min(Decay, (1+t)/(10+t)).
//
// The weights are functions of what the steps released, so their average costs no privacy.
type Average struct {
	decay  float64
	step   int64
	values []float32
	level  level
}

// NewAverage begins the plan's average at the given values, the weights before the first step, which
// it keeps and changes in place: writing to them restores a checkpoint. It is nil for a plan without
// an average.
func NewAverage(p *Plan, values []float32) (*Average, error) {
	if p.spec.AverageDecay == 0 {
		return nil, nil
	}
	if int64(len(values)) != p.spec.Dim {
		return nil, fmt.Errorf("%w: average of %d coordinates, the plan has %d", ErrMisuse, len(values), p.spec.Dim)
	}
	return &Average{decay: p.spec.AverageDecay, values: values, level: bestLevel()}, nil
}

// Update takes in the weights after an update.
func (a *Average) Update(weights []float32) error {
	if len(weights) != len(a.values) {
		return fmt.Errorf("%w: average has %d coordinates, weights %d", ErrMisuse, len(a.values), len(weights))
	}
	a.step++
	share := float32(1 - a.decayAt(a.step))
	parallel(len(weights), updateStretch, func(lo, hi int) {
		a.level.mix(a.values[lo:hi], weights[lo:hi], share)
	})
	return nil
}

// decayAt is d_t: the first steps count for more, so that the beginning is forgotten soon.
func (a *Average) decayAt(t int64) float64 {
	return math.Min(a.decay, (1+float64(t))/(10+float64(t)))
}

// SetStep restores the number of updates taken in.
func (a *Average) SetStep(n int64) error {
	if n < 0 || n > maxCount {
		return invalid("average step", n, fmt.Sprintf("must be in [0, %d]", maxCount))
	}
	a.step = n
	return nil
}

func checkAverageDecay(d float64) error {
	if !(d >= 0 && d < 1) {
		return invalid("average decay", d, "must be in (0, 1), or 0 for none")
	}
	return nil
}
