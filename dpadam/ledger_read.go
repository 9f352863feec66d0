package dpadam

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Head identifies a state of a ledger: the number of its intact lines and the SHA-256 of
// the last of them. A checkpoint stores it; a ledger that is not an extension of it is refused.
type Head struct {
	Lines int64  `json:"lines"`
	Hash  string `json:"hash"`
}

// LedgerRecord is what a ledger says, verified.
type LedgerRecord struct {
	plan            *Plan
	run             string
	lines           []recordLine // intact lines
	tail            []fragment   // torn lines at the end that no resume line lists yet
	charged         int64        // step lines and torn lines, all of them
	evaluated       int64        // evaluation lines and torn lines that may have been one
	torn            int64        // of the charged steps
	tornEvaluations int64
	lastStep        int64
	taken           *int64
	resumes         int64
	branches        int
	// noNewline says that the last intact line lacks its newline; open says that the
	// last torn line does.
	noNewline, open bool
	bytes           int64
}

// recordLine is what merging needs of a line.
type recordLine struct {
	hash string
	kind string
	torn []fragment
}

// Plan is the plan of the ledger's first line.
func (r *LedgerRecord) Plan() *Plan { return r.plan }

// Charges is everything charged, torn lines included: what epsilon is computed from.
func (r *LedgerRecord) Charges() Charges { return Charges{Steps: r.charged, Evaluations: r.evaluated} }

// Charged is the number of steps charged, torn lines included.
func (r *LedgerRecord) Charged() int64 { return r.charged }

// Torn is how many of the charges are torn lines.
func (r *LedgerRecord) Torn() int64 { return r.torn }

// LastStep is the optimizer step of the last charge, 0 before the first.
func (r *LedgerRecord) LastStep() int64 { return r.lastStep }

// Taken returns the number of optimizer steps of the model that was written, and whether the
// run has ended and said so.
func (r *LedgerRecord) Taken() (int64, bool) {
	if r.taken == nil {
		return 0, false
	}
	return *r.taken, true
}

// Resumes is how often the run was resumed.
func (r *LedgerRecord) Resumes() int64 { return r.resumes }

// Branches is 1, or for merged ledgers the number of their distinct ends.
func (r *LedgerRecord) Branches() int { return r.branches }

// Head returns the ledger's present head; merged ledgers have none.
func (r *LedgerRecord) Head() Head {
	if len(r.lines) == 0 {
		return Head{}
	}
	return Head{Lines: int64(len(r.lines)), Hash: r.lines[len(r.lines)-1].hash}
}

// Epsilon prices what was charged.
func (r *LedgerRecord) Epsilon() (Result, error) { return r.plan.Epsilon(r.Charges()) }

// Extends reports whether the ledger is h or goes on from it.
func (r *LedgerRecord) Extends(h Head) bool {
	return h.Lines >= 1 && h.Lines <= int64(len(r.lines)) && r.lines[h.Lines-1].hash == h.Hash
}

// ReadLedger reads and verifies a ledger without locking it.
func ReadLedger(path string) (*LedgerRecord, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ledgerFileError(path, err)
	}
	defer f.Close()
	r, err := ParseLedger(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func ledgerFileError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing (%w); without it nobody knows what was spent", ErrLedger, path, os.ErrNotExist)
	}
	return fmt.Errorf("%w: %w", ErrLedger, err)
}

// ParseLedger reads and verifies a ledger. Every fault wraps ErrLedger and names the line.
func ParseLedger(in io.Reader) (*LedgerRecord, error) {
	r := &LedgerRecord{branches: 1}
	var err error
	if r.bytes, err = eachLine(in, r.accept); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLedger, err)
	}
	if r.plan == nil {
		return nil, fmt.Errorf("%w: it has no complete first line; no step was charged to it: remove it and begin anew", ErrLedger)
	}
	return r, nil
}

// accept checks one line against everything before it.
func (r *LedgerRecord) accept(data []byte, terminated bool) error {
	l, torn, err := decodeLine(data)
	if err != nil {
		return err
	}
	if torn {
		if r.plan == nil {
			if !terminated {
				return nil // a torn first line: reported by ParseLedger
			}
			return errors.New("the first line is no ledger line")
		}
		f := fragmentOf(data, r.plan.spec.Evaluation != nil)
		r.tail = append(r.tail, f)
		r.charged += f.Charges
		r.torn += f.Charges
		r.evaluated += f.Evaluations
		r.tornEvaluations += f.Evaluations
		r.open = !terminated
		return nil
	}
	if err := r.link(&l); err != nil {
		return err
	}
	r.lines = append(r.lines, recordLine{hash: hashLine(data), kind: l.Type, torn: l.Torn})
	r.noNewline = !terminated
	return nil
}

// link checks the chain and the counters and applies the line.
func (r *LedgerRecord) link(l *ledgerLine) error {
	if (r.plan == nil) != (l.Type == lineLedger) {
		return fmt.Errorf("a %s line where it cannot be", l.Type)
	}
	if r.plan == nil {
		return r.begin(l)
	}
	if l.Prev != r.lines[len(r.lines)-1].hash {
		return errors.New("the chain is broken: a line before it was removed, changed or moved")
	}
	if l.Type != lineResume && len(r.tail) > 0 {
		return errors.New("the line before it is not a ledger line")
	}
	switch l.Type {
	case lineStep:
		if l.Charge != r.charged+1 {
			return fmt.Errorf("charge %d after %d charges", l.Charge, r.charged)
		}
		r.charged, r.lastStep, r.taken = l.Charge, l.Step, nil
	case lineEvaluation:
		if r.plan.spec.Evaluation == nil || l.Evaluation != r.evaluated+1 {
			return fmt.Errorf("evaluation %d after %d of %d planned", l.Evaluation, r.evaluated, r.plan.plannedEvaluations())
		}
		r.evaluated, r.taken = l.Evaluation, nil
	case lineResume:
		if *l.Charged != r.charged || l.Evaluated != r.evaluated || !sameFragments(l.Torn, r.tail) {
			return errors.New("a resume line that does not match what is before it")
		}
		r.tail = nil
		r.resumes++
	case lineEnd:
		taken := *l.Taken
		r.taken = &taken
	}
	return nil
}

func (r *LedgerRecord) begin(l *ledgerLine) error {
	if l.Version != ledgerVersion {
		return fmt.Errorf("format version %d, this version reads %d", l.Version, ledgerVersion)
	}
	p, err := ParsePlan(l.Plan)
	if err != nil {
		return err
	}
	if l.NotPrivate != p.Stamp() {
		return fmt.Errorf("stamp %q, the plan says %q", l.NotPrivate, p.Stamp())
	}
	if !bytes.Equal(l.Plan, p.json) {
		return errors.New("the plan is not in its canonical form")
	}
	r.plan, r.run = p, l.Run
	return nil
}

func sameFragments(a, b []fragment) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
