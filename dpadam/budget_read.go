package dpadam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// BudgetRun is what one run takes of a budget.
type BudgetRun struct {
	Run     string        // the run's id, as in its ledger
	Name    string        // of its output directory, for people
	Plan    string        // hash
	Charges Charges       // taken of the budget: reserved, or settled
	Events  []BudgetEvent // the same as mechanisms
	Settled bool          // the last word was the run's own ledger

	ledger  *Head // of the last settlement, if it had one
	settled Charges
}

// search is the search that the entry is, nil for a run.
func (r *BudgetRun) search() *SearchSpec {
	if len(r.Events) == 1 {
		return r.Events[0].Search
	}
	return nil
}

// maxBudgetRuns bounds the runs of a budget. The noise sampler's distance from its ideal, 2^-508
// for the largest run that there can be (doc.go), stays below 2^-494 for all of them: enough for every
// epsilon up to 240.
const maxBudgetRuns = 10_000

// BudgetRecord is what a budget file says, verified.
type BudgetRecord struct {
	terms BudgetTerms
	id    string
	runs  []*BudgetRun
	lines []string // hashes of intact lines
	tail  []tornFragment
	bytes int64
	// noNewline says that the last intact line lacks its newline, open that the last torn
	// one does.
	noNewline, open bool
	pricer          *budgetPricer
}

// Terms are those of the first line.
func (r *BudgetRecord) Terms() BudgetTerms { return r.terms }

// ID is the budget's random id.
func (r *BudgetRecord) ID() string { return r.id }

// Head is the budget's present head.
func (r *BudgetRecord) Head() Head {
	if len(r.lines) == 0 {
		return Head{}
	}
	return Head{Lines: int64(len(r.lines)), Hash: r.lines[len(r.lines)-1]}
}

// Runs are the runs that draw on it, in the order of their first reservation.
func (r *BudgetRecord) Runs() []BudgetRun {
	out := make([]BudgetRun, len(r.runs))
	for i, run := range r.runs {
		out[i] = *run
	}
	return out
}

// clone copies what applying a line changes.
func (r *BudgetRecord) clone() *BudgetRecord {
	c := *r
	c.lines = slices.Clone(r.lines)
	c.runs = make([]*BudgetRun, len(r.runs))
	for i, run := range r.runs {
		own := *run
		c.runs[i] = &own
	}
	return &c
}

func (r *BudgetRecord) run(id string) *BudgetRun {
	for _, run := range r.runs {
		if run.Run == id {
			return run
		}
	}
	return nil
}

// Share is the part of the budget that everything reserved takes; above 1 it is overdrawn,
// which only a ledger that was copied or damaged can do.
func (r *BudgetRecord) Share() (float64, error) { return r.pricer.share(r.events("")) }

// RunShare is the part that one run takes. For an accountant it is the run alone, so the
// parts do not add up to Share.
func (r *BudgetRecord) RunShare(run BudgetRun) (float64, error) { return r.pricer.share(run.Events) }

// events lists everything reserved but by the run named.
func (r *BudgetRecord) events(but string) []BudgetEvent {
	var out []BudgetEvent
	for _, run := range r.runs {
		if run.Run != but {
			out = append(out, run.Events...)
		}
	}
	return out
}

// ReadBudget reads and verifies a budget without locking it. Every fault wraps
// ErrBudgetFile.
func ReadBudget(path string) (*BudgetRecord, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, budgetFileError(path, err)
	}
	defer f.Close()
	// The head first: a line that is added in between is only more than it counts.
	head, err := readBudgetHead(path)
	if err != nil {
		return nil, err
	}
	return readBudget(f, path, head)
}

func readBudget(in io.Reader, path string, head Head) (*BudgetRecord, error) {
	r, err := ParseBudget(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if n := head.Lines; n < 1 || n > int64(len(r.lines)) || r.lines[n-1] != head.Hash {
		return nil, fmt.Errorf("%w: %s has %d lines and does not go on from what %s says (line %d, %.12s): lines are missing from it or the two do not belong together",
			ErrBudgetFile, path, len(r.lines), budgetHeadPath(path), head.Lines, head.Hash)
	}
	return r, nil
}

func budgetFileError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing (%w); make one with: ghostwriter budget create", ErrBudgetFile, path, os.ErrNotExist)
	}
	return fmt.Errorf("%w: %w", ErrBudgetFile, err)
}

// budgetHeadPath is where the number and hash of the lines are kept.
func budgetHeadPath(path string) string { return path + ".head" }

