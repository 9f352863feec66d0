package dpadam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sync"
)

// Config is what a user asks for; NewPlan turns it into a Plan. Zero means "not
// given" wherever a default is named.
type Config struct {
	// Records is N, the public number of records, fixed before any filtering. It may be
	// left out if both ExpectedBatch and SampleRate are given: N = round(B/q).
	Records int64
	// RecordsDeclared says that the user gave N; otherwise the data set was counted, and
	// the statement says that N is treated as public.
	RecordsDeclared bool
	// ExpectedBatch is B = q*N, the public denominator of every gradient. It need not be
	// an integer.
	ExpectedBatch float64
	// SampleRate is q; give it instead of ExpectedBatch or of Records.
	SampleRate float64
	// Epochs or Steps, not both: T = ceil(Epochs*N/B).
	Epochs float64
	Steps  int64
	Delta  float64 // default 1/(2N)

	// Exactly one of the next three.
	TargetEpsilon   float64 // sigma is calibrated so that the rigorous bound of T steps meets it
	NoiseMultiplier float64 // sigma = standard deviation of the noise / C
	NoPrivacy       bool    // no noise, nothing claimed: NOT PRIVATE

	Relation   Relation // default add-remove
	Accountant string   // default DefaultAccountant
	Unit       string   // unit of privacy in the statement; default "one record"
	// RecordsPerUnit is k > 0 where a unit has several records, of which at most k make its
	// example (unit.go). Records and ExpectedBatch then count units.
	RecordsPerUnit int

	ClipNorm float64 // C; with NoPrivacy 0 means that nothing is clipped
	Rho      float64 // allowance for float32 errors: the trainer clips to C*(1-rho)

	// Clipping says how gradients are clipped; the zero value is the plain way (ClipAbadi, one
	// norm over all coordinates, C fixed). Of Adaptive only Quantile must be given.
	Clipping Clipping

	Dim        int64 // d, the number of trainable coordinates
	Microbatch int   // fewest records a full microbatch holds; 0 means 1
	Buckets    int   // number of public padding lengths, each with microbatches of its own; 0 means 1

	// Evaluation are noised evaluations on private data that the run pays for; nil for none.
	Evaluation *EvaluationSpec

	Optimizer OptimizerSpec // zero value but for the learning rate: Adam(0.9, 0.999, 1e-8)
	Schedule  ScheduleSpec  // zero value: constant
	// AverageDecay makes the released weights an exponential moving average (Average); 0 for none.
	AverageDecay float64
	// Arithmetic says what computes the sums where it is not what Rho was measured on; the statement prints it.
	Arithmetic string
	// Method says what is trained where that is not the whole model as it is; the statement prints it.
	Method string

	// Budget is the budget that the run draws on beside others; nil for none. With BudgetShare, the
	// part of it that the run may take, instead of a target epsilon or a noise multiplier,
	// sigma is calibrated for that.
	Budget      *BudgetRef
	BudgetShare float64

	// Search is the search by random stopping that the run is one of; nil for none. The price of
	// the run is then that of the whole search.
	Search *SearchSpec

	// Seed makes every random number a function of it. For tests only: the plan, the
	// ledger and the statement say NOT PRIVATE.
	Seed *uint64
}

