package dpadam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// Budget is a budget file opened for writing: locked, read and verified. Hold it only as
// long as it takes to write; other processes wait for it meanwhile.
type Budget struct {
	record *BudgetRecord
	file   *os.File
	path   string
	hook   func(point string)
	failed error
}

// Fault points of a budget: before and after a line is written, synced and counted in
// FILE.head.
const (
	PointBudgetBeforeWrite = "budget.before-write"
	PointBudgetAfterWrite  = "budget.after-write"
	PointBudgetAfterSync   = "budget.after-sync"
	PointBudgetAfterHead   = "budget.after-head"
)

// budgetWait is how long OpenBudget waits for another process that writes.
const budgetWait = 30 * time.Second

// CreateBudget begins a budget at path. It fails if path exists.
func CreateBudget(path string, t BudgetTerms) error {
	t, err := NewBudgetTerms(t)
	if err != nil {
		return err
	}
	id, err := randomID()
	if err != nil {
		return err
	}
	line, err := encodeBudgetLine(budgetLine{Type: lineBudget, Version: budgetVersion, ID: id, Terms: &t})
	if err != nil {
		return err
	}
	for _, p := range []string{path, budgetHeadPath(path)} {
		if _, err := os.Lstat(p); err == nil {
			return fmt.Errorf("%w: %s exists; choose another name", ErrBudgetFile, p)
		}
	}
	// Under a temporary name first, so that the budget appears whole or not at all.
	f, err := os.CreateTemp(filepath.Dir(path), ".budget-*")
	if err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil {
		return fmt.Errorf("%w: %s (the file system must support hard links): %w", ErrBudgetFile, path, err)
	}
	if err := writeBudgetHead(path, Head{1, hashLine(line)}); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

func writeBudgetHead(path string, h Head) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return durable.WriteBytes(budgetHeadPath(path), 0o644, append(data, '\n'))
}

// OpenBudget locks, reads and verifies the budget at path. It waits while another process
// writes, at most half a minute. hook is called at every fault point.
func OpenBudget(ctx context.Context, path string, hook func(point string)) (*Budget, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, budgetFileError(path, err)
	}
	b := &Budget{file: f, path: path, hook: hook}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return b, nil
}

