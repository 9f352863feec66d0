package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// A SearchResult says what a search cost and what it found.
type SearchResult struct {
	Mode            string
	Epsilon         float64 // of the whole search: random stopping; NaN for composition, whose budget has one
	Delta           float64
	NoiseMultiplier float64 // random stopping: of every run
	Search          *dpadam.SearchSpec
	Grid            int
	Out             string // "" for a dry run

	Best     *SearchRun // nil for a dry run, or when no run has a score
	Runs     []SearchRun
	Reserved float64 // composition: the part of the budget that is taken; of a dry run, that would be
}

// A SearchRun is one run of a search by composition, or the chosen one of random stopping.
type SearchRun struct {
	Cell     int            `json:"cell"` // from 1, in the order of the grid
	Settings map[string]any `json:"settings"`
	Steps    int64          `json:"steps"`
	Epsilon  *float64       `json:"epsilon"` // composition: of the run alone
	Score    *float64       `json:"score"`   // larger is better; null without one
	Out      string         `json:"out"`
}

// ErrNoRun says that a search by random stopping drew no run, which a Poisson distribution
// does now and then: nothing is released.
var ErrNoRun = errors.New("the search drew a number of runs of 0: nothing was trained and nothing is released")

// Search searches for hyperparameters under differential privacy.
func Search(ctx context.Context, o SearchOptions) (*SearchResult, error) {
	if o.Progress == nil {
		o.Progress = silent{}
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Mode == SearchRandomStopping {
		return o.randomStopping(ctx, dice{})
	}
	return o.composition(ctx)
}

// chance is what a search by random stopping draws; tests know it.
type chance interface {
	runs(*dpadam.SearchSpec) (int64, error)
	cell(*dpadam.SearchSpec) (int, error)
}

type dice struct{}

func (dice) runs(s *dpadam.SearchSpec) (int64, error) { return s.Draw() }
func (dice) cell(s *dpadam.SearchSpec) (int, error)   { return s.DrawCell() }

// randomStopping makes a secret number of runs, each with the settings of a cell drawn
// uniformly, and writes the one with the best score; of equal ones the first, which, as runs
// are independent and alike, is the same as any of them at random. Runs tell nothing while they go on, and
// what the others wrote is removed.
func (o *SearchOptions) randomStopping(ctx context.Context, c chance) (_ *SearchResult, err error) {
	sigma, spec, price, err := o.price(ctx)
	if err != nil {
		return nil, err
	}
	result := &SearchResult{Mode: o.Mode, Epsilon: price.Epsilon, Delta: price.Delta, NoiseMultiplier: sigma, Search: spec, Grid: len(o.Cells)}
	if o.DryRun {
		return result, nil
	}
	if exists(o.Out) {
		return nil, usage("--out: %s exists; a search writes a directory of its own", o.Out)
	}
	if spec, err = o.reserve(ctx, spec); err != nil {
		return nil, err
	}
	result.Search = spec
	if err := os.MkdirAll(filepath.Dir(o.Out), 0o755); err != nil {
		return nil, usage("--out: %w", err)
	}
	secret, err := os.MkdirTemp(filepath.Dir(o.Out), "."+filepath.Base(o.Out)+".search-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("the search: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(secret)) }()
	best, err := o.secretRuns(ctx, c, spec, sigma, secret)
	if err != nil {
		return nil, err
	}
	if best == nil {
		return nil, ErrNoRun
	}
	if err := publish(best.Out, o.Out); err != nil {
		return nil, err
	}
	best.Out, result.Out, result.Best = o.Out, o.Out, best
	return result, nil
}

