package dpadam

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// SearchSpec describes a search for hyperparameters by random stopping (Papernot, Steinke
// 2022, "Hyperparameter Tuning with Renyi Differential Privacy"; after Liu, Talwar 2019). A
// number K is drawn from a public distribution and kept secret. K times a cell of a public
// grid is drawn uniformly, with replacement, and a run is made with its settings; the run
// with the best score is released, all others and K stay secret. The score is part of the
// run's own output: public data and the weights, or a noised evaluation that the run pays for.
//
// The search costs little more than one run, whatever the grid: much less than its runs
// composed.
type SearchSpec struct {
	// ID is that of the reservation of a search that draws on a budget; empty otherwise.
	ID           string  `json:"id,omitempty"`
	Distribution string  `json:"distribution"`    // SearchNegativeBinomial or SearchPoisson
	Shape        float64 `json:"shape,omitempty"` // eta of the negative binomial: 1 is geometric, 0 logarithmic
	Gamma        float64 `json:"gamma,omitempty"` // of the negative binomial
	Mean         float64 `json:"mean"`            // E[K]
	Grid         int     `json:"grid"`            // number of cells
	// Cells are the costs that cells have: every step and evaluation of a run. Cells of equal
	// cost are listed once.
	Cells [][]BudgetEvent `json:"cells"`
}

// The distributions of the number of runs.
const (
	// SearchNegativeBinomial is D(eta, gamma), the negative binomial distribution truncated to
	// K >= 1 (Papernot, Steinke 2022, Definition 1), eta > -1, 0 < gamma < 1:
	//
	//	P[K = k] = (1-gamma)^k/(gamma^-eta - 1) prod_{l<k} (l+eta)/(l+1)   (eta != 0)
	//	P[K = k] = (1-gamma)^k/(k log(1/gamma))                            (eta = 0)
	//
	// eta = 1 is the geometric distribution, eta = 0 the logarithmic one.
	SearchNegativeBinomial = "truncated-negative-binomial"
	// SearchPoisson is the Poisson distribution; K = 0 releases nothing.
	SearchPoisson = "poisson"
)

const (
	minSearchGamma = 1e-4
	maxSearchMean  = 1e3
	maxSearchShape = 100
	maxSearchGrid  = 1 << 20
)

// NewSearchSpec describes a search with so many runs in expectation. mean is E[K] > 1, from
// which gamma follows; shape is eta. The cells are added by WithCells.
func NewSearchSpec(distribution string, shape, mean float64) (*SearchSpec, error) {
	s := &SearchSpec{Distribution: distribution, Shape: shape, Mean: mean}
	if distribution == "" {
		s.Distribution = SearchNegativeBinomial
	}
	if !(mean >= 1 && mean <= maxSearchMean) {
		return nil, invalid("mean number of runs", mean, fmt.Sprintf("must be in [1, %g]", maxSearchMean))
	}
	if s.Distribution == SearchNegativeBinomial {
		if !(shape > -1 && shape <= maxSearchShape) {
			return nil, invalid("shape", shape, fmt.Sprintf("must be in (-1, %d]", maxSearchShape))
		}
		lo, hi := 0.0, 1.0 // the mean falls from infinity to 1 as gamma rises
		for range 200 {
			if mid := (lo + hi) / 2; negativeBinomialMean(shape, mid) > mean {
				lo = mid
			} else {
				hi = mid
			}
		}
		s.Gamma = hi
		if s.Gamma >= minSearchGamma && s.Gamma < 1 {
			s.Mean = negativeBinomialMean(shape, s.Gamma)
		}
	}
	return s, s.validateRuns()
}

// negativeBinomialMean is E[K] of D(eta, gamma), rounded up:
//
//	eta (1-gamma)/(gamma (1 - gamma^eta)),  (1/gamma - 1)/log(1/gamma) for eta = 0.
func negativeBinomialMean(eta, gamma float64) float64 {
	l := -math.Log(gamma)
	if gamma > 0.5 {
		l = -math.Log1p(gamma - 1)
	}
	if eta == 0 {
		return (1 - gamma) / gamma / l * (1 + 1e-14)
	}
	return (1 - gamma) / gamma * eta / -math.Expm1(-eta*l) * (1 + 1e-14)
}

// WithCells returns the search over a grid whose cells have these costs: events of the runs,
// of one neighbouring relation.
func (s *SearchSpec) WithCells(costs ...[]BudgetEvent) *SearchSpec {
	out := *s
	out.Grid, out.Cells = len(costs), nil
	for _, c := range costs {
		if !out.has(c) {
			out.Cells = append(out.Cells, c)
		}
	}
	return &out
}

