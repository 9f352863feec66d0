package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// measure loads the weights and times one run of the microbatch for every length,
// after one that is not timed, and noise and update of a part of the coordinates.
func (f *finetune) measure(ctx context.Context, e *Estimate) (err error) {
	t := f.trainer
	f.restore = limitGarbage(f.held)
	if t.weights, err = loadWeights(f.prepared, f.program.Trained, append(f.program.Unreached, f.program.Frozen...)); err != nil {
		return err
	}
	if err := f.moveToDevice(); err != nil {
		return err
	}
	for i := len(e.Lengths) - 1; i >= 0; i-- { // the longest first, as a run does
		l := &e.Lengths[i]
		m := microbatch{nil, l.Tokens, t.size}
		if _, err := t.run(ctx, m); err != nil {
			return err
		}
		if l.Seconds, err = t.timeRun(ctx, m); err != nil {
			return err
		}
		if l.fixed = l.Seconds; t.fixed || t.size < fewerRows {
			continue
		}
		m.rows = t.size / fewerRows
		few, err := t.timeRun(ctx, m)
		if err != nil {
			return err
		}
		l.fixed = fixedSeconds(l.Seconds, few, t.size, m.rows)
	}
	return f.sumUp(ctx, e, false)
}

// fewerRows is by how much the second run that is timed has fewer rows.
const fewerRows = 4

// timeRun is how long a microbatch's run takes.
func (t *trainer) timeRun(ctx context.Context, m microbatch) (float64, error) {
	begin := time.Now()
	_, err := t.run(ctx, m)
	return time.Since(begin).Seconds(), err
}

// fixedSeconds is what runs take whatever their rows, where time is a constant and a part for each row.
func fixedSeconds(many, few float64, rows, fewer int) float64 {
	fixed := (few*float64(rows) - many*float64(fewer)) / float64(rows-fewer)
	return min(max(fixed, 0), many)
}

// sumUp makes the time of a run of those of its microbatches, and measures the update.
func (f *finetune) sumUp(ctx context.Context, e *Estimate, predicted bool) error {
	per, err := f.measureUpdate(ctx)
	if err != nil {
		return err
	}
	coordinates := max(e.Coordinates, f.movedNumbers())
	out := &TimeEstimate{Predicted: predicted, Microbatches: secondsPerStep(e.ExpectedBatch, f.trainer.size, e.Lengths), Update: per * float64(coordinates)}
	out.Step = out.Microbatches + out.Update
	out.Total = out.Step * float64(e.Steps)
	e.Time = out
	return nil
}

// sampleCoordinates is how many coordinates noise and update are timed on.
const sampleCoordinates = 4 << 20

// measureUpdate returns the seconds that noise and update take for a coordinate: of
// whole steps of a small plan with the run's own optimizer, ledger included, the
// second of two.
func (f *finetune) measureUpdate(ctx context.Context) (seconds float64, err error) {
	const steps = 2
	optimizer := f.options.optimizer(1e-9)
	plan, err := dpadam.NewPlanContext(ctx, dpadam.Config{
		Records: 8, ExpectedBatch: 8, Steps: steps, NoiseMultiplier: 1, ClipNorm: 1, Rho: rho, Dim: sampleCoordinates, Microbatch: 8, Optimizer: optimizer,
	})
	if err != nil {
		return 0, fmt.Errorf("timing the update: %w", err)
	}
	dir, err := os.MkdirTemp("", "ghostwriter-estimate-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ledger, err := dpadam.CreateLedger(ctx, filepath.Join(dir, "ledger"), plan, dpadam.LedgerOptions{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	stepper, err := dpadam.NewStepper(ledger, 8, dpadam.StepperOptions{Workers: f.options.Threads})
	if err != nil {
		return 0, err
	}
	o, err := dpadam.NewOptimizer(plan, nil)
	if err != nil {
		return 0, err
	}
	sum, weights := make([]float32, sampleCoordinates), make([]float32, sampleCoordinates)
	for n := int64(1); n <= steps; n++ {
		begin := time.Now()
		s, err := stepper.Begin(ctx, n)
		if err != nil {
			return 0, err
		}
		if err := s.Add(sum, 8); err != nil {
			return 0, err
		}
		if err := s.Release(ctx, sum); err != nil {
			return 0, err
		}
		if err := o.Update(weights, sum, 1e-9); err != nil {
			return 0, err
		}
		seconds = time.Since(begin).Seconds() / sampleCoordinates
		clear(sum)
	}
	return seconds, nil
}
