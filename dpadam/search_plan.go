package dpadam

import (
	"context"
	"fmt"
)

// searchAccountant is the only accountant with a proof for random stopping.
const searchAccountant = "rdp"

// validateSearch holds the plan of one run of a search to the search.
func (s *Spec) validateSearch() error {
	if s.Search == nil {
		return nil
	}
	if s.Lattice == nil {
		return invalid("search", s.Search.Distribution, "random stopping needs private runs")
	}
	if s.Accountant != searchAccountant {
		return invalid("accountant", s.Accountant, "must be rdp for a search by random stopping: it is proven for Renyi divergences alone")
	}
	if s.Budget != nil && (s.Budget.Mode != BudgetFilter || s.Budget.Share != 0) {
		return invalid("budget", s.Budget.Name, "must be a filter for a search by random stopping, with a target epsilon or a noise multiplier and no share")
	}
	if (s.Budget != nil) != (s.Search.ID != "") {
		return invalid("id of the search", s.Search.ID, "must be there if and only if the search draws on a budget")
	}
	if err := s.Search.validate(s.Relation); err != nil {
		return err
	}
	own, err := budgetEvents(s.composition(Charges{s.Steps, s.Evaluation.count()}))
	if err != nil {
		return err
	}
	if !s.Search.has(own) {
		return invalid("cell of the search", fmt.Sprint(own), "the run is none of the grid's cells")
	}
	return nil
}

// CellOf returns what a run with this configuration costs at noise multiplier sigma, as a cell
// of a search, with the run's relation and delta. What c says of the noise, of a target and of
// a budget is left aside.
func CellOf(c Config, sigma float64) (cell []BudgetEvent, relation Relation, delta float64, err error) {
	c.TargetEpsilon, c.NoiseMultiplier, c.BudgetShare, c.Budget, c.Search = 0, sigma, 0, nil, nil
	s, err := resolve(c)
	if err != nil {
		return nil, "", 0, err
	}
	cell, err = budgetEvents(s.composition(Charges{s.Steps, s.Evaluation.count()}))
	return cell, s.Relation, s.Delta, err
}

// priceSearch prices the whole search.
func (p *Plan) priceSearch() (Result, error) {
	return p.spec.Search.Promise(context.Background(), p.spec.Relation, p.spec.Delta)
}

// searchEpsilon prices a run of a search: the whole search, whatever this run was charged, and
// more if it was charged more than it planned.
func (p *Plan) searchEpsilon(c Charges) (Result, error) {
	planned := p.Planned()
	if c.Steps <= planned.Steps && c.Evaluations <= planned.Evaluations {
		return p.search()
	}
	more, err := budgetEvents(p.Composition(Charges{max(c.Steps, planned.Steps), max(c.Evaluations, planned.Evaluations)}))
	if err != nil {
		return Result{}, err
	}
	s := p.spec.Search.clone()
	s.Cells, s.Grid = append(s.Cells, more), s.Grid+1
	return s.Promise(context.Background(), p.spec.Relation, p.spec.Delta)
}
