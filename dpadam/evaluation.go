package dpadam

import (
	"context"
	"fmt"
	"math"
)

// EvaluationSpec says which noised evaluations a run makes of data that its guarantee
// covers. Each adds up one number in [0, 1] for every record of the evaluation set (see
// EvaluationSum), adds noise, and divides by a public size:
//
//	value = (sum_i x_i + N(0, S^2)) / Records      (times Clip for a loss)
//
// One record changes the sum by at most 1, so an evaluation is the Gaussian mechanism with
// noise multiplier S on the whole data set: the event {q = 1, sigma = S}. A record may
// be in the training set and in the evaluation set at once, so evaluations compose with the
// steps; they are never counted in parallel to them.
type EvaluationSpec struct {
	Count           int64   `json:"count"`            // evaluations planned
	Kind            string  `json:"kind"`             // EvaluateAccuracy or EvaluateLoss
	Clip            float64 `json:"clip,omitempty"`   // L: losses are clipped to [0, L]; 0 for accuracy
	NoiseMultiplier float64 `json:"noise_multiplier"` // S: standard deviation of the noise / largest contribution
	Records         int64   `json:"records"`          // public size of the evaluation set
	RecordsDeclared bool    `json:"records_declared"` // false: counted, and treated as public
}

// The kinds of evaluation.
const (
	EvaluateAccuracy = "accuracy" // x_i = 1 if record i is classified correctly
	EvaluateLoss     = "loss"     // x_i = min(max(loss_i, 0), L)/L
)

// An evaluation's lattice: one unit of the sum is 2^24 steps. The bounds of S keep the
// standard deviation S*2^24 where the sampler is exact and fine against the values, and
// those of the size keep sum and noise below 2^62.
const (
	evaluationExponent   = 24
	minEvaluationNoise   = 0.01
	maxEvaluationNoise   = 1e6
	maxEvaluationRecords = int64(1) << 37
	maxEvaluationClip    = 1e6
)

// Event is what one evaluation releases.
func (e *EvaluationSpec) event(count int64) Event {
	return Event{Mechanism: PoissonSubsampledGaussian{SampleRate: 1, NoiseMultiplier: e.NoiseMultiplier}, Count: count}
}

// NoiseStd is the standard deviation of the noise on a released value.
func (e *EvaluationSpec) NoiseStd() float64 {
	return float64(e.latticeSigma()) / (1 << evaluationExponent) * e.scale() / float64(e.Records)
}

// latticeSigma is ceil(S*2^24); the product is exact in float64.
func (e *EvaluationSpec) latticeSigma() uint64 {
	return uint64(math.Ceil(math.Ldexp(e.NoiseMultiplier, evaluationExponent)))
}

// scale is the value of a contribution of 1.
func (e *EvaluationSpec) scale() float64 {
	if e.Kind == EvaluateLoss {
		return e.Clip
	}
	return 1
}

// count is the number of evaluations planned, 0 without any.
func (e *EvaluationSpec) count() int64 {
	if e == nil {
		return 0
	}
	return e.Count
}

// validate checks the evaluations of a run of so many steps.
func (e *EvaluationSpec) validate(steps int64) error {
	if e == nil {
		return nil
	}
	if e.Count < 1 || e.Count > steps {
		return invalid("evaluations", e.Count, fmt.Sprintf("must be in [1, %d], the number of steps", steps))
	}
	if !(e.NoiseMultiplier >= minEvaluationNoise && e.NoiseMultiplier <= maxEvaluationNoise) {
		return invalid("evaluation noise", e.NoiseMultiplier, fmt.Sprintf("must be in [%g, %g]", minEvaluationNoise, maxEvaluationNoise))
	}
	if e.Records < 1 || e.Records > maxEvaluationRecords {
		return invalid("evaluation records", e.Records, fmt.Sprintf("must be in [1, %d]", maxEvaluationRecords))
	}
	switch e.Kind {
	case EvaluateAccuracy:
		if e.Clip != 0 {
			return invalid("evaluation clip", e.Clip, "belongs to the loss; an accuracy has none")
		}
	case EvaluateLoss:
		if !(e.Clip > 0 && e.Clip <= maxEvaluationClip) {
			return invalid("evaluation clip", e.Clip, fmt.Sprintf("must be in (0, %g]", maxEvaluationClip))
		}
	default:
		return invalid("evaluation", fmt.Sprintf("%q", e.Kind), "must be accuracy or loss")
	}
	return nil
}

// EvaluationSum adds up the contributions of one evaluation on the lattice.
//
// Claim: adding or removing one record changes the sum K by at most 2^24, exactly. Proof:
// a record's contribution is an integer k_i in [0, 2^24] that is computed from the record
// and the weights alone (whoever calls Add must see to that: each record in a run of its
// own), and K = sum k_i is added up in integers. The rounding of a loss to the
// lattice happens within k_i, once for each record and not on the sum, so it adds nothing to
// the sensitivity. Replacing a record changes K by at most 2^24 too; the replace-one
// accountants price the double of it, which errs on the safe side.
//
// The release is gamma*(K + Z), Z = round(G), G ~ N(0, s^2), s >= S*2^24, and as K is an
// integer K + round(G) = round(K+G): post-processing of the Gaussian mechanism with noise
// multiplier s/2^24 >= S.
type EvaluationSum struct {
	spec    EvaluationSpec
	plan    *Plan
	k       int64
	records int64
	err     error
}

