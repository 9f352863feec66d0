package runtime

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// planBudget puts the budget that a run draws on into a plan's configuration. The relation
// defaults to the budget's.
func (o *FinetuneOptions) planBudget(c *dpadam.Config) error {
	if o.Budget == "" {
		return nil
	}
	record, err := dpadam.ReadBudget(o.Budget)
	if err != nil {
		return fmt.Errorf("--budget: %w", err)
	}
	c.Budget, c.BudgetShare = record.Ref(o.Budget), o.BudgetShare
	if c.Relation == "" {
		c.Relation = c.Budget.Relation
	}
	return nil
}

// validateBudget refuses what does not go with a budget.
func (o *FinetuneOptions) validateBudget() error {
	switch {
	case o.Budget == "" && o.BudgetShare != 0:
		return usage("--budget-share: there is no --budget")
	case o.Budget == "":
		return nil
	case o.BudgetShare > 1:
		return usage("--budget-share %g must be at most 1, the whole budget", o.BudgetShare)
	case o.NoPrivacy || o.Seed != nil:
		return usage("--budget pays for private runs only; leave out --no-privacy and --seed")
	case o.TargetEpsilon == 0 && o.NoiseMultiplier == 0 && o.BudgetShare == 0:
		return usage("--budget says what all runs may cost together; give --budget-share, --target-epsilon or --noise-multiplier to say what this one may")
	}
	return nil
}

// reserved runs start, which creates or opens the ledger, and reserves the run's whole plan
// of the budget, if it draws on one, before anything can be charged. A new run that the
// budget does not pay for leaves nothing behind: start is not called.
func (f *finetune) reserved(ctx context.Context, start func() error) (err error) {
	o := f.options
	if o.Budget == "" {
		return start()
	}
	after := o.Resume || o.search != nil // of a search the whole is reserved already
	if after {                           // the ledger says what the run has reserved already
		if err := start(); err != nil {
			return err
		}
	}
	b, err := dpadam.OpenBudget(ctx, o.Budget, o.Hook.At)
	if err != nil {
		return fmt.Errorf("--budget: %w", err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if !after { // the lock is held from the question to the reservation
		if err := b.Record().Afford(f.plan); err != nil {
			return err
		}
		if err := start(); err != nil {
			return err
		}
	}
	return b.Reserve(f.ledger, filepath.Base(f.out.path))
}

// settleBudget gives back what a run that has ended did not charge. If that fails the
// reservation stays, which costs budget but no privacy.
func (f *finetune) settleBudget(ctx context.Context) {
	if f.options.Budget == "" || f.options.search != nil { // a search has one price
		return
	}
	err := settle(ctx, f.options.Budget, f.out.ledger())
	if err != nil {
		f.options.Progress.Message(fmt.Sprintf("the budget still holds the whole reservation of this run (%v); settle it with: ghostwriter budget settle %s %s",
			err, f.options.Budget, f.out.path))
	}
}

func settle(ctx context.Context, budget, ledger string) (err error) {
	record, err := dpadam.ReadLedger(ledger)
	if err != nil {
		return err
	}
	b, err := dpadam.OpenBudget(ctx, budget, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return b.Settle(record)
}