func (b *Budget) open(ctx context.Context) error {
	begun := time.Now()
	for {
		err := lockFile(b.file, b.path)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrLocked) || time.Since(begun) > budgetWait {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	head, err := readBudgetHead(b.path)
	if err != nil {
		return err
	}
	b.record, err = readBudget(b.file, b.path, head)
	return err
}

// Record is what the budget says now.
func (b *Budget) Record() *BudgetRecord { return b.record }

// Close releases the budget and its lock.
func (b *Budget) Close() error {
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	b.file = nil
	return err
}

// BudgetRef says in a plan which budget the run draws on.
type BudgetRef struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`            // of the file, without its folder
	Share float64 `json:"share,omitempty"` // of the whole budget, where the noise was calibrated for one
	BudgetTerms
}

// Ref is what the plan of a run that draws on the budget holds.
func (r *BudgetRecord) Ref(path string) *BudgetRef {
	return &BudgetRef{ID: r.id, Name: filepath.Base(path), BudgetTerms: r.terms}
}

// check holds a plan to the budget it names.
func (r *BudgetRecord) check(p *Plan) error {
	ref := p.spec.Budget
	switch {
	case ref == nil:
		return fmt.Errorf("%w: the plan draws on no budget", ErrMisuse)
	case ref.ID != r.id || ref.BudgetTerms != r.terms:
		return fmt.Errorf("%w: the run draws on the budget %.12s (%s), this is %.12s", ErrBudgetFile, ref.ID, ref.Name, r.id)
	}
	return nil
}

// Afford says, without writing anything, whether the budget pays for the whole plan beside
// everything reserved; ErrBudgetSpent if it does not.
func (r *BudgetRecord) Afford(p *Plan) error {
	if err := r.check(p); err != nil {
		return err
	}
	events, err := p.budgetCost(p.Planned())
	if err != nil {
		return err
	}
	return r.afford("", events)
}

func (r *BudgetRecord) afford(but string, events []BudgetEvent) error {
	others := r.events(but)
	share, err := r.pricer.share(append(slices.Clone(others), events...))
	if err != nil {
		return err
	}
	if share <= 1 {
		return nil
	}
	before, err := r.pricer.share(others)
	if err != nil {
		return err
	}
	alone, err := r.pricer.share(events)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: the budget (epsilon = %g at delta = %g for all runs) is reserved to %s by %d runs, and this run, which alone takes %s of it, does not fit; settle runs that have ended early, or give the run more noise or fewer steps",
		ErrBudgetSpent, r.terms.Epsilon, r.terms.Delta, percent(before), len(r.runs), percent(alone))
}

// percent prints a share, rounded up.
func percent(share float64) string {
	if math.IsInf(share, 1) || share > 1e4 {
		return "more than 1000000 %"
	}
	return fmt.Sprintf("%.2f %%", math.Ceil(share*1e4)/100)
}

// Reserve takes the whole plan of the ledger's run off the budget, and then allows the
// ledger to charge. Nothing is written if the run has it reserved already, as after a crash.
// It fails with ErrBudgetSpent, having written nothing, if the budget does not pay for
// it. name is the run's name for people.
func (b *Budget) Reserve(l *Ledger, name string) error {
	p := l.plan
	if err := b.record.check(p); err != nil {
		return err
	}
	if p.spec.Search != nil {
		return b.record.permitSearch(l)
	}
	total := p.Planned()
	if c := l.Charges(); c.Steps > total.Steps || c.Evaluations > total.Evaluations { // torn lines
		total = Charges{max(total.Steps, c.Steps), max(total.Evaluations, c.Evaluations)}
	}
	if run := b.record.run(l.run); run != nil {
		if run.Plan != p.Hash() {
			return fmt.Errorf("%w: run %.12s has reserved for another plan", ErrBudgetFile, l.run)
		}
		if run.Charges.Steps >= total.Steps && run.Charges.Evaluations >= total.Evaluations {
			l.reserved = true
			return nil
		}
		total = Charges{max(total.Steps, run.Charges.Steps), max(total.Evaluations, run.Charges.Evaluations)} // never less than it has
	}
	events, err := p.budgetCost(total)
	if err != nil {
		return err
	}
	if err := b.record.afford(l.run, events); err != nil {
		return err
	}
	if err := b.append(budgetLine{Type: lineReserve, Run: l.run, Name: name, Plan: p.Hash(), Charges: &total, Events: events}); err != nil {
		return err
	}
	l.reserved = true
	return nil
}

// Settle replaces what a run reserved by what its own ledger charged, which must be intact
// and belong to a run that draws on this budget. With settings fixed in advance nothing is
// given back: what a run did not use must not decide which other runs there are. Several records are the branches of a
// run that was copied; all of them count. The ledger must not be in use: HoldLedger.
// Nothing is written if that is what the budget says already.
func (b *Budget) Settle(records ...*LedgerRecord) error {
	ledger, err := MergeLedgers(records...)
	if err != nil {
		return err
	}
	if err := b.record.check(ledger.plan); err != nil {
		return err
	}
	if ledger.plan.spec.Search != nil {
		return fmt.Errorf("%w: run %.12s is the chosen one of a search by random stopping, whose price is the same however many steps it took", ErrBudgetFile, ledger.run)
	}
	run := b.record.run(ledger.run)
	if run == nil {
		return fmt.Errorf("%w: run %.12s draws on this budget and has reserved nothing: it has charged nothing, or lines are missing from the budget", ErrBudgetFile, ledger.run)
	}
	total := ledger.Charges()
	if run.ledger != nil && !slices.ContainsFunc(records, func(r *LedgerRecord) bool { return r.Extends(*run.ledger) }) ||
		total.Steps < run.settled.Steps || total.Evaluations < run.settled.Evaluations {
		return fmt.Errorf("%w: run %.12s was settled before with another state of its ledger; give all copies of it together", ErrLedger, ledger.run)
	}
	line := budgetLine{Type: lineSettle, Run: ledger.run, Charges: &total}
	if h := ledger.Head(); h.Lines > 0 {
		line.Ledger = &h
	}
	if r := b.record; r.terms.Mode == BudgetFixed {
		total = Charges{max(total.Steps, run.Charges.Steps), max(total.Evaluations, run.Charges.Evaluations)}
	}
	if run.Settled && run.Charges == total {
		return nil
	}
	if line.Events, err = ledger.plan.budgetCost(total); err != nil {
		return err
	}
	return b.append(line)
}

// append writes a line, syncs it, and counts it in FILE.head. After an error the budget is
// closed for writing; the line may be there, and then it counts.
func (b *Budget) append(l budgetLine) (err error) {
	if b.file == nil {
		return fmt.Errorf("%w: the budget is closed", ErrMisuse)
	}
	if b.failed != nil {
		return fmt.Errorf("%w: an earlier write failed: %w", ErrBudgetFile, b.failed)
	}
	defer func() { b.failed = err }()
	r := b.record
	l.Torn, l.Prev = r.tail, r.Head().Hash
	data, err := encodeBudgetLine(l)
	if err != nil {
		return err
	}
	var buf []byte
	if r.noNewline || r.open {
		buf = append(buf, '\n')
	}
	buf = append(append(buf, data...), '\n')
	next := r.clone()
	if err := next.accept(data, true); err != nil { // what could not be read again is not written
		return fmt.Errorf("%s: %w: %w", b.path, ErrBudgetFile, err)
	}
	callHook(b.hook, PointBudgetBeforeWrite)
	if _, err := b.file.Write(buf); err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	callHook(b.hook, PointBudgetAfterWrite)
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	callHook(b.hook, PointBudgetAfterSync)
	if err := writeBudgetHead(b.path, next.Head()); err != nil {
		return err
	}
	b.record = next
	callHook(b.hook, PointBudgetAfterHead)
	return nil
}

// HoldLedger locks the ledger of a run that is not going on and reads it; close the second
// result when done. A run that holds it is refused (ErrLocked).
func HoldLedger(path string) (*LedgerRecord, io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, ledgerFileError(path, err)
	}
	if err := lockFile(f, path); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	r, err := ParseLedger(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return r, f, nil
}
