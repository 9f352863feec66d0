package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/report"
)

// A sweepLine is what the command line says of a sweep.
type sweepLine struct {
	config, out, budget, metric, cell string
	hours                             float64
	dry                               bool
}

func (a *app) sweepCommand() *cobra.Command {
	line := &sweepLine{}
	c := &cobra.Command{
		Use:   "sweep --config FILE.yaml --out DIR",
		Short: "Train over a grid of settings, and draw what came out",
		Long: "Sweep trains once for every combination of a grid, and for a list of named cells, and writes tables and figures of what\n" +
			"came out. The file has train's names for all runs, and grid, cells, repeats, public-data and metric (docs/sweep.md).\n" +
			"Every run is charged to one budget file, unless the file says public-data: true; choosing the best cell by results on\n" +
			"private data is covered by that budget as a whole, not by the cell's own epsilon.\n" +
			"The same command goes on with a sweep that was stopped: cells that are done are not run again, one that was begun is\n" +
			"resumed, those that failed are tried once more. Each cell is a process of its own: its memory is free afterwards, and\n" +
			"what kills it does not kill the others.",
		Example: "  ghostwriter sweep --config sweep.yaml --dry-run\n" +
			"  ghostwriter sweep --config sweep.yaml --budget e2e.budget --out figure2/ --max-hours 2\n" +
			"  ghostwriter report figure2/",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := a.readSweep(line)
			if err != nil {
				return err
			}
			switch {
			case line.cell != "":
				return a.sweepCell(cmd.Context(), o, line.cell)
			case line.dry:
				return a.planSweep(cmd.Context(), o)
			}
			return a.sweep(cmd.Context(), o, line)
		},
	}
	fl := c.Flags()
	fl.StringVar(&line.config, "config", "", "the YAML file")
	fl.StringVar(&line.out, "out", "", "the directory to write, instead of the file's")
	fl.StringVar(&line.budget, "budget", "", "the budget file, instead of the file's")
	fl.StringVar(&line.metric, "metric", "", "what cells are compared by, such as valid_accuracy (default: the first that they have)")
	fl.StringVar(&line.cell, "cell", "", "run this cell alone, in this process; several machines may each take some")
	fl.Float64Var(&line.hours, "max-hours", 0, "stop after this time, within a run after the step in progress; the same command goes on")
	fl.BoolVar(&line.dry, "dry-run", false, "list the cells, say what they cost together, and stop")
	return c
}

func (a *app) readSweep(line *sweepLine) (runtime.SweepOptions, error) {
	var o runtime.SweepOptions
	if line.config == "" {
		return o, fmt.Errorf("%w: --config FILE.yaml is missing", errCommandLine)
	}
	if line.hours < 0 || math.IsNaN(line.hours) || line.hours > 1e6 {
		return o, fmt.Errorf("%w: --max-hours %g must be positive", errCommandLine, line.hours)
	}
	data, err := os.ReadFile(line.config)
	if err != nil {
		return o, fmt.Errorf("%w: --config: %v", errCommandLine, err)
	}
	if o, err = runtime.ParseSweep(data); err != nil {
		return o, err
	}
	if line.out != "" {
		o.Out = line.out
	}
	if line.metric != "" {
		o.Metric = line.metric
	}
	o.MaxTime = time.Duration(line.hours * float64(time.Hour))
	for i := range o.Cells {
		c := &o.Cells[i]
		a.commonOptions(&c.Options)
		if line.budget != "" && !c.Public {
			c.Options.Budget = line.budget
		}
	}
	return o, nil
}

// sweepCell runs one cell in this process.
func (a *app) sweepCell(ctx context.Context, o runtime.SweepOptions, name string) error {
	c, err := o.Cell(name)
	if err != nil {
		return err
	}
	p := newTrainProgress(a.stderr)
	defer p.end()
	o.Progress = p
	return o.RunCell(context.WithoutCancel(ctx), c, ctx.Done())
}

// planSweep lists what would be run.
func (a *app) planSweep(ctx context.Context, o runtime.SweepOptions) error {
	share, err := o.Plan(ctx)
	if err != nil {
		return err
	}
	type cell struct {
		Cell     string         `json:"cell"`
		Settings map[string]any `json:"settings"`
		Public   bool           `json:"public_data"`
	}
	cells := []cell{}
	for _, c := range o.Cells {
		cells = append(cells, cell{c.Name, c.Settings, c.Public})
	}
	return a.print(map[string]any{"cells": cells, "reserved": share}, func() {
		for _, c := range cells {
			a.printf("%s%s\n", c.Cell, map[bool]string{true: "  (data declared PUBLIC: not charged)"}[c.Public])
		}
		a.printf("%d cells; %.2f %% of the budget would be taken\n", len(cells), math.Ceil(share*1e4)/100)
	})
}

// sweep runs all cells, each in a process of its own, and draws what came out.
func (a *app) sweep(ctx context.Context, o runtime.SweepOptions, line *sweepLine) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the program to start for each cell: %w", err)
	}
	p := newTrainProgress(a.stderr)
	o.Progress, o.Stop = p, ctx.Done()
	o.Run = func(ctx context.Context, c *runtime.SweepCell, stop <-chan struct{}) error {
		return a.cellProcess(ctx, self, a.cellArguments(line, o.Out, c.Name), filepath.Join(o.Out, "debug", c.Name+".log"), stop)
	}
	r, err := runtime.Sweep(context.WithoutCancel(ctx), o)
	p.end()
	if r == nil {
		return err
	}
	figures, ferr := report.WriteFigures(o.Out, r)
	if ferr != nil && err == nil {
		err = ferr
	}
	perr := a.print(r, func() { a.printSweep(r, o.Out, figures) })
	if err != nil {
		return err
	}
	return perr
}

// cellArguments are the command line of a cell's process.
func (a *app) cellArguments(line *sweepLine, out, cell string) []string {
	args := []string{"sweep", "--config", line.config, "--out", out, "--cell", cell}
	for flag, value := range map[string]string{"--budget": line.budget, "--ort-lib": a.library, "--device": a.device} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if a.threads != 0 {
		args = append(args, "--threads", fmt.Sprint(a.threads))
	}
	return args
}

func (a *app) printSweep(r *runtime.SweepResult, out string, figures []string) {
	for _, row := range r.Rows {
		text := row.Status
		if v, ok := row.Metrics[r.Metric]; ok {
			text = fmt.Sprintf("%s %.4f", r.Metric, v)
		}
		a.printf("%s: %s\n", row.Cell, text)
	}
	if r.Best != nil {
		a.printf("best: %s: %s %.4f%s\n", runtime.SettingsText(r.Best.Settings), r.Metric, *r.Best.Mean, spreadText(r.Best))
	}
	a.printf("%s\n", r.Notice)
	for _, f := range figures {
		a.printf("drawn: %s\n", filepath.Join(out, f))
	}
	a.printf("written to %s; ghostwriter report %s makes a page of it\n", out, out)
}

func spreadText(g *runtime.SweepGroup) string {
	if g.Spread == nil {
		return ""
	}
	return fmt.Sprintf(" (mean of %d, standard deviation %.2g)", g.Runs, *g.Spread)
}
