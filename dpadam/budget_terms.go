package dpadam

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
)

// BudgetTerms are what a budget shared by several runs promises about all of them together.
// They are fixed when it is created.
type BudgetTerms struct {
	Epsilon    float64  `json:"epsilon"`
	Delta      float64  `json:"delta"`
	Relation   Relation `json:"relation"`
	Unit       string   `json:"unit"`
	Mode       string   `json:"mode"`                 // BudgetFilter or BudgetFixed
	Order      float64  `json:"order,omitempty"`      // of the filter
	Accountant string   `json:"accountant,omitempty"` // of fixed settings
}

// The modes of a budget. They differ in what later runs may depend on.
const (
	// BudgetFilter: settings of a run, and whether it happens, may depend on everything that
	// earlier runs released. The budget is a Renyi filter at one order alpha that was fixed
	// before the first run (Feldman, Zrnic 2021, "Individual Privacy Accounting via a Renyi
	// Filter", section 4; Lecuyer 2021): as long as
	//
	//	sum_i D_alpha(M_i) <= r,   r = epsilon - log(1 - 1/alpha) + log(delta*alpha)/(alpha-1),
	//
	// over everything that was run, the whole is (alpha, r)-RDP and so (epsilon, delta)-DP
	// (Canonne, Kamath, Steinke 2020, Proposition 12). Runs may overlap in time: each of their
	// steps is one mechanism with fresh noise, and a filter by RDP of one order holds for
	// concurrent composition too (Haney et al. 2023, "Concurrent Composition for Interactive
	// Differential Privacy with Adaptive Privacy-Loss Parameters"). Neither the best order
	// chosen afterwards nor a composition of privacy loss distributions has such a proof.
	BudgetFilter = "renyi-filter"
	// BudgetFixed: the user declares that the settings of all runs were chosen before the
	// first one, or from public data; any accountant may price them.
	BudgetFixed = "settings-fixed-in-advance"
)

// NewBudgetTerms fills in the defaults of t and checks it: add-remove, one record, the
// filter, and of all orders the one that maximises r(alpha)/alpha, the budget that it gives
// to Gaussian mechanisms, whose divergence is proportional to alpha.
func NewBudgetTerms(t BudgetTerms) (BudgetTerms, error) {
	if t.Unit == "" {
		t.Unit = recordUnit
	}
	if t.Mode == "" {
		t.Mode = BudgetFilter
	}
	var err error
	if t.Relation, err = ParseRelation(string(t.Relation)); err != nil {
		return t, err
	}
	if t.Mode == BudgetFixed && t.Accountant == "" {
		t.Accountant = DefaultAccountant
	}
	if t.Mode == BudgetFilter && t.Order == 0 {
		if err := t.validateGuarantee(); err != nil {
			return t, err
		}
		best := 0.0
		for _, alpha := range rdpOrders {
			at := t
			at.Order = alpha
			if rho := at.limit() / ((alpha - 1) * alpha); rho > best {
				best, t.Order = rho, alpha
			}
		}
	}
	return t, t.validate()
}

// limit is (alpha-1)*r, what the sum of log A_alpha may reach, rounded down.
func (t *BudgetTerms) limit() float64 {
	a := t.Order
	gain, cost := (a-1)*(t.Epsilon-math.Log1p(-1/a)), math.Log(accountedDelta(t.Delta)*a)
	return gain + cost - 1e-13*(math.Abs(gain)+math.Abs(cost))
}

// validateGuarantee checks epsilon and delta.
func (t *BudgetTerms) validateGuarantee() error {
	if err := checkEpsilon("epsilon of the budget", t.Epsilon); err != nil {
		return err
	}
	if !(t.Delta >= minDelta && t.Delta < 1) {
		return invalid("delta of the budget", t.Delta, fmt.Sprintf("must be in [%g, 1)", minDelta))
	}
	return nil
}

func (t *BudgetTerms) validate() error {
	if err := t.validateGuarantee(); err != nil {
		return err
	}
	if t.Relation != AddRemove && t.Relation != ReplaceOne {
		return invalid("relation", fmt.Sprintf("%q", string(t.Relation)), "must be add-remove or replace-one")
	}
	if t.Unit == "" {
		return invalid("unit", `""`, "must name the unit of privacy")
	}
	switch t.Mode {
	case BudgetFilter:
		if t.Accountant != "" {
			return invalid("accountant", fmt.Sprintf("%q", t.Accountant), "belongs to settings fixed in advance; a filter has an order")
		}
		if !(t.Order > 1 && t.Order <= 1<<20) {
			return invalid("order", t.Order, "must be in (1, 1048576]; no order may give a budget at so small an epsilon and delta")
		}
		if !(t.limit() > 0) {
			return invalid("order", t.Order, fmt.Sprintf("gives no budget at epsilon = %g and delta = %g; leave it out", t.Epsilon, t.Delta))
		}
	case BudgetFixed:
		if t.Order != 0 {
			return invalid("order", t.Order, "belongs to the filter; the accountant chooses its own")
		}
		if _, err := NewAccountant(t.Accountant); err != nil || t.Accountant == "" {
			return invalid("accountant", fmt.Sprintf("%q", t.Accountant), "unknown")
		}
	default:
		return invalid("mode of the budget", fmt.Sprintf("%q", t.Mode), "must be "+BudgetFilter+" or "+BudgetFixed)
	}
	return nil
}

// BudgetEvent is a Poisson-subsampled Gaussian mechanism used Count times, or one whole search
// by random stopping, of which only a filter knows the price.
type BudgetEvent struct {
	SampleRate      float64     `json:"sample_rate,omitempty"`
	NoiseMultiplier float64     `json:"noise_multiplier,omitempty"`
	Count           int64       `json:"count,omitempty"`
	Search          *SearchSpec `json:"search,omitempty"`
}

