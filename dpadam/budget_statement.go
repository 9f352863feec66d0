package dpadam

import (
	"encoding/json"
	"fmt"
	"strings"
)

// StatementBudget is what a run's statement says about the budget it draws on.
type StatementBudget struct {
	BudgetRef
	Meaning string `json:"meaning"`
}

// budgetOf is nil for a run that draws on none.
func budgetOf(s *Spec) *StatementBudget {
	if s.Budget == nil {
		return nil
	}
	return &StatementBudget{BudgetRef: *s.Budget, Meaning: s.Budget.meaning()}
}

// meaning is the mode in a sentence.
func (t *BudgetTerms) meaning() string {
	if t.Mode == BudgetFixed {
		return fmt.Sprintf("The user declares that which runs there are, and their settings, was fixed before the first of them or follows from public data alone; "+
			"all of them together are priced by the accountant %s.", t.Accountant)
	}
	return fmt.Sprintf("Settings of a run may depend on what earlier runs released: the budget is a Renyi filter at order %g, which was fixed before the first run.", t.Order)
}

func (b *StatementBudget) row() string {
	share := ""
	if b.Share != 0 {
		share = fmt.Sprintf(", of which this run was calibrated to take %s", percent(b.Share))
	}
	return fmt.Sprintf("%s (%.12s): epsilon = %g at delta = %g for all its runs together, %s%s", b.Name, b.ID, b.Epsilon, b.Delta, b.Mode, share)
}

// otherRunsCovered and otherRunsNotCovered are the sentences about other runs on the data.
func (st *Statement) otherRunsCovered() []string {
	if st.Budget == nil {
		return nil
	}
	return []string{fmt.Sprintf("Not by the epsilon above but by that of the budget %s, epsilon = %g at delta = %g: all runs together that draw on it, "+
		"a search for hyperparameters among them. %s Which runs they are is written in the budget file.", st.Budget.Name, st.Budget.Epsilon, st.Budget.Delta, st.Budget.Meaning)}
}

func (st *Statement) otherRunsNotCovered() []string {
	switch {
	case st.Search != nil && st.Budget == nil:
		return []string{"Other runs on the same data beside the search that this run was chosen in: what they cost adds to it."}
	case st.Budget == nil:
		return []string{"Other runs on the same data, such as a search for hyperparameters: their ledgers add to this one."}
	}
	return []string{fmt.Sprintf("Other runs on the same data that do not draw on the budget %s, such as a search for hyperparameters outside it: their ledgers add to it.", st.Budget.Name)}
}

// BudgetStatement is what a budget file proves about all its runs together, for a machine
// (its JSON) and for a person (Text).
type BudgetStatement struct {
	Version int    `json:"version"`
	Budget  string `json:"budget"`
	BudgetTerms
	// Reserved is the part of the budget that is taken, 1 for all of it. Overdrawn says that it
	// exceeds 1: the promise is broken.
	Reserved  float64 `json:"reserved"`
	Overdrawn bool    `json:"overdrawn"`
	// Spent is the accountant's epsilon of everything reserved, with settings fixed in
	// advance. A filter has none: it promises the whole epsilon, whatever is left.
	Spent       *float64             `json:"epsilon_reserved,omitempty"`
	Runs        []BudgetStatementRun `json:"runs"`
	Head        Head                 `json:"head"`
	Assumptions []string             `json:"assumptions"`
	Covered     []string             `json:"covered"`
	NotCovered  []string             `json:"not_covered"`
}

// BudgetStatementRun is one run of it.
type BudgetStatementRun struct {
	Run  string `json:"run"`
	Name string `json:"name"`
	Charges
	Share   float64          `json:"share"`
	Settled bool             `json:"settled"` // by its own ledger; otherwise it is charged in full
	Search  *StatementSearch `json:"search,omitempty"`
}