func (s *SearchSpec) clone() *SearchSpec {
	out := *s
	out.Cells = make([][]BudgetEvent, len(s.Cells))
	for i, c := range s.Cells {
		out.Cells[i] = slices.Clone(c)
	}
	return &out
}

func (s *SearchSpec) has(cost []BudgetEvent) bool {
	for _, c := range s.Cells {
		if slices.Equal(c, cost) {
			return true
		}
	}
	return false
}

// validateRuns checks the distribution of K.
func (s *SearchSpec) validateRuns() error {
	switch s.Distribution {
	case SearchPoisson:
		if s.Shape != 0 || s.Gamma != 0 {
			return invalid("shape", s.Shape, "belongs to the negative binomial; the Poisson distribution has its mean alone")
		}
		if !(s.Mean >= 1 && s.Mean <= maxSearchMean) {
			return invalid("mean number of runs", s.Mean, fmt.Sprintf("must be in [1, %g]", maxSearchMean))
		}
	case SearchNegativeBinomial:
		if !(s.Shape > -1 && s.Shape <= maxSearchShape) {
			return invalid("shape", s.Shape, fmt.Sprintf("must be in (-1, %d]", maxSearchShape))
		}
		if !(s.Gamma >= minSearchGamma && s.Gamma < 1) {
			return invalid("gamma", s.Gamma, fmt.Sprintf("must be in [%g, 1); ask for another mean number of runs", minSearchGamma))
		}
		if want := negativeBinomialMean(s.Shape, s.Gamma); s.Mean != want {
			return invalid("mean number of runs", s.Mean, fmt.Sprintf("must be %v for this shape and gamma", want))
		}
	default:
		return invalid("distribution", fmt.Sprintf("%q", s.Distribution), "must be "+SearchNegativeBinomial+" or "+SearchPoisson)
	}
	return nil
}

func (s *SearchSpec) validate(relation Relation) error {
	if err := s.validateRuns(); err != nil {
		return err
	}
	if len(s.Cells) < 1 || s.Grid < len(s.Cells) || s.Grid > maxSearchGrid {
		return invalid("cells of the search", len(s.Cells), fmt.Sprintf("must be in [1, %d], the number of cells of the grid", s.Grid))
	}
	t := BudgetTerms{Relation: relation}
	for _, cell := range s.Cells {
		if len(cell) == 0 {
			return invalid("cell of the search", "[]", "must have a step")
		}
		if err := t.composition(cell).Validate(); err != nil {
			return err
		}
	}
	return nil
}

// searchOrders is how many of rdpOrders a search uses: those up to 1024, each of which gives a
// valid bound.
var searchOrders = func() int {
	n := 0
	for n < len(rdpOrders) && rdpOrders[n] <= 1024 {
		n++
	}
	return n
}()

// A searchCurve is an upper bound of the Renyi divergence of one run, at every order of
// rdpOrders[:searchOrders]. A run draws a cell and trains: were the cell's number released
// too, the divergence would be
//
//	1/(alpha-1) log (1/n sum_i exp((alpha-1) D_alpha(i))) <= max_i D_alpha(i),
//
// and not releasing it is post-processing.
type searchCurve []float64

func (s *SearchSpec) curve(ctx context.Context, relation Relation) (searchCurve, error) {
	out := make(searchCurve, searchOrders)
	for k := range out {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[k] = s.divergence(relation, rdpOrders[k])
	}
	return out, nil
}

// divergence is the curve at one order.
func (s *SearchSpec) divergence(relation Relation, alpha float64) float64 {
	moment := map[rdpKey]float64{}
	most := 0.0
	for _, cell := range s.Cells {
		sum := 0.0
		for _, e := range cell {
			if e.SampleRate == 0 || e.Count == 0 {
				continue
			}
			key := rdpKey{e.SampleRate, e.NoiseMultiplier, relation}
			m, ok := moment[key]
			if !ok {
				m = logMoment(key, alpha)
				moment[key] = m
			}
			sum += float64(e.Count) * m
		}
		most = math.Max(most, sum*(1+1e-13)/(alpha-1))
	}
	return most
}

// overhead is what the negative binomial adds at every order:
//
//	(1+eta) min over lambda^ of (1 - 1/lambda^) eps^(lambda^) + log(1/gamma)/lambda^
func (s *SearchSpec) overhead(c searchCurve) float64 {
	least := math.Inf(1)
	for k, d := range c {
		least = math.Min(least, (1-1/rdpOrders[k])*d-math.Log(s.Gamma)/rdpOrders[k])
	}
	return (1 + s.Shape) * least
}

