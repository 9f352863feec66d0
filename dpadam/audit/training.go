package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// Training is private training as it really runs: the plan, a ledger in a temporary directory,
// dpadam's Stepper with its Sampler, Accumulator and Noiser. Only the gradients are made up.
type Training struct {
	plan    *dpadam.Plan
	dir     string
	ledger  *dpadam.Ledger
	stepper *dpadam.Stepper
	sum     []float32
}

// NewTraining begins a run of the plan over a data set of rows records.
func NewTraining(ctx context.Context, plan *dpadam.Plan, rows int) (_ *Training, err error) {
	t := &Training{plan: plan, sum: make([]float32, plan.Spec().Dim)}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.dir, err = os.MkdirTemp("", "ghostwriter-audit-*"); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if t.ledger, err = dpadam.CreateLedger(ctx, filepath.Join(t.dir, "ledger"), plan, dpadam.LedgerOptions{}); err != nil {
		return nil, err
	}
	t.stepper, err = dpadam.NewStepper(t.ledger, rows, dpadam.StepperOptions{})
	return t, err
}

// Step implements Mechanism.
func (t *Training) Step(ctx context.Context, n int64, sum func(records []int, into []float32), out []float32) error {
	step, err := t.stepper.Begin(ctx, n)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(step.Records(), t.plan.Spec().Microbatch) {
		clear(t.sum)
		sum(batch, t.sum)
		if err := step.Add(t.sum, len(batch)); err != nil {
			return err
		}
	}
	return step.Release(ctx, out)
}

// Close removes the ledger: nothing that an audit releases needs one.
func (t *Training) Close() error {
	var errs []error
	if t.ledger != nil {
		errs = append(errs, t.ledger.Close())
	}
	if t.dir != "" {
		errs = append(errs, os.RemoveAll(t.dir))
	}
	return errors.Join(errs...)
}
