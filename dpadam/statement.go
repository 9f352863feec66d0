package dpadam

import "encoding/json"

// Statement is what a ledger proves about a run, for a machine (its JSON) and for a
// person (Text). It is a function of the ledger alone: no clock, no data, no path.
type Statement struct {
	Version    int    `json:"version"`
	Private    bool   `json:"private"`
	NotPrivate string `json:"not_private,omitempty"` // the stamp

	// Epsilon is the rigorous upper bound, recomputed from the charges; null when the run is
	// not private. NominalEpsilon is what a seeded run would have cost with secret random
	// numbers; it guarantees nothing.
	Epsilon        *float64 `json:"epsilon"`
	Delta          *float64 `json:"delta"`
	Estimate       *float64 `json:"estimate,omitempty"`
	Lower          *float64 `json:"lower,omitempty"`
	NominalEpsilon *float64 `json:"nominal_epsilon,omitempty"`
	TargetEpsilon  float64  `json:"target_epsilon,omitempty"`
	Accountant     string   `json:"accountant"`
	Order          float64  `json:"renyi_order,omitempty"`

	Unit            string    `json:"unit_of_privacy"`
	RecordsPerUnit  int       `json:"records_per_unit,omitempty"`
	Relation        Relation  `json:"relation"`
	Sampler         string    `json:"sampler"`
	SampleRate      float64   `json:"sample_rate"`
	ExpectedBatch   float64   `json:"expected_batch"`
	Records         int64     `json:"records"`
	RecordsPublic   string    `json:"records_public"` // "declared" or "counted"
	NoiseMultiplier float64   `json:"noise_multiplier"`
	ClipNorm        float64   `json:"clip_norm"`
	Rho             float64   `json:"rho"`
	Clipping        *Clipping `json:"clipping,omitempty"`             // nil: min(1, C/norm), one norm over all coordinates
	SumMultiplier   float64   `json:"sum_noise_multiplier,omitempty"` // of the sum alone, where a count is released with it
	AverageDecay    float64   `json:"average_decay,omitempty"`        // the released weights are an average over the steps
	Arithmetic      string    `json:"arithmetic,omitempty"`           // what computed the sums, if not float32 on the processor
	Method          string    `json:"method,omitempty"`               // what was trained, if not the whole model
	Dim             int64     `json:"trainable_coordinates"`
	Lattice         *Lattice  `json:"lattice,omitempty"`

	StepsPlanned int64  `json:"steps_planned"`
	StepsTaken   *int64 `json:"steps_taken"` // null: the run did not say that it ended
	StepsCharged int64  `json:"steps_charged"`
	TornLines    int64  `json:"torn_lines"`
	Resumes      int64  `json:"resumes"`
	Branches     int    `json:"branches"`
	Run          string `json:"run"`

	Evaluations *StatementEvaluations `json:"evaluations,omitempty"`
	Budget      *StatementBudget      `json:"budget,omitempty"`
	Search      *StatementSearch      `json:"search,omitempty"`

	LedgerHead *Head `json:"ledger_head,omitempty"`

	Assumptions []string `json:"assumptions"`
	Covered     []string `json:"covered"`
	NotCovered  []string `json:"not_covered"`
}

// NewStatement recomputes the guarantee from a ledger. A run that was charged no step has
// epsilon 0.
func NewStatement(r *LedgerRecord) (*Statement, error) {
	p, s := r.plan, r.plan.Spec()
	st := &Statement{Version: 1, Private: p.Private(), NotPrivate: p.Stamp(), TargetEpsilon: s.TargetEpsilon,
		Accountant: s.Accountant, Unit: s.Unit, RecordsPerUnit: s.RecordsPerUnit, Relation: s.Relation, Sampler: "poisson", SampleRate: s.SampleRate,
		ExpectedBatch: s.ExpectedBatch, Records: s.Records, RecordsPublic: "counted", NoiseMultiplier: s.NoiseMultiplier,
		ClipNorm: s.ClipNorm, Rho: s.Rho, Clipping: s.Clipping, AverageDecay: s.AverageDecay, Arithmetic: s.Arithmetic, Method: s.Method, Dim: s.Dim, Lattice: s.Lattice,
		StepsPlanned: s.Steps, StepsCharged: r.charged, TornLines: r.torn, Resumes: r.resumes, Branches: r.branches, Run: r.run}
	st.Evaluations, st.Budget, st.Search = evaluationsOf(r), budgetOf(&s), searchOf(&s)
	if p.Adapts() {
		st.SumMultiplier = s.sumMultiplier()
	}
	if s.RecordsDeclared {
		st.RecordsPublic = "declared"
	}
	if taken, ended := r.Taken(); ended {
		st.StepsTaken = &taken
	}
	if h := r.Head(); h.Lines > 0 {
		st.LedgerHead = &h
	}
	if err := st.price(r); err != nil {
		return nil, err
	}
	st.Assumptions, st.Covered, st.NotCovered = st.assumptions(), st.covered(), st.notCovered()
	return st, nil
}

func (st *Statement) price(r *LedgerRecord) error {
	if !r.plan.Noisy() {
		return nil
	}
	res, err := r.Epsilon()
	if err != nil {
		return err
	}
	st.Order = res.Order
	if !st.Private {
		st.NominalEpsilon = &res.Epsilon
		return nil
	}
	delta := r.plan.spec.Delta
	st.Epsilon, st.Delta, st.Estimate, st.Lower = &res.Epsilon, &delta, &res.Estimate, &res.Lower
	return nil
}

// JSON returns the statement as one indented JSON object with a final newline.
func (st *Statement) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}
