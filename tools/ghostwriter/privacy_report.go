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
	Order           float64         `json:"renyi_order,omitempty"`
}

func epsilonAtDelta(_ context.Context, in *accountingInput) (dpadam.Result, error) {
	c, err := dpadam.Compose(in.relation, in.phases...)
	if err != nil {
		return dpadam.Result{}, err
	}
	return in.accountant.Epsilon(c, in.delta)
}

func deltaAtEpsilon(_ context.Context, in *accountingInput) (dpadam.Result, error) {
	c, err := dpadam.Compose(in.relation, in.phases...)
	if err != nil {
		return dpadam.Result{}, err
	}
	return in.accountant.Delta(c, in.epsilon)
}

// sigmaForTarget also puts the noise multiplier that it found into the phase.
func sigmaForTarget(ctx context.Context, in *accountingInput) (dpadam.Result, error) {
	p := &in.phases[0]
	sigma, r, err := dpadam.CalibrateNoise(ctx, in.accountant, in.relation, p.SampleRate, p.Steps, in.delta, in.epsilon)
	p.NoiseMultiplier = sigma
	return r, err
}

func (in *accountingInput) report(r dpadam.Result) accountingReport {
	report := accountingReport{
		Epsilon: finite(r.Epsilon), Estimate: finite(r.Estimate), Lower: finite(r.Lower), Delta: finite(r.Delta),
		Accountant: r.Accountant, Relation: in.relation, Order: r.Order,
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
	switch {
	case r.Epsilon == nil:
		fmt.Fprintln(a.stderr, "ghostwriter: epsilon is infinite at this delta (null in JSON): nothing is guaranteed; add noise, or take fewer steps")
	case r.Delta == nil || *r.Delta >= 1:
		fmt.Fprintln(a.stderr, "ghostwriter: no delta below 1 can be proven at this epsilon: nothing is guaranteed; ask for a larger epsilon")
	}
	return a.print(r, func() {
		a.printf("%s\n", q.text(r))
		a.printf("upper bound by the accountant %s, relation %s\n", r.Accountant, r.Relation)
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
