package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// Cell returns the cell of a name.
func (o *SweepOptions) Cell(name string) (*SweepCell, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(o.Cells, func(c SweepCell) bool { return c.Name == name })
	if i < 0 {
		return nil, usage("the sweep has no cell %q; there are %d, the first is %s", name, len(o.Cells), o.Cells[0].Name)
	}
	return &o.Cells[i], nil
}

// RunCell makes the run of one cell, or goes on with it, in this process, and records that it
// is done; a cell that is done already is left alone. When stop is closed it ends after the
// step in progress with a checkpoint and ErrInterrupted. The cell whose model it begins with
// must be done. The checkpoints of a cell that is done, each several times the model's size, are removed.
func (o *SweepOptions) RunCell(ctx context.Context, c *SweepCell, stop <-chan struct{}) error {
	if row, err := o.readMarker(c); err != nil || row != nil && row.Status == CellDone {
		return err
	}
	if err := os.MkdirAll(filepath.Join(o.Out, "cells"), 0o755); err != nil {
		return usage("--out: %w", err)
	}
	if err := o.trainCell(ctx, c, stop); err != nil {
		return err
	}
	row, err := c.endedRow(o.cellDir(c))
	if err != nil {
		return fmt.Errorf("cell %s: %w", c.Name, err)
	}
	figures, err := o.evaluateCell(ctx, c, stop)
	if err != nil {
		return err
	}
	maps.Copy(row.Metrics, figures)
	if err := o.writeMarker(c, row); err != nil {
		return err
	}
	return outputDir{path: o.cellDir(c)}.removeCheckpoints()
}

// trainCell trains a cell unless its run has ended. A run that the budget cuts short after it
// began has a model, and has ended.
func (o *SweepOptions) trainCell(ctx context.Context, c *SweepCell, stop <-chan struct{}) error {
	run := c.Options
	run.Out, run.Stop, run.Progress = o.cellDir(c), stop, o.Progress
	if c.from != "" {
		from, err := o.Cell(c.from)
		if err != nil {
			return err
		}
		if row, err := o.readMarker(from); err != nil || row == nil || row.Status != CellDone {
			return errors.Join(err, usage("cell %s begins with the model of cell %s, which is not done", c.Name, c.from))
		}
		run.Model = o.cellDir(from)
	}
	out := outputDir{path: run.Out}
	if exists(out.ledger()) {
		ended, err := out.ended(&run)
		if err != nil || ended {
			return err
		}
		if run.Resume = run.Seed == nil; !run.Resume { // its numbers would repeat; the data are public
			if err := os.RemoveAll(run.Out); err != nil {
				return fmt.Errorf("cell %s: %w", c.Name, err)
			}
		}
	}
	r, err := Finetune(ctx, run)
	if r != nil && errors.Is(err, dpadam.ErrBudgetSpent) {
		err = nil
	}
	return err
}

// removeCheckpoints removes what only a run that goes on needs.
func (d outputDir) removeCheckpoints() error {
	points, err := d.checkpoints()
	if err != nil {
		return err
	}
	for _, p := range points {
		if err := os.RemoveAll(p.path); err != nil {
			return fmt.Errorf("removing checkpoints: %w", err)
		}
	}
	return nil
}

// ended reports whether the run in the directory has written everything that it writes.
func (d outputDir) ended(o *FinetuneOptions) (bool, error) {
	record, err := dpadam.ReadLedger(d.ledger())
	if err != nil {
		return false, err
	}
	_, ended := record.Taken()
	last := "statement.txt"
	if o.SamplePrompts != "" {
		last = "samples.jsonl"
	}
	return ended && exists(filepath.Join(d.path, "release", last)), nil
}