// Spec is a resolved plan, every value explicit. It is the JSON of the ledger's first line.
type Spec struct {
	Version         int           `json:"version"`
	NotPrivate      string        `json:"not_private,omitempty"` // why nothing is guaranteed; empty for a private plan
	Unit            string        `json:"unit"`
	RecordsPerUnit  int           `json:"records_per_unit,omitempty"`
	Relation        Relation      `json:"relation"`
	Records         int64         `json:"records"`
	RecordsDeclared bool          `json:"records_declared"`
	SampleRate      float64       `json:"sample_rate"`
	ExpectedBatch   float64       `json:"expected_batch"`
	Steps           int64         `json:"steps"`
	Delta           float64       `json:"delta"`
	TargetEpsilon   float64       `json:"target_epsilon,omitempty"`
	NoiseMultiplier float64       `json:"noise_multiplier"`
	Accountant      string        `json:"accountant"`
	ClipNorm        float64       `json:"clip_norm"`
	Rho             float64       `json:"rho"`
	Dim             int64         `json:"trainable_coordinates"`
	Microbatch      int           `json:"microbatch"`
	Buckets         int           `json:"buckets"`
	Clipping        *Clipping     `json:"clipping,omitempty"` // nil for the plain way
	Lattice         *Lattice      `json:"lattice,omitempty"`  // nil for a plan without noise
	Optimizer       OptimizerSpec `json:"optimizer"`
	Schedule        ScheduleSpec  `json:"schedule"`
	AverageDecay    float64       `json:"average_decay,omitempty"`
	Arithmetic      string        `json:"arithmetic,omitempty"` // "" for float32 on the processor
	Method          string        `json:"method,omitempty"`     // "" for the whole model
	Seed            *uint64       `json:"seed,omitempty"`
	Budget          *BudgetRef    `json:"budget,omitempty"`
	Search          *SearchSpec   `json:"search,omitempty"`
	// Evaluation is nil for a plan that evaluates nothing under its guarantee.
	Evaluation *EvaluationSpec `json:"evaluation,omitempty"`
}

const specVersion = 1

// Plan couples sampler, clipping, noise, event, relation and optimizer. It is immutable;
// the number of records enters a step only through q and the public expected batch.
type Plan struct {
	spec Spec
	json []byte     // canonical form
	acc  Accountant // safe for concurrent use; its cache makes repeated questions cheap

	search func() (Result, error) // the price of the search that the run is one of, computed once
}

// NewPlan validates c, resolves every default, calibrates the noise and fixes the lattice.
// Nothing has happened when it fails; the error is a *ParamError.
func NewPlan(c Config) (*Plan, error) { return NewPlanContext(context.Background(), c) }

// NewPlanContext is NewPlan with a context for the calibration.
func NewPlanContext(ctx context.Context, c Config) (*Plan, error) {
	s, err := resolve(c)
	if err != nil {
		return nil, err
	}
	if c.TargetEpsilon != 0 {
		acc, err := NewAccountant(s.Accountant)
		if err != nil {
			return nil, err
		}
		s.NoiseMultiplier, _, err = CalibrateNoise(ctx, acc, s.Relation, s.SampleRate, s.Steps,
			accountedDelta(s.Delta), s.TargetEpsilon, s.beside(c.Evaluation.count())...)
		if err != nil {
			return nil, err
		}
	}
	if c.BudgetShare != 0 {
		if s.NoiseMultiplier, err = s.calibrateShare(ctx); err != nil {
			return nil, err
		}
	}
	if a := s.adaptive(); a != nil && !c.NoPrivacy {
		if err := a.settle(&s); err != nil {
			return nil, err
		}
	}
	if !c.NoPrivacy {
		l, err := chooseLattice(s)
		if err != nil {
			return nil, err
		}
		s.Lattice = &l
	}
	return planOf(s)
}

// ParsePlan reads a plan that was written by MarshalJSON, refusing unknown fields and
// anything that NewPlan could not have made.
func ParsePlan(data []byte) (*Plan, error) {
	var s Spec
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: plan: %v", ErrInvalid, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: plan: text after the JSON object", ErrInvalid)
	}
	return planOf(s)
}

func planOf(s Spec) (*Plan, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("%w: plan: %v", ErrInvalid, err)
	}
	acc, err := NewAccountant(s.Accountant)
	if err != nil {
		return nil, err
	}
	p := &Plan{spec: s, json: data, acc: acc}
	p.search = sync.OnceValues(p.priceSearch)
	return p, nil
}

