package dpadam

import (
	"fmt"
	"math"
	"strings"
)

// Bounds that keep every later computation exact.
const (
	maxRecords = int64(1) << 40
	maxDim     = int64(1) << 40
	minClip    = 1e-20
	minDelta   = 1e-30 // of a private plan: what the noise sampler's exactness is proven for
	maxClip    = 1e20
)

// resolve fills in the defaults. It checks what must hold for that; Spec.validate checks
// everything.
func resolve(c Config) (Spec, error) {
	s := Spec{Version: specVersion, Unit: c.Unit, RecordsDeclared: c.RecordsDeclared,
		TargetEpsilon: c.TargetEpsilon, NoiseMultiplier: c.NoiseMultiplier, ClipNorm: c.ClipNorm, Rho: c.Rho,
		Dim: c.Dim, Microbatch: max(c.Microbatch, 1), Buckets: max(c.Buckets, 1),
		Optimizer: c.Optimizer.withDefaults(), Schedule: c.Schedule.withDefaults(), AverageDecay: c.AverageDecay, Arithmetic: c.Arithmetic, Method: c.Method,
		Clipping: resolveClipping(c.Clipping, c.ClipNorm)}
	if c.Microbatch < 0 {
		return s, invalid("microbatch", c.Microbatch, "must be >= 1")
	}
	if c.Buckets < 0 {
		return s, invalid("padding buckets", c.Buckets, "must be >= 1")
	}
	if s.Unit == "" {
		s.Unit = recordUnit
	}
	if c.Seed != nil {
		seed := *c.Seed
		s.Seed = &seed
	}
	if c.Evaluation != nil {
		e := *c.Evaluation
		s.Evaluation = &e
	}
	if err := resolveUnit(c, &s); err != nil {
		return s, err
	}
	if c.Budget != nil {
		b := *c.Budget
		b.Share = c.BudgetShare
		s.Budget = &b
	} else if c.BudgetShare != 0 {
		return s, invalid("share of the budget", c.BudgetShare, "there is no budget")
	}
	s.NotPrivate = stampOf(c.NoPrivacy, s.Seed)
	var err error
	if s.Relation, err = ParseRelation(string(c.Relation)); err != nil {
		return s, err
	}
	if c.Search != nil {
		if s.Search = c.Search.clone(); c.TargetEpsilon != 0 {
			return s, invalid("target epsilon", c.TargetEpsilon, "is that of the whole search: give its runs the noise multiplier of CalibrateSearch")
		}
	}
	switch s.Accountant = c.Accountant; {
	case s.Accountant == "" && c.Search != nil:
		s.Accountant = searchAccountant
	case s.Accountant == "":
		s.Accountant = DefaultAccountant
	}
	if err := oneGuarantee(c); err != nil {
		return s, err
	}
	if err := resolveSampling(c, &s); err != nil {
		return s, err
	}
	s.Delta = c.Delta
	if s.Delta == 0 {
		s.Delta = 1 / (2 * float64(s.Records))
	}
	if err := checkDelta(s.Delta); err != nil {
		return s, err
	}
	if err := resolveSteps(c, &s); err != nil {
		return s, err
	}
	return s, s.Evaluation.validate(s.Steps) // before the noise is calibrated beside them
}

// recordUnit is the unit of privacy where nothing else is named.
const recordUnit = "one record"

func stampOf(noPrivacy bool, seed *uint64) string {
	switch {
	case noPrivacy:
		return "NOT PRIVATE: trained without noise"
	case seed != nil:
		return fmt.Sprintf("NOT PRIVATE: the random numbers come from the seed %d", *seed)
	}
	return ""
}

// oneGuarantee demands exactly one of target epsilon, noise multiplier, no privacy.
func oneGuarantee(c Config) error {
	given := 0
	for _, b := range []bool{c.TargetEpsilon != 0, c.NoiseMultiplier != 0, c.NoPrivacy, c.BudgetShare != 0} {
		if b {
			given++
		}
	}
	if given != 1 {
		return invalid("privacy", fmt.Sprintf("target epsilon %g, noise multiplier %g, no-privacy %t",
			c.TargetEpsilon, c.NoiseMultiplier, c.NoPrivacy),
			"give exactly one of a target epsilon > 0, a noise multiplier > 0, a share of a budget, or no-privacy")
	}
	if c.TargetEpsilon != 0 {
		return checkEpsilon("target epsilon", c.TargetEpsilon)
	}
	if c.NoiseMultiplier != 0 {
		return checkNoiseMultiplier(c.NoiseMultiplier)
	}
	return nil
}