// reserve takes the search off the budget, if it draws on one, before its first run.
func (o *SearchOptions) reserve(ctx context.Context, spec *dpadam.SearchSpec) (_ *dpadam.SearchSpec, err error) {
	path := o.Cells[0].Options.Budget
	if path == "" {
		return spec, nil
	}
	b, err := dpadam.OpenBudget(ctx, path, nil)
	if err != nil {
		return nil, fmt.Errorf("--budget: %w", err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return b.ReserveSearch(spec, filepath.Base(o.Out))
}

// secretRuns makes the runs below a folder that only its owner reads, and returns the best.
func (o *SearchOptions) secretRuns(ctx context.Context, c chance, spec *dpadam.SearchSpec, sigma float64, secret string) (best *SearchRun, err error) {
	runs, err := c.runs(spec)
	if err != nil {
		return nil, err
	}
	candidate, kept := filepath.Join(secret, "candidate"), filepath.Join(secret, "best")
	for range runs {
		n, err := c.cell(spec)
		if err != nil {
			return nil, err
		}
		run := o.Cells[n].Options
		run.Out, run.Stop, run.Progress = candidate, o.Stop, nil
		run.TargetEpsilon, run.NoiseMultiplier, run.search = 0, sigma, spec
		r, err := Finetune(ctx, run)
		if errors.Is(err, ErrInterrupted) {
			return nil, fmt.Errorf("%w: what the search did is removed, nothing is released; a search by random stopping can't be resumed", ErrInterrupted)
		}
		if err != nil {
			return nil, fmt.Errorf("a run of the search failed, nothing is released: %w", err)
		}
		score := r.Score
		if math.IsNaN(score) {
			score = math.Inf(-1)
		}
		if best != nil && score <= *best.Score {
			if err := os.RemoveAll(candidate); err != nil {
				return nil, err
			}
			continue
		}
		if err := errors.Join(os.RemoveAll(kept), os.Rename(candidate, kept)); err != nil {
			return nil, err
		}
		best = &SearchRun{Cell: n + 1, Settings: o.Cells[n].Settings, Steps: r.Steps, Score: &score, Out: kept}
	}
	if best != nil {
		best.Score = nullable(*best.Score)
	}
	return best, nil
}

// publish moves the chosen run's directory to its place, without what tells when it was
// made, or how to go on with it: the search is over.
func publish(from, to string) error {
	now := time.Now()
	var options []string
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == configFile {
			options = append(options, path)
		}
		return err
	})
	for _, path := range options {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("the chosen run: %w", err)
	}
	err = filepath.WalkDir(from, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, now, now))
	})
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		return fmt.Errorf("the chosen run: %w", err)
	}
	return nil
}

// price says what a search by random stopping costs, and calibrates the noise of its runs for
// a target.
func (o *SearchOptions) price(ctx context.Context) (sigma float64, spec *dpadam.SearchSpec, r dpadam.Result, err error) {
	for i := range o.Cells { // runs have another target than the search, which must not choose other batches than are priced
		c := &o.Cells[i].Options
		settled, _, err := c.settle(c.Records, 0)
		if err != nil {
			return 0, nil, r, err
		}
		c.ExpectedBatch = settled.ExpectedBatch
	}
	first := o.Cells[0].Options
	runs, err := dpadam.NewSearchSpec(o.Distribution, o.shape(), o.MeanRuns)
	if err != nil {
		return 0, nil, r, fmt.Errorf("the search: %w", err)
	}
	_, relation, delta, err := o.Cells[0].cost(1)
	if err != nil {
		return 0, nil, r, fmt.Errorf("the search: %w", err)
	}
	if err := o.checkCosts(); err != nil {
		return 0, nil, r, err
	}
	costs := func(sigma float64) [][]dpadam.BudgetEvent {
		out := make([][]dpadam.BudgetEvent, len(o.Cells))
		for i := range o.Cells {
			out[i], _, _, _ = o.Cells[i].cost(sigma) // checked above: sigma changes nothing else
		}
		return out
	}
	if sigma = first.NoiseMultiplier; sigma == 0 {
		sigma, spec, err = dpadam.CalibrateSearch(ctx, runs, relation, delta, first.TargetEpsilon, costs)
	} else {
		spec = runs.WithCells(costs(sigma)...)
	}
	if err != nil {
		return 0, nil, r, fmt.Errorf("the search: %w", err)
	}
	if r, err = spec.Promise(ctx, relation, delta); err != nil {
		err = fmt.Errorf("the search: %w", err)
	}
	return sigma, spec, r, err
}

// checkCosts finds what a cell's cost cannot be computed from.
func (o *SearchOptions) checkCosts() error {
	for i := range o.Cells {
		if _, _, _, err := o.Cells[i].cost(1); err != nil {
			return fmt.Errorf("the search: cell %d: %w", i+1, err)
		}
	}
	return nil
}