// tuned is the divergence of the whole search at order alpha, of which one run has the
// divergence base at alpha and the curve c elsewhere. For the negative binomial (Papernot,
// Steinke 2022, Theorem 2), for any lambda^:
//
//	eps'(alpha) = eps(alpha) + (1+eta)(1-1/lambda^) eps(lambda^) + (1+eta) log(1/gamma)/lambda^
//	              + log(E[K])/(alpha-1)
//
// For the Poisson distribution with mean mu (Theorem 6), if one run is (eps^, delta^)-DP with
// e^eps^ <= 1 + 1/(alpha-1):
//
//	eps'(alpha) = eps(alpha) + mu delta^ + log(mu)/(alpha-1)
func (s *SearchSpec) tuned(c searchCurve, alpha, base float64) float64 {
	mean := math.Log(s.Mean) / (alpha - 1)
	var extra float64
	if s.Distribution == SearchPoisson {
		extra = s.Mean * c.delta(math.Log1p(1/(alpha-1)))
	} else {
		extra = s.overhead(c)
	}
	return (base + extra + mean) * (1 + 1e-13)
}

// delta is the delta of one run at an epsilon, by the conversion of RDP.Delta.
func (c searchCurve) delta(epsilon float64) float64 {
	best := 0.0
	for k, d := range c {
		a := rdpOrders[k]
		best = math.Min(best, (a-1)*(d+math.Log1p(-1/a)-epsilon)-math.Log(a))
	}
	return math.Min(1, math.Exp(best)*(1+1e-12*(1-best))+math.SmallestNonzeroFloat64)
}

// Epsilon is the smallest epsilon at delta of the whole search, over the orders; every order
// holds, for the mechanism is fixed before the search.
func (s *SearchSpec) Epsilon(ctx context.Context, relation Relation, delta float64) (Result, error) {
	if err := s.validate(relation); err != nil {
		return Result{}, err
	}
	if err := checkDelta(delta); err != nil {
		return Result{}, err
	}
	c, err := s.curve(ctx, relation)
	if err != nil {
		return Result{}, err
	}
	best, order := math.Inf(1), 0.0
	for k, d := range c {
		a := rdpOrders[k]
		if eps := s.tuned(c, a, d) + math.Log1p(-1/a) - math.Log(delta*a)/(a-1); eps < best {
			best, order = eps, a
		}
	}
	if math.IsInf(best, 1) || math.IsNaN(best) {
		return Result{}, errNoFinite
	}
	best = math.Max(0, roundUp(best))
	return Result{Epsilon: best, Estimate: best, Delta: delta, Order: order, Accountant: "rdp"}, nil
}

// Promise is Epsilon with the allowance for the noise sampler that a plan makes too (doc.go): what
// the statement of a run of the search says.
func (s *SearchSpec) Promise(ctx context.Context, relation Relation, delta float64) (Result, error) {
	r, err := s.Epsilon(ctx, relation, accountedDelta(delta))
	r.Delta = delta
	return r, err
}

// CalibrateSearch returns the smallest noise multiplier, rounded up to seven digits, at which
// a search over cells does not exceed targetEpsilon at delta, and the search with it. cell
// gives the costs of all cells at a noise multiplier.
func CalibrateSearch(ctx context.Context, s *SearchSpec, relation Relation, delta, targetEpsilon float64, cells func(sigma float64) [][]BudgetEvent) (float64, *SearchSpec, error) {
	if err := checkEpsilon("target epsilon", targetEpsilon); err != nil {
		return 0, nil, err
	}
	sigma, err := leastNoise(targetEpsilon, func(sigma float64) (float64, error) {
		r, err := s.WithCells(cells(sigma)...).Promise(ctx, relation, delta)
		if errors.Is(err, errNoFinite) {
			return math.Inf(1), nil
		}
		return r.Epsilon, err
	})
	if err != nil {
		return 0, nil, err
	}
	if sigma == 0 {
		return 0, nil, invalid("target epsilon", targetEpsilon, fmt.Sprintf(
			"no noise multiplier up to %g reaches it at delta = %g with %.3g runs in expectation; raise epsilon or delta, or take fewer runs, steps or evaluations",
			maxNoiseMultiplier, delta, s.Mean))
	}
	return sigma, s.WithCells(cells(sigma)...), nil
}