// resolveSampling derives N, B and q from two of them.
func resolveSampling(c Config, s *Spec) error {
	if c.Records < 0 || c.Records > maxRecords {
		return invalid("records", c.Records, fmt.Sprintf("must be in [1, %d]", maxRecords))
	}
	if c.SampleRate != 0 && !(c.SampleRate > 0 && c.SampleRate <= 1) {
		return invalid("sampling rate", c.SampleRate, "must be in (0, 1]")
	}
	if c.ExpectedBatch != 0 && (!(c.ExpectedBatch > 0) || math.IsInf(c.ExpectedBatch, 0)) {
		return invalid("expected batch", c.ExpectedBatch, "must be a finite number > 0")
	}
	s.Records, s.ExpectedBatch, s.SampleRate = c.Records, c.ExpectedBatch, c.SampleRate
	switch {
	case c.Records > 0 && c.ExpectedBatch > 0 && c.SampleRate > 0:
		return invalid("sampling rate", c.SampleRate, "give two of records, expected batch and sampling rate, not all three")
	case c.Records > 0 && c.ExpectedBatch > 0:
		if s.ExpectedBatch > float64(s.Records) {
			return invalid("expected batch", c.ExpectedBatch, fmt.Sprintf("must not exceed the number of records, %d", c.Records))
		}
		s.SampleRate = s.ExpectedBatch / float64(s.Records)
	case c.Records > 0 && c.SampleRate > 0:
		s.ExpectedBatch = s.SampleRate * float64(s.Records)
	case c.ExpectedBatch > 0 && c.SampleRate > 0:
		n := math.Round(s.ExpectedBatch / s.SampleRate)
		if !(n >= 1 && n <= float64(maxRecords)) {
			return invalid("records", n, fmt.Sprintf("expected batch / sampling rate must be in [1, %d]", maxRecords))
		}
		s.Records = int64(n)
	default:
		return invalid("records", c.Records, "give two of records, expected batch and sampling rate")
	}
	return nil
}

// resolveSteps derives T.
func resolveSteps(c Config, s *Spec) error {
	switch {
	case c.Epochs != 0 && c.Steps != 0:
		return invalid("steps", c.Steps, fmt.Sprintf("give steps or epochs (%g), not both", c.Epochs))
	case c.Steps != 0:
		s.Steps = c.Steps
	case !(c.Epochs > 0) || math.IsInf(c.Epochs, 0):
		return invalid("epochs", c.Epochs, "must be a finite number > 0 (or give steps)")
	default:
		t := ceilSteps(c.Epochs, s.Records, s.ExpectedBatch)
		if t > float64(maxCount) {
			return invalid("epochs", c.Epochs, fmt.Sprintf("give more than %d steps", maxCount))
		}
		s.Steps = max(int64(t), 1)
	}
	if s.Steps < 1 || s.Steps > maxCount {
		return invalid("steps", s.Steps, fmt.Sprintf("must be in [1, %d]", maxCount))
	}
	return nil
}

// validate checks every value of a resolved plan, so that a plan read from a file is held to
// the same rules as a new one.
func (s *Spec) validate() error {
	if s.Version != specVersion {
		return invalid("plan version", s.Version, fmt.Sprintf("this version reads %d", specVersion))
	}
	noPrivacy := s.Lattice == nil
	if want := stampOf(noPrivacy, s.Seed); s.NotPrivate != want {
		return invalid("not_private", fmt.Sprintf("%q", s.NotPrivate), fmt.Sprintf("must be %q for such a plan", want))
	}
	if s.Relation != AddRemove && s.Relation != ReplaceOne {
		return invalid("relation", fmt.Sprintf("%q", string(s.Relation)), "must be add-remove or replace-one")
	}
	if _, err := NewAccountant(s.Accountant); err != nil || s.Accountant == "" {
		return invalid("accountant", fmt.Sprintf("%q", s.Accountant), "unknown; there are "+strings.Join(Accountants(), ", "))
	}
	for _, check := range []func() error{s.validateSampling, s.validateSizes, s.validateUnit, s.Optimizer.validate, s.Schedule.validate, s.validateClipping} {
		if err := check(); err != nil {
			return err
		}
	}
	if err := s.Evaluation.validate(s.Steps); err != nil {
		return err
	}
	if err := s.validateBudget(); err != nil {
		return err
	}
	if err := s.validateSearch(); err != nil {
		return err
	}
	if noPrivacy {
		return s.validateWithoutPrivacy()
	}
	return s.validatePrivacy()
}