// Spec returns a copy of every resolved value.
func (p *Plan) Spec() Spec {
	s := p.spec
	if s.Lattice != nil {
		l := *s.Lattice
		s.Lattice = &l
	}
	if s.Seed != nil {
		v := *s.Seed
		s.Seed = &v
	}
	if s.Evaluation != nil {
		e := *s.Evaluation
		s.Evaluation = &e
	}
	if s.Budget != nil {
		b := *s.Budget
		s.Budget = &b
	}
	if s.Search != nil {
		s.Search = s.Search.clone()
	}
	s.Clipping = s.Clipping.clone()
	return s
}

// MarshalJSON returns the canonical form: the same plan always gives the same bytes.
func (p *Plan) MarshalJSON() ([]byte, error) { return bytes.Clone(p.json), nil }

// Hash is the SHA-256 of the canonical form, in hexadecimal.
func (p *Plan) Hash() string {
	sum := sha256.Sum256(p.json)
	return hex.EncodeToString(sum[:])
}

// Private reports whether the plan guarantees anything.
func (p *Plan) Private() bool { return p.spec.NotPrivate == "" }

// Stamp is empty for a private plan, else "NOT PRIVATE: " and the reason. Whatever a run
// writes carries it.
func (p *Plan) Stamp() string { return p.spec.NotPrivate }

// Noisy reports whether noise is added (a seeded plan is noisy and not private).
func (p *Plan) Noisy() bool { return p.spec.Lattice != nil }

// Steps is T, the planned number of steps.
func (p *Plan) Steps() int64 { return p.spec.Steps }

// ExpectedBatch is the public denominator of the gradient.
func (p *Plan) ExpectedBatch() float64 { return p.spec.ExpectedBatch }

// ClipTo is the norm that the trainer clips to, C*(1-rho), so that the float32 sums stay
// within the sensitivity C. 0 means that nothing is clipped (only without privacy). Under
// adaptive clipping that is the first step's; Stepper.ClipTo follows C.
func (p *Plan) ClipTo() float64 { return p.spec.clipTo(p.spec.ClipNorm) }

func (s *Spec) clipTo(c float64) float64 { return c * (1 - s.Rho) }

// Adapts reports whether the clipping norm follows a quantile of the gradients' norms: sums are
// then added with AddCounted.
func (p *Plan) Adapts() bool { return p.spec.adaptive() != nil }

// LearningRate returns the learning rate of optimizer step n = 1, 2, ... of total steps.
// A resumed run that can pay for fewer steps passes that number as total.
func (p *Plan) LearningRate(n, total int64) float64 {
	return p.spec.Optimizer.LearningRate * p.spec.Schedule.Factor(n-1, total)
}

// String is one line for a log: the stamp first, if there is one.
func (p *Plan) String() string {
	s := p.spec
	head := ""
	if s.NotPrivate != "" {
		head = s.NotPrivate + "; "
	}
	if s.Arithmetic != "" {
		head += "computed by " + s.Arithmetic + "; "
	}
	if s.Method != "" {
		head += "method " + s.Method + "; "
	}
	if s.Clipping != nil {
		head += "clipping " + s.Clipping.String() + "; "
	}
	return fmt.Sprintf("%sPoisson sampling q=%.6g (B=%g of N=%d), %d steps, sigma=%g, C=%g (clipped to %.6g), delta=%.3g, %s, %s",
		head, s.SampleRate, s.ExpectedBatch, s.Records, s.Steps, s.NoiseMultiplier, s.ClipNorm, p.ClipTo(), s.Delta, s.Relation, s.Accountant)
}

// ceilSteps returns ceil(epochs*N/B), forgiving a last digit: 3 epochs of 1000 records at
// B = 100 are 30 steps.
func ceilSteps(epochs float64, records int64, batch float64) float64 {
	return math.Ceil(epochs * float64(records) / batch * (1 - 1e-12))
}
