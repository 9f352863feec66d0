package dpadam

import (
	"encoding/json"
	"fmt"
)

// budgetCost is what the plan takes of a budget at these charges: a run of a search takes the
// whole search, whatever it was charged.
func (p *Plan) budgetCost(c Charges) ([]BudgetEvent, error) {
	if p.spec.Search != nil {
		return []BudgetEvent{{Search: p.spec.Search}}, nil
	}
	return budgetEvents(p.Composition(c))
}

// ReserveSearch takes a search by random stopping off the budget, as one event, and returns it
// with the id that the plans of its runs must have. Its runs reserve nothing of their own, so
// that the file does not tell how many there were; and its price is never given back. It fails
// with ErrBudgetSpent, having written nothing, if the budget does not pay for it.
func (b *Budget) ReserveSearch(s *SearchSpec, name string) (*SearchSpec, error) {
	id, err := randomID()
	if err != nil {
		return nil, err
	}
	s = s.clone()
	s.ID = id
	events := []BudgetEvent{{Search: s}}
	if err := b.record.afford("", events); err != nil {
		return nil, err
	}
	hash, err := s.hash()
	if err != nil {
		return nil, err
	}
	return s, b.append(budgetLine{Type: lineReserve, Run: id, Name: name, Plan: hash, Charges: &Charges{}, Events: events})
}

func (s *SearchSpec) hash() (string, error) {
	data, err := json.Marshal(s)
	return hashLine(data), err
}

// permitSearch lets a run of a search charge its ledger if the search has been reserved.
func (r *BudgetRecord) permitSearch(l *Ledger) error {
	s := l.plan.spec.Search
	hash, err := s.hash()
	if err != nil {
		return err
	}
	if run := r.run(s.ID); run == nil || run.Plan != hash || run.search() == nil {
		return fmt.Errorf("%w: the search %.12s has reserved nothing in it", ErrBudgetFile, s.ID)
	}
	l.reserved = true
	return nil
}