// NewEvaluationSum returns an empty sum for one evaluation of the plan.
func NewEvaluationSum(p *Plan) (*EvaluationSum, error) {
	if p.spec.Evaluation == nil {
		return nil, fmt.Errorf("%w: the plan has no evaluations", ErrMisuse)
	}
	return &EvaluationSum{plan: p, spec: *p.spec.Evaluation}, nil
}

// AddCorrect adds a record: whether its class was predicted.
func (s *EvaluationSum) AddCorrect(correct bool) error {
	k := int64(0)
	if correct {
		k = 1 << evaluationExponent
	}
	return s.add(EvaluateAccuracy, k)
}

// AddLoss adds a record's loss, clipped to [0, L]. A loss that is not a number counts as L.
func (s *EvaluationSum) AddLoss(loss float64) error {
	x := 1.0
	if loss < s.spec.Clip { // false for NaN
		x = math.Max(loss, 0) / s.spec.Clip
	}
	return s.add(EvaluateLoss, int64(math.Floor(math.Ldexp(x, evaluationExponent))))
}

func (s *EvaluationSum) add(kind string, k int64) error {
	switch {
	case s.err != nil:
	case kind != s.spec.Kind:
		s.err = fmt.Errorf("%w: the plan evaluates the %s", ErrMisuse, s.spec.Kind)
	case s.records >= maxEvaluationRecords:
		s.err = fmt.Errorf("%w: more than %d records in an evaluation", ErrMisuse, maxEvaluationRecords)
	default:
		s.k += k
		s.records++
	}
	return s.err
}

// Evaluation is the released result of one.
type Evaluation struct {
	Value    float64 // noised accuracy or mean loss; the noise can carry it out of its range
	NoiseStd float64 // standard deviation of the noise in Value
}

// Evaluator draws the noise of evaluations, once for each permit. Its key is its own: no
// stream of a training step is ever read.
type Evaluator struct {
	plan  *Plan
	gauss *gaussian
	keys  ratchet
	hook  func(point string)
}

// Fault points of an evaluation.
const (
	PointEvaluationBefore = "evaluation.before" // charged, the noise not drawn yet
	PointEvaluationAfter  = "evaluation.after"
)

// NewEvaluator returns an evaluator with a fresh key.
func NewEvaluator(p *Plan, hook func(point string)) (*Evaluator, error) {
	if p.spec.Evaluation == nil {
		return nil, fmt.Errorf("%w: the plan has no evaluations", ErrMisuse)
	}
	e := &Evaluator{plan: p, hook: hook}
	var err error
	if e.gauss, err = newGaussian(p.spec.Evaluation.latticeSigma()); err != nil {
		return nil, err
	}
	e.keys.state, err = freshKey(p.spec.Seed, "evaluation")
	return e, err
}

// Release spends the permit and returns the noised value. It fails, before the permit is
// spent, for a permit that was used or belongs to another plan and for a sum that failed.
func (e *Evaluator) Release(ctx context.Context, permit *EvaluationPermit, sum *EvaluationSum) (Evaluation, error) {
	switch {
	case permit == nil || sum == nil:
		return Evaluation{}, fmt.Errorf("%w: release needs a permit and a sum", ErrMisuse)
	case permit.plan != e.plan || sum.plan != e.plan:
		return Evaluation{}, fmt.Errorf("%w: permit, sum and noise belong to different plans", ErrMisuse)
	case sum.err != nil:
		return Evaluation{}, fmt.Errorf("evaluation not released: %w", sum.err)
	}
	if err := ctx.Err(); err != nil {
		return Evaluation{}, err
	}
	if !permit.used.CompareAndSwap(false, true) {
		return Evaluation{}, fmt.Errorf("%w: the permit of evaluation %d was used before; its noise is drawn once", ErrMisuse, permit.index)
	}
	callHook(e.hook, PointEvaluationBefore)
	z, err := e.draw(permit.index)
	if err != nil {
		return Evaluation{}, err
	}
	callHook(e.hook, PointEvaluationAfter)
	spec := &e.plan.spec
	value := math.Ldexp(float64(sum.k+z), -evaluationExponent) * spec.Evaluation.scale() / float64(spec.Evaluation.Records)
	return Evaluation{Value: value, NoiseStd: spec.Evaluation.NoiseStd()}, nil
}

// draw returns one sample of round(N(0, s^2)) at an address that is never used again.
func (e *Evaluator) draw(index uint64) (int64, error) {
	key, err := e.keys.advance(index)
	if err != nil {
		return 0, err
	}
	block, err := newCipher(key)
	clear(key[:])
	if err != nil {
		return 0, err
	}
	var src stream
	src.open(block, index, 0)
	z := make([]int64, 1)
	e.gauss.fill(z, &src)
	src.wipe()
	return z[0], nil
}