// budgetEvents writes a composition down. A mechanism that a budget cannot hold is refused.
func budgetEvents(c Composition) ([]BudgetEvent, error) {
	var out []BudgetEvent
	for _, e := range c.Events {
		m, ok := e.Mechanism.(PoissonSubsampledGaussian)
		if !ok {
			return nil, fmt.Errorf("%w: a budget and %T", ErrUnsupported, e.Mechanism)
		}
		if e.Count > 0 {
			out = append(out, BudgetEvent{SampleRate: m.SampleRate, NoiseMultiplier: m.NoiseMultiplier, Count: e.Count})
		}
	}
	return out, nil
}

// composition is the other way round; searches are left out.
func (t *BudgetTerms) composition(events []BudgetEvent) Composition {
	c := Composition{Relation: t.Relation}
	for _, e := range events {
		if e.Search != nil {
			continue
		}
		c.Events = append(c.Events, Event{PoissonSubsampledGaussian{e.SampleRate, e.NoiseMultiplier}, e.Count})
	}
	return c
}

// check refuses events that the budget cannot price.
func (t *BudgetTerms) check(events []BudgetEvent) error {
	for _, e := range events {
		switch {
		case e.Search == nil:
		case e.SampleRate != 0 || e.NoiseMultiplier != 0 || e.Count != 0:
			return invalid("event", "search", "has a rate, a noise multiplier or a count too")
		case t.Mode != BudgetFilter:
			return fmt.Errorf("%w: a search by random stopping draws on the filter only (%s), not on %s", ErrUnsupported, BudgetFilter, t.Mode)
		default:
			if err := e.Search.validate(t.Relation); err != nil {
				return err
			}
		}
	}
	return t.composition(events).Validate()
}

// A budgetPricer says how much of a budget events take. It keeps what it has computed of
// every mechanism.
type budgetPricer struct {
	terms  BudgetTerms
	acc    Accountant
	moment map[rdpKey]float64
	search map[string]float64 // by the search's canonical form
}

func newBudgetPricer(t BudgetTerms) (*budgetPricer, error) {
	p := &budgetPricer{terms: t, moment: map[rdpKey]float64{}, search: map[string]float64{}}
	var err error
	if t.Mode == BudgetFixed {
		p.acc, err = NewAccountant(t.Accountant)
	}
	return p, err
}

// share is the part of the budget that the events take together; what exceeds 1 does not
// fit. For the filter it adds up over events, for an accountant it is epsilon over the
// budget's, which does not.
func (p *budgetPricer) share(events []BudgetEvent) (float64, error) {
	if err := p.terms.check(events); err != nil {
		return 0, err
	}
	c := p.terms.composition(events)
	if p.acc != nil {
		epsilon, err := upperOf(p.acc, c, accountedDelta(p.terms.Delta))
		return epsilon / p.terms.Epsilon, err
	}
	sum := 0.0
	for _, e := range events {
		if e.Search != nil {
			m, err := p.searchMoment(e.Search)
			if err != nil {
				return 0, err
			}
			sum += m
			continue
		}
		if e.SampleRate == 0 || e.Count == 0 {
			continue
		}
		key := rdpKey{e.SampleRate, e.NoiseMultiplier, p.terms.Relation}
		m, ok := p.moment[key]
		if !ok {
			m = logMoment(key, p.terms.Order)
			p.moment[key] = m
		}
		sum += float64(e.Count) * m
	}
	return sum * (1 + 1e-12) / p.terms.limit(), nil
}

// searchMoment is log A_alpha of a whole search at the budget's order.
func (p *budgetPricer) searchMoment(s *SearchSpec) (float64, error) {
	key, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	if m, ok := p.search[string(key)]; ok {
		return m, nil
	}
	c, err := s.curve(context.Background(), p.terms.Relation)
	if err != nil {
		return 0, err
	}
	alpha := p.terms.Order
	m := (alpha - 1) * s.tuned(c, alpha, s.divergence(p.terms.Relation, alpha))
	p.search[string(key)] = m
	return m, nil
}

// ChooseBudgetOrder returns the order of a filter with these terms at which the smallest
// noise multiplier suffices for steps steps at sampling rate q, as far as that can be said
// before the first run. Without it NewBudgetTerms chooses for unsampled Gaussian mechanisms, whose
// order is a little too large for small sampling rates: up to a quarter more noise.
func ChooseBudgetOrder(ctx context.Context, t BudgetTerms, q float64, steps int64) (float64, error) {
	t, err := NewBudgetTerms(t)
	if err != nil {
		return 0, err
	}
	if _, err := Compose(t.Relation, Phase{q, 1, steps}); err != nil {
		return 0, err
	}
	least, order := math.Inf(1), t.Order
	for _, alpha := range rdpOrders {
		if alpha > 2*t.Order+2 {
			break // a larger order than the Gaussian's is never the best
		}
		at := t
		at.Order = alpha
		limit := at.limit()
		sum := func(sigma float64) (float64, error) {
			return float64(steps) * logMoment(rdpKey{q, sigma, t.Relation}, alpha), ctx.Err()
		}
		if limit <= 0 {
			continue
		}
		if !math.IsInf(least, 1) { // cheaper than a bisection
			if s, err := sum(least * 0.999); err != nil {
				return 0, err
			} else if s > limit {
				continue
			}
		}
		sigma, err := leastNoise(limit, sum)
		if err != nil {
			return 0, err
		}
		if sigma > 0 && sigma < least {
			least, order = sigma, alpha
		}
	}
	return order, nil
}
