package dpadam

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// searchingPlan is the plan of a run of a search that draws on the budget at path.
func searchingPlan(t testing.TB, path string, s *SearchSpec) (*Plan, error) {
	t.Helper()
	c := evaluatedConfig()
	c.NoiseMultiplier, c.Budget, c.Search = 3, mustReadBudget(t, path).Ref(path), s
	return NewPlan(c)
}

// A search draws on a budget as one event whose price is the theorem's at the budget's order;
// its runs reserve nothing, and charge nothing until it has.
func TestSearchOnABudget(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 6, Delta: 1e-4})
	c := evaluatedConfig()
	cell, _, _, err := CellOf(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := mustSearch(t, "", 1, 5, cell)
	b, err := OpenBudget(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	unreserved := *s
	unreserved.ID = "invented"
	p, err := searchingPlan(t, path, &unreserved)
	if err != nil {
		t.Fatal(err)
	}
	l := mustCreate(t, ledgerPath(t), p)
	if err := b.Reserve(l, "run"); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("a run of a search that was not reserved: %v", err)
	}
	if _, err := l.Charge(t.Context(), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("it charges: %v", err)
	}
	reserved, err := b.ReserveSearch(s, "tuned")
	if err != nil {
		t.Fatal(err)
	}
	lines := b.Record().Head().Lines
	for range 3 {
		if p, err = searchingPlan(t, path, reserved); err != nil {
			t.Fatal(err)
		}
		l = mustCreate(t, ledgerPath(t), p)
		if err := b.Reserve(l, "run"); err != nil {
			t.Fatal(err)
		}
		mustCharge(t, l, 1)
	}
	if n := b.Record().Head().Lines; n != lines {
		t.Errorf("the budget tells of the search's runs: %d lines, %d before", n, lines)
	}
	b.Close()
	r := mustReadBudget(t, path)
	// The price, computed here in another way: at the one order, the least over lambda^.
	alpha := r.terms.Order
	curve, err := s.curve(t.Context(), AddRemove)
	if err != nil {
		t.Fatal(err)
	}
	constant := math.Inf(1)
	for k, d := range curve {
		constant = math.Min(constant, 2*((1-1/rdpOrders[k])*d+math.Log(1/s.Gamma)/rdpOrders[k]))
	}
	own := (20*logMoment(rdpKey{0.1, 3, AddRemove}, alpha) + 4*logMoment(rdpKey{1, 5, AddRemove}, alpha)) / (alpha - 1)
	want := (own + constant + math.Log(5)/(alpha-1)) * (alpha - 1) / r.terms.limit()
	if share, err := r.Share(); err != nil || math.Abs(share/want-1) > 1e-9 {
		t.Errorf("share %v, want %v (%v)", share, want, err)
	}
	l.Close()
	if err := settleRun(t, path, l.path); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("a search is settled: %v", err)
	}
	st, err := NewBudgetStatement(r)
	if err != nil || len(st.Runs) != 1 || st.Runs[0].Search == nil || !strings.Contains(st.Text(), "random stopping over 1 cells") {
		t.Errorf("%+v, %v", st, err)
	}
	run := statementOf(t, l.path)
	if run.Search == nil || run.Budget == nil || run.Budget.Epsilon != 6 {
		t.Errorf("%+v", run)
	}
	// More searches until nothing is left.
	for i := 0; ; i++ {
		b, err := OpenBudget(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.ReserveSearch(s, "again")
		b.Close()
		if errors.Is(err, ErrBudgetSpent) {
			break
		}
		if err != nil || i > 100 {
			t.Fatal(err)
		}
	}
	if share, _ := mustReadBudget(t, path).Share(); share > 1 {
		t.Errorf("share %v", share)
	}
}

// A line that could not be read back is not written.
func TestLongLinesAreRefused(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 100, Delta: 1e-4})
	var cells [][]BudgetEvent
	for i := range 20_000 {
		cells = append(cells, []BudgetEvent{{SampleRate: 0.01, NoiseMultiplier: 1000 + float64(i)/7, Count: 1}})
	}
	s := mustSearch(t, "", 1, 5, []BudgetEvent{{SampleRate: 0.01, NoiseMultiplier: 1000, Count: 1}}).clone()
	s.Cells, s.Grid = cells, len(cells)
	if _, err := encodeBudgetLine(budgetLine{Type: lineReserve, Events: []BudgetEvent{{Search: s}}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a reservation of more than a megabyte: %v", err)
	}
	if r := mustReadBudget(t, path); len(r.Runs()) != 0 {
		t.Errorf("%+v", r.Runs())
	}
	if _, err := encodeLine(ledgerLine{Type: lineLedger, Plan: []byte(`"` + strings.Repeat("x", maxLine) + `"`)}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a plan of more than a megabyte: %v", err)
	}
}

// Only a filter knows what a search costs, and its plan must name the reservation.
func TestSearchNeedsAFilter(t *testing.T) {
	cell, _, _, err := CellOf(evaluatedConfig(), 3)
	if err != nil {
		t.Fatal(err)
	}
	s := mustSearch(t, "", 1, 5, cell)
	fixed := mustBudget(t, BudgetTerms{Epsilon: 6, Delta: 1e-4, Mode: BudgetFixed, Accountant: "rdp"})
	b, err := OpenBudget(t.Context(), fixed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.ReserveSearch(s, "tuned"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("fixed settings: %v", err)
	}
	filter := mustBudget(t, BudgetTerms{Epsilon: 6, Delta: 1e-4})
	if _, err := searchingPlan(t, filter, s); !errors.Is(err, ErrInvalid) {
		t.Errorf("a plan without the reservation's id: %v", err)
	}
	named := *s
	named.ID = "x"
	if _, err := searchingPlan(t, fixed, &named); !errors.Is(err, ErrInvalid) {
		t.Errorf("a plan of fixed settings: %v", err)
	}
}
