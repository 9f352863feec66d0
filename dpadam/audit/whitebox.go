package audit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// WhiteBox is an audit of dpadam's own steps with canaries that are gradients (Gradients). The
// attacker sees every step's noised sum, which is what the guarantee allows him to see.
type WhiteBox struct {
	Canaries int // m; also N, the public number of records
	// Epsilon is the claim. Without a NoiseMultiplier the noise is calibrated for it; with one
	// and without Epsilon the claim is what the accountant says of that noise; with both it is
	// audited whether that noise keeps to that epsilon.
	Epsilon         float64
	NoiseMultiplier float64 // sigma
	Delta           float64
	SampleRate      float64 // q; 0 means 1, the tightest check
	Steps           int64   // T
	Accountant      string
	Seed            *uint64 // for tests
	Options
}

// A WhiteBoxResult is a Result with what is known of the mechanism.
type WhiteBoxResult struct {
	*Result
	SampleRate      float64  `json:"sample_rate"`
	Steps           int64    `json:"steps"`
	NoiseMultiplier float64  `json:"noise_multiplier"`
	Noise           Noise    `json:"noise"`
	Power           *float64 `json:"power,omitempty"`    // probability to refute the claim if half the noise were missing; without sampling only
	Sampling        *Poisson `json:"sampling,omitempty"` // of the batches, with sampling only
	// Faults say what is wrong beside the bound: batches that are not Poisson, noise that is
	// too small or missing.
	Faults []string `json:"faults,omitempty"`
}

// fault is the p-value below which a look at noise or batches is called a fault. Some of them are
// approximate in the far tails; a false alarm is rarer than one in a million audits.
const fault = 1e-8

// faults looks at noise and batches. The released noise is a float32: that one of a million
// normal numbers rounds to nothing is rarer than the fault's p-value.
func (r *WhiteBoxResult) faults() {
	if r.Noise.Small < fault {
		r.Faults = append(r.Faults, fmt.Sprintf("the noise has %.4g of the standard deviation that is claimed (p = %.0e)", r.Noise.Ratio, r.Noise.Small))
	}
	if r.Noise.Missing > 2+r.Noise.Drawn/100000 {
		r.Faults = append(r.Faults, fmt.Sprintf("%d of %d coordinates were released without noise", r.Noise.Missing, r.Noise.Drawn))
	}
	if r.Sampling != nil && r.Sampling.Least() < fault {
		r.Faults = append(r.Faults, fmt.Sprintf("the batches are not Poisson samples (p = %.0e)", r.Sampling.Least()))
	}
}

// Plan resolves the audit into the plan that it runs and the claim that it tests. Everything
// that can be refused is refused here.
func (w WhiteBox) Plan(ctx context.Context) (*dpadam.Plan, Claim, error) {
	if w.Canaries < 1 {
		return nil, Claim{}, invalid("canaries", w.Canaries, "must be at least 1")
	}
	q := w.SampleRate
	if q == 0 {
		q = 1
	}
	c := dpadam.Config{
		Records: int64(w.Canaries), RecordsDeclared: true, SampleRate: q, Steps: w.Steps, Delta: w.Delta,
		NoiseMultiplier: w.NoiseMultiplier, Accountant: w.Accountant, ClipNorm: 1,
		Dim: int64(w.Canaries), Microbatch: microbatch, Optimizer: dpadam.SGD(1, 0), Seed: w.Seed,
	}
	if w.NoiseMultiplier == 0 {
		c.TargetEpsilon = w.Epsilon
	}
	p, err := dpadam.NewPlanContext(ctx, c)
	if err != nil {
		return nil, Claim{}, err
	}
	claim := Claim{Epsilon: w.Epsilon, Delta: p.Spec().Delta}
	if w.Epsilon == 0 {
		r, err := p.Epsilon(dpadam.Charges{Steps: p.Steps()})
		if err != nil {
			return nil, claim, err
		}
		claim.Epsilon = r.Epsilon
	}
	w.Gaussian = q == 1
	_, err = w.Size(w.Canaries, claim)
	return p, claim, err
}

// microbatch is the number of records of one sum: large, so that rounding to the lattice adds
// next to nothing to the sensitivity, and small enough that a step has several.
const microbatch = 1024

// Run audits.
func (w WhiteBox) Run(ctx context.Context) (_ *WhiteBoxResult, err error) {
	plan, claim, err := w.Plan(ctx)
	if err != nil {
		return nil, err
	}
	in, err := Coins(w.Canaries, w.Seed)
	if err != nil {
		return nil, err
	}
	t, err := NewTraining(ctx, plan, len(Included(in)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return w.audit(ctx, plan, claim, in, t)
}

// audit runs a mechanism that claims to be the plan's.
func (w WhiteBox) audit(ctx context.Context, plan *dpadam.Plan, claim Claim, in []bool, m Mechanism) (*WhiteBoxResult, error) {
	s := plan.Spec()
	attack := Attack{SampleRate: s.SampleRate, NoiseMultiplier: s.NoiseMultiplier}
	trace, err := Run(ctx, m, Gradients{In: in, ClipNorm: s.ClipNorm}, attack, s.Steps)
	if err != nil {
		return nil, err
	}
	return trace.Evaluate(claim, w.Options, s)
}

// Evaluate holds what Run saw against a claim; s is the plan of the run.
func (t *Trace) Evaluate(claim Claim, o Options, s dpadam.Spec) (_ *WhiteBoxResult, err error) {
	o.Gaussian = s.SampleRate == 1
	r := &WhiteBoxResult{SampleRate: s.SampleRate, Steps: s.Steps, NoiseMultiplier: s.NoiseMultiplier, Noise: t.Noise}
	if r.Result, err = Evaluate(t.Scores, claim, o); err != nil {
		return nil, err
	}
	switch {
	case s.SampleRate < 1 && r.Included > 0:
		var check Poisson
		check, err = CheckPoisson(t.Batches, r.Included, s.SampleRate)
		r.Sampling = &check
	case s.SampleRate == 1 && s.NoiseMultiplier > 0:
		size := Size{Canaries: r.Canaries, Guesses: r.Guesses, Epsilon: claim.Epsilon, Delta: claim.Delta, Significance: o.Significance, Method: r.Method}
		var power float64
		power, err = size.Power(2 * math.Sqrt(float64(s.Steps)) / s.NoiseMultiplier)
		r.Power = &power
	}
	if err != nil {
		return nil, err
	}
	r.faults()
	return r, nil
}

// Verdict is "refuted", "faulty" or "not refuted".
func (r *WhiteBoxResult) Verdict() string {
	if !r.Refuted && r.Faults != nil {
		return "faulty"
	}
	return r.Result.Verdict()
}
