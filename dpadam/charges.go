package dpadam

import (
	"context"
	"fmt"
	"math"
)

// Charges counts what a ledger has charged.
type Charges struct {
	Steps       int64 `json:"steps"`
	Evaluations int64 `json:"evaluations,omitempty"`
}

// Composition is what so many charged steps and evaluations of the plan have released, in
// whatever order.
func (p *Plan) Composition(c Charges) Composition { return p.spec.composition(c) }

func (s *Spec) composition(c Charges) Composition {
	m := PoissonSubsampledGaussian{SampleRate: s.SampleRate, NoiseMultiplier: s.NoiseMultiplier}
	out := Composition{Relation: s.Relation, Events: []Event{{Mechanism: m, Count: c.Steps}}}
	out.Events = append(out.Events, s.beside(c.Evaluations)...)
	return out
}

// beside is what a run releases beside its steps: so many evaluations.
func (s *Spec) beside(evaluations int64) []Event {
	if s.Evaluation == nil || evaluations == 0 {
		return nil
	}
	return []Event{s.Evaluation.event(evaluations)}
}

// Planned is what the plan means to charge.
func (p *Plan) Planned() Charges {
	return Charges{Steps: p.spec.Steps, Evaluations: p.plannedEvaluations()}
}

func (p *Plan) plannedEvaluations() int64 { return p.spec.Evaluation.count() }

// Epsilon prices charges at the plan's delta, or, for a seeded plan, says what they would
// cost with secret random numbers. A plan without noise is an error.
func (p *Plan) Epsilon(c Charges) (Result, error) {
	if !p.Noisy() {
		return Result{}, fmt.Errorf("%w: a plan without noise has no epsilon", ErrUnsupported)
	}
	if p.spec.Search != nil {
		return p.searchEpsilon(c)
	}
	r, err := p.acc.Epsilon(p.Composition(c), accountedDelta(p.spec.Delta))
	r.Delta = p.spec.Delta
	return r, err
}

// Bound is the upper bound of Epsilon alone, at half the price: a training loop asks after every step.
func (p *Plan) Bound(c Charges) (float64, error) {
	if !p.Noisy() || p.spec.Search != nil {
		r, err := p.Epsilon(c)
		return r.Epsilon, err
	}
	epsilon, err := upperOf(p.acc, p.Composition(c), accountedDelta(p.spec.Delta))
	if err == nil && math.IsInf(epsilon, 1) {
		err = errNoFinite
	}
	return epsilon, err
}

// MaxCharges is the number of steps that the budget pays for beside the planned
// evaluations: with a target epsilon as many as keep the bound within it (at least the
// planned ones), with a given noise multiplier, without noise, or where it draws on a shared budget at most
// the planned ones.
func (p *Plan) MaxCharges(ctx context.Context) (int64, error) {
	return p.maxSteps(ctx, p.plannedEvaluations())
}

// maxSteps is MaxCharges beside so many evaluations.
func (p *Plan) maxSteps(ctx context.Context, evaluations int64) (int64, error) {
	if !p.Noisy() || p.spec.TargetEpsilon == 0 || p.spec.Search != nil {
		return p.spec.Steps, nil
	}
	limit := maxCount
	if p.spec.Budget != nil { // no more than is reserved there
		limit = p.spec.Steps
	}
	// The noise was calibrated for the planned steps, most often beside as many evaluations.
	return maxStepsNear(ctx, p.spec.Steps, p.acc, p.spec.Relation, p.spec.SampleRate, p.spec.NoiseMultiplier,
		accountedDelta(p.spec.Delta), p.spec.TargetEpsilon, limit, p.spec.beside(evaluations)...)
}
