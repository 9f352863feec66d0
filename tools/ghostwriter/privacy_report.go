package main

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// An accountingReport is an accountant's answer. Numbers that are not finite are
// null, as JSON has no others; printAccounting says why on standard error.
type accountingReport struct {
	Epsilon  *float64 `json:"epsilon"`  // rigorous upper bound: the guarantee
	Estimate *float64 `json:"estimate"` // of the true epsilon
	Lower    *float64 `json:"lower"`    // bound of the true epsilon
	Delta    *float64 `json:"delta"`
	// NoiseMultiplier is null where the phases have different ones.
	NoiseMultiplier *float64        `json:"noise_multiplier"`
	Accountant      string          `json:"accountant"`
	Relation        dpadam.Relation `json:"relation"`
	Sampler         string          `json:"sampler"`
	Order           float64         `json:"renyi_order,omitempty"`
	Steps           *int64          `json:"steps,omitempty"` // null where the phases have their own
	// Approximation warns of an estimate without a bound of its error: epsilon is null then.
	Approximation string `json:"approximation,omitempty"`
}

// composition is what the flags describe.
func (in *accountingInput) composition() (dpadam.Composition, error) {
	c := dpadam.Composition{Relation: in.relation}
	for _, p := range in.phases {
		c.Events = append(c.Events, dpadam.Event{Mechanism: in.sampler.mechanism(p), Count: p.Steps})
	}
	return c, c.Validate()
}

func epsilonAtDelta(_ context.Context, in *accountingInput) (dpadam.Result, error) {
	c, err := in.composition()
	if err != nil {
		return dpadam.Result{}, err
	}
	if in.approximate() {
		e, err := dpadam.CLT(c, in.delta)
		return dpadam.Result{Epsilon: math.NaN(), Estimate: e, Delta: in.delta, Accountant: approximation}, err
	}
	return in.accountant.Epsilon(c, in.delta)
}

func deltaAtEpsilon(_ context.Context, in *accountingInput) (dpadam.Result, error) {
	c, err := in.composition()
	if err != nil {
		return dpadam.Result{}, err
	}
	return in.accountant.Delta(c, in.epsilon)
}

// stepsForTarget also puts the number of steps that it found into the phase.
func stepsForTarget(ctx context.Context, in *accountingInput) (dpadam.Result, error) {
	p := &in.phases[0]
	n, err := dpadam.MaxSteps(ctx, in.accountant, in.relation, p.SampleRate, p.NoiseMultiplier, in.delta, in.epsilon, 1<<52)
	if err != nil {
		return dpadam.Result{}, err
	}
	p.Steps = n
	return epsilonAtDelta(ctx, in)
}

// sigmaForTarget also puts the noise multiplier that it found into the phase.
func sigmaForTarget(ctx context.Context, in *accountingInput) (dpadam.Result, error) {
	if in.sampler.name != samplerPoisson {
		return dpadam.Result{}, fmt.Errorf("%w: privacy sigma --sampler %s: noise is calibrated for Poisson sampling; ask privacy epsilon", errCommandLine, in.sampler.name)
	}
	p := &in.phases[0]
	sigma, r, err := dpadam.CalibrateNoise(ctx, in.accountant, in.relation, p.SampleRate, p.Steps, in.delta, in.epsilon)
	p.NoiseMultiplier = sigma
	return r, err
}

func (in *accountingInput) report(r dpadam.Result) accountingReport {
	report := accountingReport{
		Epsilon: finite(r.Epsilon), Estimate: finite(r.Estimate), Lower: finite(r.Lower), Delta: finite(r.Delta),
		Accountant: r.Accountant, Relation: in.relation, Sampler: in.sampler.name, Order: r.Order,
	}
	if in.approximate() {
		report.Approximation = "central limit theorem: no bound of its error is known, and it is usually too small; nothing may be promised by it"
	}
	if len(in.phases) == 1 {
		report.Steps = &in.phases[0].Steps
	}
	sigma := in.phases[0].NoiseMultiplier
	for _, p := range in.phases {
		if p.NoiseMultiplier != sigma {
			return report
		}
	}
	report.NoiseMultiplier = &sigma
	return report
}

func (a *app) printAccounting(q *accountingQuestion, r accountingReport) error {
	if r.Approximation != "" {
		return a.print(r, func() {
			a.printf("epsilon is about %.6g at delta = %s, by an approximation that guarantees nothing\n(%s)\n", *r.Estimate, exact(r.Delta), r.Approximation)
		})
	}
	switch {
	case r.Epsilon == nil:
		fmt.Fprintln(a.stderr, "ghostwriter: epsilon is infinite at this delta (null in JSON): nothing is guaranteed; add noise, or take fewer steps")
	case r.Delta == nil || *r.Delta >= 1:
		fmt.Fprintln(a.stderr, "ghostwriter: no delta below 1 can be proven at this epsilon: nothing is guaranteed; ask for a larger epsilon")
	}
	return a.print(r, func() {
		a.printf("%s\n", q.text(r))
		a.printf("upper bound by the accountant %s, relation %s, sampler %s\n", r.Accountant, r.Relation, r.Sampler)
		if r.Lower != nil && *r.Lower > 0 {
			a.printf("the true epsilon is at least %s\n", below(*r.Lower))
		}
	})
}

// finite is nil for what JSON cannot carry.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

const digits = 6 // of a bound that is printed for people, if they suffice

// above prints an upper bound with at least six digits and as many more as it takes
// for the decimal not to be smaller.
func above(x *float64) string {
	return rounded(x, func(decimal float64) bool { return decimal >= *x })
}

// below prints a lower bound, with a decimal that is not larger.
func below(x float64) string {
	return rounded(&x, func(decimal float64) bool { return decimal <= x })
}

func rounded(x *float64, holds func(decimal float64) bool) string {
	for n := digits; x != nil && n < 17; n++ {
		s := strconv.FormatFloat(*x, 'g', n, 64)
		if v, err := strconv.ParseFloat(s, 64); err == nil && holds(v) {
			return s
		}
	}
	return exact(x)
}

// exact prints what reads back as the same number.
func exact(x *float64) string {
	if x == nil {
		return "infinite"
	}
	return strconv.FormatFloat(*x, 'g', -1, 64)
}