// NewBudgetStatement says what the budget promises and what has been taken of it.
func NewBudgetStatement(r *BudgetRecord) (*BudgetStatement, error) {
	st := &BudgetStatement{Version: 1, Budget: r.id, BudgetTerms: r.terms, Head: r.Head(), Runs: []BudgetStatementRun{}}
	var err error
	if st.Reserved, err = r.Share(); err != nil {
		return nil, err
	}
	st.Overdrawn = st.Reserved > 1
	if r.terms.Mode == BudgetFixed {
		spent := st.Reserved * r.terms.Epsilon
		st.Spent = &spent
	}
	for _, run := range r.runs {
		share, err := r.RunShare(*run)
		if err != nil {
			return nil, err
		}
		st.Runs = append(st.Runs, BudgetStatementRun{Run: run.Run, Name: run.Name, Charges: run.Charges, Share: share, Settled: run.Settled, Search: searchOf(&Spec{Search: run.search()})})
	}
	st.Assumptions = []string{r.terms.meaning(), "What every run's own statement assumes."}
	st.Covered = []string{
		"Everything that the runs listed here released, together: weights, checkpoints, noised evaluations, those of runs that failed or were thrown away included.",
		"Choosing among them, as in a search for hyperparameters.",
	}
	st.NotCovered = []string{
		"Runs on the same data that do not draw on this budget.",
		"Debug output of any run, and looking at private data in other ways.",
		"Steps taken by copies of a run's directory, until all copies are settled together.",
		"Reservations removed by putting back an older copy of the budget file and its head: keep both where runs cannot be undone.",
	}
	if r.terms.Mode == BudgetFilter {
		st.NotCovered = append(st.NotCovered, "A smaller epsilon than the budget's, because less was taken: the filter promises the epsilon that was fixed, not what was used.")
	}
	return st, nil
}

// JSON returns the statement as one indented JSON object with a final newline.
func (st *BudgetStatement) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// Text is the statement in words.
func (st *BudgetStatement) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("PRIVACY BUDGET")
	line("")
	if st.Overdrawn {
		line("OVERDRAWN: %s of the budget is taken. The promise of epsilon = %g does not hold.", percent(st.Reserved), st.Epsilon)
	} else {
		line("All runs listed here together are differentially private with epsilon = %g at delta = %g.", st.Epsilon, st.Delta)
		line("%s", wrap(fmt.Sprintf("The unit of privacy is %s, the neighbouring relation %s.", st.Unit, st.Relation)))
	}
	line("")
	st.table(line)
	for _, part := range []struct {
		title string
		items []string
	}{{"Assumed", st.Assumptions}, {"Covered", st.Covered}, {"Not covered", st.NotCovered}} {
		line("")
		line("%s:", part.title)
		for _, it := range part.items {
			line("- %s", strings.ReplaceAll(wrap(it), "\n", "\n  "))
		}
	}
	return b.String()
}

func (st *BudgetStatement) table(line func(string, ...any)) {
	line("%-16s%s", "Budget:", st.Budget)
	if st.Mode == BudgetFixed {
		line("%-16s%s, accountant %s", "Mode:", st.Mode, st.Accountant)
	} else {
		line("%-16s%s, order %g", "Mode:", st.Mode, st.Order)
	}
	for _, l := range st.Lines() {
		line("%s", l)
	}
}

// Lines say what is taken and by which run, a line each.
func (st *BudgetStatement) Lines() []string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if st.Spent != nil {
		line("%-16sepsilon = %s of %g", "Taken:", upward(*st.Spent), st.Epsilon)
	} else {
		line("%-16s%s, left %s", "Taken:", percent(st.Reserved), percentLeft(st.Reserved))
	}
	line("%-16s%d", "Runs:", len(st.Runs))
	for _, r := range st.Runs {
		if r.Search != nil {
			line("  %-12.12s %-20s %8s  %s", r.Run, r.Name, percent(r.Share), r.Search.row())
			continue
		}
		state := "reserved in full"
		if r.Settled {
			state = "settled by its ledger"
		}
		line("  %-12.12s %-20s %8s  %d steps, %d evaluations, %s", r.Run, r.Name, percent(r.Share), r.Steps, r.Evaluations, state)
	}
	return out
}

// percentLeft prints what is left, rounded down.
func percentLeft(share float64) string {
	left := int64((1 - share) * 1e4)
	return fmt.Sprintf("%d.%02d %%", max(0, left)/100, max(0, left)%100)
}
