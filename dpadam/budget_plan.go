package dpadam

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// validateBudget holds a plan to the budget it names.
func (s *Spec) validateBudget() error {
	b := s.Budget
	if b == nil {
		return nil
	}
	if err := b.BudgetTerms.validate(); err != nil {
		return err
	}
	switch {
	case b.ID == "" || b.Name == "" || b.Name != filepath.Base(b.Name):
		return invalid("budget", fmt.Sprintf("%q (%s)", b.Name, b.ID), "must have an id and the name of a file")
	case s.NotPrivate != "":
		return invalid("budget", b.Name, "pays for private runs only; this one is "+s.NotPrivate)
	case b.Relation != s.Relation:
		return invalid("relation", s.Relation, fmt.Sprintf("must be %s, that of the budget %s", b.Relation, b.Name))
	case b.Unit != s.Unit:
		return invalid("unit", fmt.Sprintf("%q", s.Unit), fmt.Sprintf("must be %q, that of the budget %s", b.Unit, b.Name))
	case b.Share != 0 && s.TargetEpsilon != 0:
		return invalid("share of the budget", b.Share, "give a target epsilon or a share, not both")
	}
	return b.validateShare()
}

func (b *BudgetRef) validateShare() error {
	if b.Share != 0 && !(b.Share > 0 && b.Share <= 1) {
		return invalid("share of the budget", b.Share, "must be in (0, 1]")
	}
	return nil
}

// calibrateShare returns the smallest noise multiplier at which the planned steps and
// evaluations take no more than their share of the whole budget. For an accountant, whose
// prices do not add up, that means: at which ceil(1/share) such runs fit into it.
func (s *Spec) calibrateShare(ctx context.Context) (float64, error) {
	b := s.Budget
	if err := b.validateShare(); err != nil {
		return 0, err
	}
	if err := b.BudgetTerms.validate(); err != nil {
		return 0, err
	}
	evaluations := s.Evaluation.count()
	if b.Mode == BudgetFixed {
		acc, err := NewAccountant(b.Accountant)
		if err != nil {
			return 0, err
		}
		n := int64(math.Ceil(1/b.Share - 1e-9))
		if s.Steps > maxCount/n {
			return 0, invalid("share of the budget", b.Share, fmt.Sprintf("is too small for %d steps", s.Steps))
		}
		sigma, _, err := CalibrateNoise(ctx, acc, b.Relation, s.SampleRate, s.Steps*n, accountedDelta(b.Delta), b.Epsilon, s.beside(evaluations*n)...)
		return sigma, err
	}
	pricer, err := newBudgetPricer(b.BudgetTerms)
	if err != nil {
		return 0, err
	}
	sigma, err := leastNoise(b.Share, func(sigma float64) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		events := []BudgetEvent{{s.SampleRate, sigma, s.Steps, nil}}
		if s.Evaluation != nil {
			events = append(events, BudgetEvent{1, s.Evaluation.NoiseMultiplier, evaluations, nil})
		}
		return pricer.share(events)
	})
	if err == nil && sigma == 0 {
		err = invalid("share of the budget", b.Share, fmt.Sprintf("no noise multiplier up to %g keeps to it in %d steps%s; take a larger share or fewer steps",
			maxNoiseMultiplier, s.Steps, alsoReleased(s.beside(evaluations))))
	}
	return sigma, err
}

// leastNoise is the smallest noise multiplier, rounded up to seven digits, at which bound is at
// most target; 0 if none is.
func leastNoise(target float64, bound func(sigma float64) (float64, error)) (float64, error) {
	return noiseSearch{target: target, bound: bound}.smallest()
}

// upperOf is the accountant's bound, +Inf where it has none that is finite.
func upperOf(a Accountant, c Composition, delta float64) (float64, error) {
	if u, ok := a.(upperBounder); ok {
		return u.upperEpsilon(c, delta)
	}
	r, err := a.Epsilon(c, delta)
	return r.Epsilon, err
}

// pays says whether the ledger may charge: a run that draws on a budget has reserved first.
func (l *Ledger) pays() error {
	if b := l.plan.spec.Budget; b != nil && !l.reserved {
		return fmt.Errorf("%w: the plan draws on the budget %s and nothing was reserved there", ErrMisuse, b.Name)
	}
	return nil
}

// ErrBudgetFile marks a budget file that is missing, damaged, shorter than its head, or not
// the one that a run draws on (exit code 2).
var ErrBudgetFile = errors.New("budget refused")
