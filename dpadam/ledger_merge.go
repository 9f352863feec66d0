package dpadam

import "fmt"

// MergeLedgers charges every branch of one run: ledgers that were copied to other machines
// and went on there. They must have the same first line. The result counts every distinct
// step and evaluation once, the common beginning once and each branch in full, and every torn line; a
// step of one that another holds only as a torn line counts twice, which errs on the safe
// side.
//
// Ledgers of different runs are refused: what they released composes too, but with
// plans of their own; their phases go to the accountant together.
func MergeLedgers(records ...*LedgerRecord) (*LedgerRecord, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: no ledger to merge", ErrMisuse)
	}
	first := records[0]
	out := &LedgerRecord{plan: first.plan, run: first.run}
	m := merger{seen: map[string]bool{}, torn: map[tornKey]bool{}, inner: map[string]bool{}}
	for _, r := range records {
		if r.branches != 1 || len(r.lines) == 0 {
			return nil, fmt.Errorf("%w: merge the ledgers themselves, not a merged one", ErrMisuse)
		}
		if r.lines[0].hash != first.lines[0].hash {
			return nil, fmt.Errorf("%w: the ledgers have no common beginning, they belong to different runs; give their phases to the accountant together instead", ErrLedger)
		}
		m.add(r)
		out.resumes = max(out.resumes, r.resumes)
		out.lastStep = max(out.lastStep, r.lastStep)
	}
	for k := range m.torn {
		out.torn += k.Charges
		out.tornEvaluations += k.Evaluations
	}
	out.charged, out.evaluated = m.steps+out.torn, m.evaluations+out.tornEvaluations
	ends := map[string]bool{}
	for _, r := range records {
		if h := r.Head().Hash; !m.inner[h] && !ends[h] {
			ends[h] = true
			out.branches++
		}
	}
	if out.branches == 1 { // all are states of one ledger; the longest speaks for it
		for _, r := range records {
			if !m.inner[r.Head().Hash] {
				out.taken, out.lines = r.taken, r.lines
			}
		}
	}
	return out, nil
}

// merger collects distinct lines. A line's hash covers everything before it, so equal
// hashes mean equal histories.
type merger struct {
	seen               map[string]bool // step lines and others
	inner              map[string]bool // lines that another line follows
	torn               map[tornKey]bool
	steps, evaluations int64
}

// tornKey identifies a torn line by the intact line before it and its place after that.
type tornKey struct {
	after string
	index int
	fragment
}

func (m *merger) add(r *LedgerRecord) {
	prev := ""
	for _, l := range r.lines {
		if prev != "" {
			m.inner[prev] = true
		}
		for i, f := range l.torn {
			m.torn[tornKey{prev, i, f}] = true
		}
		if !m.seen[l.hash] {
			m.seen[l.hash] = true
			switch l.kind {
			case lineStep:
				m.steps++
			case lineEvaluation:
				m.evaluations++
			}
		}
		prev = l.hash
	}
	for i, f := range r.tail {
		m.torn[tornKey{prev, i, f}] = true
	}
}
