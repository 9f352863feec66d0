package dpadam

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Ledger is the write-ahead record of a live run. A step's line is written and synced
// before its noise is drawn, so whatever was released has been charged, whenever the
// process dies. One process at a time holds it, by a lock that the operating system
// releases when the process ends. It never looks at a clock.
type Ledger struct {
	mu        sync.Mutex
	file      *os.File
	path      string
	plan      *Plan
	hook      func(point string)
	max       int64 // steps that the budget pays for
	charged   int64 // steps
	evaluated int64
	head      Head
	size      int64
	run       string
	reserved  bool  // in the budget that the plan draws on
	failed    error // the first failed write; the file's end is unknown then
}

// LedgerOptions are the options of CreateLedger and OpenLedger.
type LedgerOptions struct {
	// Heads are the heads stored in the run's checkpoints; OpenLedger refuses a ledger that
	// is not an extension of every one of them.
	Heads []Head
	// Hook is called at every fault point (see PointLedgerBeforeWrite and the others).
	Hook func(point string)
}

// Permit allows one release. Only Ledger.Charge makes one.
type Permit struct {
	plan  *Plan
	index uint64
	step  int64
	used  atomic.Bool
}

// Index is the number of the charge in the ledger: the address of its noise and of its
// sample, never used twice.
func (p *Permit) Index() uint64 { return p.index }

// Step is the optimizer step that the charge pays for.
func (p *Permit) Step() int64 { return p.step }

// CreateLedger begins the ledger of a new run at path. It fails if path exists, whatever it
// holds. The file appears complete and locked or not at all.
func CreateLedger(ctx context.Context, path string, p *Plan, o LedgerOptions) (*Ledger, error) {
	limit, err := p.MaxCharges(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%w: %s exists; resume that run, or choose another directory", ErrLedger, path)
	}
	run, err := randomID()
	if err != nil {
		return nil, err
	}
	line, err := encodeLine(ledgerLine{Type: lineLedger, Version: ledgerVersion, Run: run, NotPrivate: p.Stamp(), Plan: p.json})
	if err != nil {
		return nil, err
	}
	l := &Ledger{path: path, plan: p, hook: o.Hook, max: limit, run: run}
	if l.file, err = os.CreateTemp(filepath.Dir(path), ".ledger-*"); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer os.Remove(l.file.Name())
	if err := l.file.Chmod(0o644); err != nil { // whoever may read the model may read what it cost
		l.file.Close()
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := l.publish(line); err != nil {
		l.file.Close()
		return nil, err
	}
	return l, nil
}

// publish writes the first line, locks the file and gives it its name, which fails if
// the name is taken.
func (l *Ledger) publish(line []byte) error {
	if err := lockFile(l.file, l.path); err != nil {
		return err
	}
	if err := l.append(line, false); err != nil {
		return err
	}
	if err := os.Link(l.file.Name(), l.path); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%w: %s exists; resume that run, or choose another directory", ErrLedger, l.path)
		}
		return fmt.Errorf("ledger (the file system must support hard links): %w", err)
	}
	return syncDir(filepath.Dir(l.path))
}

// OpenLedger goes on with the ledger of a run that ended or died. It refuses (ErrLedger) a
// ledger that is missing, damaged, held by another process, of another plan than p (unless p
// is nil), or no extension of a stored head. Torn lines at the end count as charges;
// a resume line that lists them is written and synced before it returns.
func OpenLedger(ctx context.Context, path string, p *Plan, o LedgerOptions) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, ledgerFileError(path, err)
	}
	l := &Ledger{file: f, path: path, hook: o.Hook}
	if err := l.resume(ctx, p, o.Heads); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *Ledger) resume(ctx context.Context, p *Plan, heads []Head) error {
	if err := lockFile(l.file, l.path); err != nil {
		return err
	}
	r, err := ParseLedger(l.file)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	for _, h := range heads {
		if !r.Extends(h) {
			return fmt.Errorf("%w: %s has %d lines and does not go on from the head stored in a checkpoint (line %d, %.12s): steps are missing from it",
				ErrLedger, l.path, len(r.lines), h.Lines, h.Hash)
		}
	}
	if p != nil && p.Hash() != r.plan.Hash() {
		return fmt.Errorf("%w: %s belongs to another plan: %s; asked for: %s", ErrLedger, l.path, r.plan, p)
	}
	if l.plan = p; p == nil {
		l.plan = r.plan
	}
	if l.max, err = l.plan.maxSteps(ctx, max(r.evaluated, l.plan.plannedEvaluations())); err != nil {
		return err
	}
	l.charged, l.evaluated, l.head, l.size = r.charged, r.evaluated, r.Head(), r.bytes
	l.run = r.run
	session, err := randomID()
	if err != nil {
		return err
	}
	line, err := encodeLine(ledgerLine{Type: lineResume, Session: session, Charged: &r.charged, Evaluated: r.evaluated, Torn: r.tail, Prev: l.head.Hash})
	if err != nil {
		return err
	}
	return l.append(line, r.noNewline || r.open)
}

