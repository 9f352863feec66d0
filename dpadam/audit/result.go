package audit

// Claim is the guarantee that is held against the guesses.
type Claim struct {
	Epsilon float64 `json:"epsilon"`
	Delta   float64 `json:"delta"`
}

// A Result is an audit's outcome. It is a function of which canaries were in: for the person
// who tests, not for release.
type Result struct {
	OneRun
	Claimed      float64 `json:"claimed_epsilon"`
	Significance float64 `json:"significance"`
	Method       Method  `json:"bound"`       // whose bound Bound is
	Bound        float64 `json:"lower_bound"` // of the true epsilon, at confidence 1-Significance
	Most         float64 `json:"most"`        // the bound with every guess right
	// Fewest is the number of canaries without which no audit could refute the claim.
	Fewest int `json:"fewest_canaries"`
	// Other is the bound of the other method, which decides nothing; nil where that method does
	// not apply.
	Other    *float64 `json:"other_lower_bound,omitempty"`
	Refuted  bool     `json:"refuted"` // Bound > Claimed
	Included int      `json:"canaries_in"`
	Area     float64  `json:"auroc"`
	At01     float64  `json:"tpr_at_fpr_0.01"`
	At1      float64  `json:"tpr_at_fpr_0.1"`

	Scores Scores `json:"-"`
	Curve  Curve  `json:"-"`
}

// Options are the size of an audit.
type Options struct {
	Significance float64 // probability to refute a claim that is true
	// Guesses is fixed in advance; 0 takes Size.Choose, a function of public numbers.
	Guesses int
	Method  Method // empty for MethodOneRun
	// Gaussian says that the mechanism is known to be a Gaussian one, without sampling. MethodGaussian
	// is refused without it.
	Gaussian bool
}

// Size resolves the options for m canaries and a claim, and refuses an audit that could not
// refute the claim whatever came out (Size.Check).
func (o Options) Size(m int, c Claim) (Size, error) {
	s := Size{Canaries: m, Guesses: o.Guesses, Epsilon: c.Epsilon, Delta: c.Delta, Significance: o.Significance}
	var err error
	if s.Method, err = ParseMethod(string(o.Method)); err != nil {
		return s, err
	}
	if s.Method == MethodGaussian && !o.Gaussian {
		return s, invalid("bound", s.Method, "holds for gradients in steps without sampling only (sampling rate 1); take one-run")
	}
	if s.Guesses == 0 {
		if s.Guesses, err = s.Choose(); err != nil {
			return s, err
		}
	}
	return s, s.Check()
}

// Evaluate turns scores into the audit's result.
func Evaluate(s Scores, c Claim, o Options) (*Result, error) {
	size, err := o.Size(len(s.Score), c)
	if err != nil {
		return nil, err
	}
	r := &Result{Claimed: c.Epsilon, Significance: o.Significance, Method: size.Method, Scores: s, Included: len(Included(s.In))}
	if r.OneRun, err = s.Guess(size.Guesses, c.Delta); err != nil {
		return nil, err
	}
	if r.Bound, err = r.by(r.Method, o.Significance); err != nil {
		return nil, err
	}
	if r.Most, err = size.Most(); err != nil {
		return nil, err
	}
	if r.Fewest, err = size.Fewest(); err != nil {
		return nil, err
	}
	if o.Gaussian && c.Delta > 0 {
		other := map[Method]Method{MethodOneRun: MethodGaussian, MethodGaussian: MethodOneRun}[r.Method]
		x, err := r.by(other, o.Significance)
		if err != nil {
			return nil, err
		}
		r.Other = &x
	}
	r.Refuted = r.Bound > c.Epsilon
	return r, r.curve()
}

// curve fills in what the scores look like. All canaries in, or none, leave it empty.
func (r *Result) curve() (err error) {
	if r.Included == 0 || r.Included == r.Canaries {
		return nil
	}
	if r.Curve, err = r.Scores.ROC(); err != nil {
		return err
	}
	r.Area = r.Curve.Area()
	if r.At01, err = r.Curve.At(0.01); err != nil {
		return err
	}
	r.At1, err = r.Curve.At(0.1)
	return err
}

// Verdict is "refuted" or "not refuted"; never that a claim holds.
func (r *Result) Verdict() string {
	if r.Refuted {
		return "refuted"
	}
	return "not refuted"
}