func (s *Spec) validateSampling() error {
	if s.Records < 1 || s.Records > maxRecords {
		return invalid("records", s.Records, fmt.Sprintf("must be in [1, %d]", maxRecords))
	}
	if !(s.SampleRate > 0 && s.SampleRate <= 1) {
		return invalid("sampling rate", s.SampleRate, "must be in (0, 1]")
	}
	if !(s.ExpectedBatch > 0) || math.IsInf(s.ExpectedBatch, 0) {
		return invalid("expected batch", s.ExpectedBatch, "must be a finite number > 0")
	}
	// q*N and B may differ by the rounding of N = round(B/q).
	if n := float64(s.Records); math.Abs(s.SampleRate*n-s.ExpectedBatch) > s.SampleRate*0.501+1e-9*s.ExpectedBatch {
		return invalid("expected batch", s.ExpectedBatch, fmt.Sprintf("must be sampling rate * records = %g", s.SampleRate*n))
	}
	if s.Steps < 1 || s.Steps > maxCount {
		return invalid("steps", s.Steps, fmt.Sprintf("must be in [1, %d]", maxCount))
	}
	return checkDelta(s.Delta)
}

func (s *Spec) validateSizes() error {
	if s.Dim < 1 || s.Dim > maxDim {
		return invalid("trainable coordinates", s.Dim, fmt.Sprintf("must be in [1, %d]", maxDim))
	}
	if s.Microbatch < 1 {
		return invalid("microbatch", s.Microbatch, "must be >= 1")
	}
	if s.Buckets < 1 || s.Buckets > 1<<20 {
		return invalid("padding buckets", s.Buckets, "must be in [1, 1048576]")
	}
	if !(s.Rho >= 0 && s.Rho < 0.5) {
		return invalid("rho", s.Rho, "must be in [0, 0.5)")
	}
	if err := checkMethod(s.Method); err != nil {
		return err
	}
	if err := checkArithmetic(s.Arithmetic); err != nil {
		return err
	}
	return checkAverageDecay(s.AverageDecay)
}

func (s *Spec) validateWithoutPrivacy() error {
	if s.Evaluation != nil {
		return invalid("evaluations", s.Evaluation.Count, "without privacy there is nothing to pay them with; score the validation data openly")
	}
	if s.NoiseMultiplier != 0 || s.TargetEpsilon != 0 {
		return invalid("noise multiplier", s.NoiseMultiplier, "must be 0 without privacy, and no target epsilon given")
	}
	if s.ClipNorm != 0 && !(s.ClipNorm >= minClip && s.ClipNorm <= maxClip) {
		return invalid("clipping norm", s.ClipNorm, fmt.Sprintf("must be 0 (none) or in [%g, %g]", minClip, maxClip))
	}
	return nil
}

func (s *Spec) validatePrivacy() error {
	if err := checkClipNorm(s.ClipNorm); err != nil {
		return err
	}
	if s.Delta < minDelta {
		return invalid("delta", s.Delta, fmt.Sprintf("must be at least %g", minDelta))
	}
	if s.TargetEpsilon != 0 {
		if err := checkEpsilon("target epsilon", s.TargetEpsilon); err != nil {
			return err
		}
	}
	if err := checkNoiseMultiplier(s.NoiseMultiplier); err != nil {
		return err
	}
	return s.Lattice.validate(s)
}

func checkClipNorm(c float64) error {
	if !(c > 0) || math.IsInf(c, 0) {
		return invalid("clipping norm", c, "must be a finite number > 0")
	}
	if c < minClip || c > maxClip {
		return invalid("clipping norm", c, fmt.Sprintf("must be in [%g, %g]", minClip, maxClip))
	}
	return nil
}