// append writes and syncs one line, first ending the line before it if that lacks its
// newline. After an error nothing more can be written through l.
func (l *Ledger) append(line []byte, newlineFirst bool) (err error) {
	defer func() {
		if err != nil {
			l.failed = err
		}
	}()
	buf := make([]byte, 0, len(line)+2)
	if newlineFirst {
		buf = append(buf, '\n')
	}
	buf = append(append(buf, line...), '\n')
	callHook(l.hook, PointLedgerBeforeWrite)
	n, err := l.file.Write(buf)
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	callHook(l.hook, PointLedgerAfterWrite)
	callHook(l.hook, PointLedgerBeforeSync)
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	callHook(l.hook, PointLedgerAfterSync)
	l.head = Head{Lines: l.head.Lines + 1, Hash: hashLine(line)}
	return nil
}

// Charge pays for one step: it writes and syncs a line and only then returns the permit to
// release it. step is the optimizer step, from 1; a repeated step is charged again. It fails
// with ErrBudgetSpent, having written nothing, if the step would exceed the budget. After a
// failed write the ledger charges nothing any more, and the line that may have been left
// counts as a charge.
func (l *Ledger) Charge(ctx context.Context, step int64) (*Permit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	if step < 1 {
		return nil, invalid("optimizer step", step, "must be >= 1")
	}
	if err := l.pays(); err != nil {
		return nil, err
	}
	if l.charged >= l.max {
		return nil, l.spent()
	}
	line, err := encodeLine(ledgerLine{Type: lineStep, Charge: l.charged + 1, Step: step, Prev: l.head.Hash})
	if err != nil {
		return nil, err
	}
	l.charged++ // whatever happens below
	if err := l.append(line, false); err != nil {
		return nil, err
	}
	return &Permit{plan: l.plan, index: uint64(l.charged), step: step}, nil
}

func (l *Ledger) spent() error {
	s := &l.plan.spec
	budget := fmt.Sprintf("the %d planned steps", s.Steps)
	if s.TargetEpsilon != 0 {
		budget = fmt.Sprintf("epsilon = %g at delta = %g", s.TargetEpsilon, s.Delta)
	}
	return fmt.Errorf("%w: %d steps are charged, and %s does not pay for another", ErrBudgetSpent, l.charged, budget)
}

// ready checks that the ledger can be written: not closed, not failed, and still the file at
// its path, of the size that this process left.
func (l *Ledger) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.file == nil {
		return fmt.Errorf("%w: the ledger is closed", ErrMisuse)
	}
	if l.failed != nil {
		return fmt.Errorf("%w: an earlier write failed: %w", ErrLedger, l.failed)
	}
	there, err := os.Stat(l.path)
	if err != nil {
		return ledgerFileError(l.path, err)
	}
	here, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	if !os.SameFile(there, here) || here.Size() != l.size {
		return fmt.Errorf("%w: %s was changed by something else while the run held it", ErrLedger, l.path)
	}
	return nil
}

// Finish records that the run ended with a model that took so many optimizer steps.
func (l *Ledger) Finish(ctx context.Context, taken int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(ctx); err != nil {
		return err
	}
	if taken < 0 {
		return invalid("steps taken", taken, "must be >= 0")
	}
	line, err := encodeLine(ledgerLine{Type: lineEnd, Taken: &taken, Prev: l.head.Hash})
	if err != nil {
		return err
	}
	return l.append(line, false)
}

// Plan is the plan that the ledger charges for.
func (l *Ledger) Plan() *Plan { return l.plan }

// Path is the ledger's file.
func (l *Ledger) Path() string { return l.path }

// Charged is the number of steps charged so far, torn lines included.
func (l *Ledger) Charged() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.charged
}

// StepsAffordable is the number of further steps that the budget pays for.
func (l *Ledger) StepsAffordable() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.max-l.charged)
}

// Epsilon prices what is charged. Reading it changes nothing.
func (l *Ledger) Epsilon() (Result, error) { return l.plan.Epsilon(l.Charges()) }

// Bound is the upper bound of Epsilon alone (Plan.Bound).
func (l *Ledger) Bound() (float64, error) { return l.plan.Bound(l.Charges()) }

// Head is what a checkpoint stores.
func (l *Ledger) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Close releases the ledger and its lock.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// randomID returns 128 random bits in hexadecimal. Ids are never seeded.
func randomID() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
		return "", fmt.Errorf("operating system's random numbers: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// syncDir makes a new name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}
