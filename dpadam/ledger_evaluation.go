package dpadam

import (
	"context"
	"fmt"
	"sync/atomic"
)

// EvaluationPermit allows one noised evaluation. Only Ledger.ChargeEvaluation makes one.
type EvaluationPermit struct {
	plan  *Plan
	index uint64
	used  atomic.Bool
}

// Index is the number of the evaluation in the ledger, never used twice.
func (p *EvaluationPermit) Index() uint64 { return p.index }

// ChargeEvaluation pays for one evaluation of the weights after optimizer step step (0: as
// given): it writes and syncs a line and only then returns the permit to release it. An
// evaluation that is repeated is charged again. It fails with ErrBudgetSpent, having
// written nothing, once as many are charged as were planned: the target was
// calibrated for those, and what is left of it belongs to the steps.
func (l *Ledger) ChargeEvaluation(ctx context.Context, step int64) (*EvaluationPermit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	if step < 0 {
		return nil, invalid("optimizer step", step, "must be >= 0")
	}
	if err := l.pays(); err != nil {
		return nil, err
	}
	planned := l.plan.plannedEvaluations()
	if l.evaluated >= planned {
		return nil, fmt.Errorf("%w: %d evaluations are charged, and %d were planned", ErrBudgetSpent, l.evaluated, planned)
	}
	line, err := encodeLine(ledgerLine{Type: lineEvaluation, Evaluation: l.evaluated + 1, Step: step, Prev: l.head.Hash})
	if err != nil {
		return nil, err
	}
	l.evaluated++ // whatever happens below
	if err := l.append(line, false); err != nil {
		return nil, err
	}
	return &EvaluationPermit{plan: l.plan, index: uint64(l.evaluated)}, nil
}

// Charges is what is charged so far, torn lines included.
func (l *Ledger) Charges() Charges {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Charges{Steps: l.charged, Evaluations: l.evaluated}
}

// EvaluationsAffordable is the number of further evaluations that the plan pays for.
func (l *Ledger) EvaluationsAffordable() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.plan.plannedEvaluations()-l.evaluated)
}