func readBudgetHead(path string) (Head, error) {
	var h Head
	data, err := os.ReadFile(budgetHeadPath(path))
	if err != nil {
		return h, fmt.Errorf("%w: %s cannot be read (%w); it lies beside the budget and says how many lines that has: move and copy both", ErrBudgetFile, budgetHeadPath(path), err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil || h.Lines < 1 {
		return h, fmt.Errorf("%w: %s is damaged", ErrBudgetFile, budgetHeadPath(path))
	}
	return h, nil
}

// ParseBudget reads and verifies the lines of a budget; ReadBudget also holds them to
// FILE.head.
func ParseBudget(in io.Reader) (*BudgetRecord, error) {
	r := &BudgetRecord{}
	var err error
	if r.bytes, err = eachLine(in, r.accept); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBudgetFile, err)
	}
	if r.id == "" {
		return nil, fmt.Errorf("%w: it has no complete first line; no run drew on it: remove it and begin anew", ErrBudgetFile)
	}
	return r, nil
}

// accept checks one line against everything before it.
func (r *BudgetRecord) accept(data []byte, terminated bool) error {
	l, torn, err := decodeBudgetLine(data)
	switch {
	case err != nil:
		return err
	case torn && r.id == "" && terminated:
		return errors.New("the first line is no budget line")
	case torn:
		if r.id != "" {
			r.tail = append(r.tail, tornFragment{len(data), hashLine(data)})
			r.open = !terminated
		}
		return nil
	}
	if err := r.link(&l); err != nil {
		return err
	}
	r.lines = append(r.lines, hashLine(data))
	r.noNewline, r.tail, r.open = !terminated, nil, false
	return nil
}

// link checks the chain and applies the line.
func (r *BudgetRecord) link(l *budgetLine) error {
	if (r.id == "") != (l.Type == lineBudget) {
		return fmt.Errorf("a %s line where it cannot be", l.Type)
	}
	if r.id == "" {
		return r.begin(l)
	}
	if l.Prev != r.lines[len(r.lines)-1] {
		return errors.New("the chain is broken: a line before it was removed, changed or moved")
	}
	if len(l.Torn) != len(r.tail) {
		return errors.New("the line before it is not a budget line")
	}
	for i, t := range l.Torn {
		if t != r.tail[i] {
			return errors.New("the line before it is not a budget line")
		}
	}
	if err := r.terms.check(l.Events); err != nil {
		return err
	}
	if l.Type == lineReserve {
		return r.reserve(l)
	}
	return r.settle(l)
}

func (r *BudgetRecord) begin(l *budgetLine) error {
	if l.Version != budgetVersion {
		return fmt.Errorf("format version %d, this version reads %d", l.Version, budgetVersion)
	}
	if err := l.Terms.validate(); err != nil {
		return err
	}
	r.terms, r.id = *l.Terms, l.ID
	var err error
	r.pricer, err = newBudgetPricer(r.terms)
	return err
}

func (r *BudgetRecord) reserve(l *budgetLine) error {
	run := r.run(l.Run)
	if run == nil {
		if len(r.runs) >= maxBudgetRuns {
			return fmt.Errorf("more than %d runs", maxBudgetRuns)
		}
		run = &BudgetRun{Run: l.Run}
		r.runs = append(r.runs, run)
	} else if l.Charges.Steps < run.Charges.Steps || l.Charges.Evaluations < run.Charges.Evaluations || l.Plan != run.Plan {
		return fmt.Errorf("run %.12s reserves less than it had, or under another plan", l.Run)
	}
	run.Name, run.Plan, run.Charges, run.Events, run.Settled = l.Name, l.Plan, *l.Charges, l.Events, false
	return nil
}

func (r *BudgetRecord) settle(l *budgetLine) error {
	run := r.run(l.Run)
	if run != nil && run.search() != nil {
		return fmt.Errorf("search %.12s is settled, and it has one price", l.Run)
	}
	if run == nil {
		return fmt.Errorf("run %.12s is settled and had reserved nothing", l.Run)
	}
	if l.Charges.Steps < run.settled.Steps || l.Charges.Evaluations < run.settled.Evaluations {
		return fmt.Errorf("run %.12s is settled at less than before", l.Run)
	}
	run.Charges, run.Events, run.Settled, run.settled, run.ledger = *l.Charges, l.Events, true, *l.Charges, l.Ledger
	return nil
}

// PlannedShare is the part of the budget that everything reserved and these plans would take
// together; above 1 they do not fit.
func (r *BudgetRecord) PlannedShare(plans ...*Plan) (float64, error) {
	events := r.events("")
	for _, p := range plans {
		if err := r.check(p); err != nil {
			return 0, err
		}
		own, err := p.budgetCost(p.Planned())
		if err != nil {
			return 0, err
		}
		events = append(events, own...)
	}
	return r.pricer.share(events)
}
