package runtime

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// SweepOptions say which runs a sweep makes. ParseSweep reads them from a file.
type SweepOptions struct {
	Cells  []SweepCell
	Axes   []string // the grid's names, in the order of the file
	Metric string   // what cells are compared by; "" for the first of preferredMetrics that they have
	Out    string

	MaxTime  time.Duration // the sweep stops after this time; 0 for never
	Stop     <-chan struct{}
	Progress Progress

	// Run makes the run of one cell, until it has ended or stop is closed; nil for RunCell,
	// in this process. A function that starts a process for each keeps the memory of one cell
	// from the next, and a cell that is killed from the others.
	Run func(ctx context.Context, cell *SweepCell, stop <-chan struct{}) error
}

// A SweepCell is one run of a sweep.
type SweepCell struct {
	Name     string         // of its folder, below Out/cells
	Settings map[string]any // what sets it apart: of the grid, and the name of an explicit cell
	Options  FinetuneOptions
	Public   bool             // its data are declared public: it is charged to no budget
	Evaluate *SweepEvaluation // of the trained model; nil for none

	from string // the cell whose model it begins with; or ""
}

// Settings that tell repetitions of a cell apart, over which results are averaged.
const (
	settingCell   = "cell" // an explicit cell's name
	settingRepeat = "repeat"
	settingSeed   = "seed"
)

// modelOfCell begins a model that is the one which another cell trained.
const modelOfCell = "@"

// validate refuses what can be refused before a run begins.
func (o *SweepOptions) validate() error {
	switch {
	case len(o.Cells) == 0:
		return usage("the sweep has no cells")
	case o.Out == "":
		return usage("--out is missing")
	}
	for i := range o.Cells {
		c := &o.Cells[i]
		if err := c.validate(); err != nil {
			return usage("cell %s: %w", c.Name, err)
		}
	}
	if err := o.validateCharges(); err != nil {
		return err
	}
	_, err := o.ordered()
	return err
}

func (c *SweepCell) validate() error {
	run := c.Options
	run.Out = "cells"
	switch {
	case !c.Public && run.Budget == "":
		return usage("the runs of a sweep are compared, and each reads private data: give budget: FILE, to which all of them are charged (ghostwriter budget create), or say public-data: true if nobody's privacy is at stake")
	case c.Public && run.Budget != "":
		return usage("budget: the cell's data are declared public, and nothing is charged for them")
	case run.Valid != "" && !c.Public && !run.ValidPublic && run.DPEvaluate == 0:
		return usage("valid: these data are private and their scores would be compared: pay for it with dp-evaluate, or say valid-public: true")
	}
	if err := run.validate(); err != nil {
		return err
	}
	return c.validateEvaluated()
}

// validateCharges finds data that are private in one cell and public in another, and cells
// that are charged to different budgets.
func (o *SweepOptions) validateCharges() error {
	budget, private := "", map[string]string{}
	for _, c := range o.Cells {
		if c.Public {
			continue
		}
		if budget == "" {
			budget = c.Options.Budget
		}
		if c.Options.Budget != budget {
			return usage("cell %s: budget %s; the others are charged to %s, and only one file adds up what they cost together", c.Name, c.Options.Budget, budget)
		}
		private[filepath.Clean(c.Options.Train)] = c.Name
	}
	for _, c := range o.Cells {
		if other, is := private[filepath.Clean(c.Options.Train)]; is && c.Public {
			return usage("cell %s: train: %s is declared public, but cell %s is charged for it", c.Name, c.Options.Train, other)
		}
		if c.Evaluate == nil {
			continue
		}
		if other, is := private[filepath.Clean(c.Evaluate.Data)]; is {
			return usage("cell %s: evaluate: %s must be public, but cell %s is charged for it", c.Name, c.Evaluate.Data, other)
		}
	}
	return nil
}

// ordered lists the cells so that each comes after the one whose model it begins with.
func (o *SweepOptions) ordered() ([]*SweepCell, error) {
	left := map[string]*SweepCell{}
	for i := range o.Cells {
		left[o.Cells[i].Name] = &o.Cells[i]
	}
	known := slices.Sorted(maps.Keys(left))
	var out []*SweepCell
	for len(left) > 0 {
		before := len(out)
		for i := range o.Cells {
			c := &o.Cells[i]
			if _, waits := left[c.from]; left[c.Name] == nil || waits {
				continue
			}
			if c.from != "" && !slices.Contains(known, c.from) {
				return nil, usage("cell %s: model: %s%s: there is no cell %q; there are %s", c.Name, modelOfCell, c.from, c.from, strings.Join(known, ", "))
			}
			out = append(out, c)
			delete(left, c.Name)
		}
		if len(out) == before {
			return nil, usage("cell %s: model: the cells %s begin with each other's models", slices.Sorted(maps.Keys(left))[0], strings.Join(slices.Sorted(maps.Keys(left)), ", "))
		}
	}
	return out, nil
}

// budget is the file that the cells are charged to; "" if all data are declared public.
func (o *SweepOptions) budget() string {
	for _, c := range o.Cells {
		if !c.Public {
			return c.Options.Budget
		}
	}
	return ""
}

// Plan says what the runs that are charged would take together: the part of the budget, at
// most 1. It needs records, the public number of records, in every one.
func (o *SweepOptions) Plan(ctx context.Context) (share float64, err error) {
	if err := o.validate(); err != nil {
		return 0, err
	}
	var plans []*dpadam.Plan
	for i := range o.Cells {
		c := SearchCell{Options: o.Cells[i].Options}
		if o.Cells[i].Public {
			continue
		}
		if c.Options.Records == 0 && (c.Options.SampleRate == 0 || c.Options.ExpectedBatch == 0) {
			return 0, usage("cell %s: give records, the public number of records, to know what the sweep costs before it starts", o.Cells[i].Name)
		}
		config, err := c.config()
		if err != nil {
			return 0, err
		}
		p, err := dpadam.NewPlanContext(ctx, config)
		if err != nil {
			return 0, fmt.Errorf("cell %s: %w", o.Cells[i].Name, err)
		}
		plans = append(plans, p)
	}
	if len(plans) == 0 {
		return 0, nil
	}
	record, err := dpadam.ReadBudget(o.budget())
	if err != nil {
		return 0, fmt.Errorf("budget: %w", err)
	}
	return record.PlannedShare(plans...)
}
