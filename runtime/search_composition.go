package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// searchFile lists the runs of a search by composition that have ended.
const searchFile = "search.json"

// composition makes a run for every cell, one after the other, each charged to the budget. It
// can be called again after it was stopped: runs that ended are not repeated, one that was
// begun goes on.
func (o *SearchOptions) composition(ctx context.Context) (*SearchResult, error) {
	result := &SearchResult{Mode: o.Mode, Epsilon: math.NaN(), Delta: math.NaN(), Grid: len(o.Cells)}
	if o.DryRun {
		return result, o.planComposition(ctx, result)
	}
	result.Out = o.Out
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, usage("--out: %w", err)
	}
	done, err := o.readRuns()
	if err != nil {
		return nil, err
	}
	var stop error
	for n := range o.Cells {
		if run, ok := done[n+1]; ok {
			result.Runs = append(result.Runs, run)
			continue
		}
		run, err := o.cellRun(ctx, n)
		if run != nil {
			result.Runs = append(result.Runs, *run)
			if err := o.writeRuns(result.Runs); err != nil {
				return nil, err
			}
		}
		if stop = err; stop != nil {
			break
		}
	}
	result.Best = bestOf(result.Runs)
	record, err := dpadam.ReadBudget(o.Cells[0].Options.Budget)
	if err != nil {
		return nil, errors.Join(stop, err)
	}
	if result.Reserved, err = record.Share(); err != nil {
		return nil, errors.Join(stop, err)
	}
	if len(result.Runs) == 0 && stop != nil {
		return nil, stop
	}
	return result, stop
}

// cellRun makes the run of a cell, or goes on with it.
func (o *SearchOptions) cellRun(ctx context.Context, n int) (*SearchRun, error) {
	run := o.Cells[n].Options
	run.Out, run.Stop, run.Progress = o.cellOut(n), o.Stop, o.Progress
	run.Resume = exists(outputDir{path: run.Out}.ledger())
	o.Progress.Message(fmt.Sprintf("%s of %d: %v", cellName(n), len(o.Cells), o.Cells[n].Settings))
	r, err := Finetune(ctx, run)
	if r == nil {
		return nil, err
	}
	out := &SearchRun{Cell: n + 1, Settings: o.Cells[n].Settings, Steps: r.Steps, Epsilon: nullable(r.Epsilon), Score: nullable(r.Score), Out: cellName(n)}
	return out, err
}

// bestOf is the run with the largest score.
func bestOf(runs []SearchRun) *SearchRun {
	var best *SearchRun
	for i, r := range runs {
		if r.Score != nil && (best == nil || *r.Score > *best.Score) {
			best = &runs[i]
		}
	}
	return best
}

// writeRuns and readRuns keep what ended in search.json; every number in it was released by a run.
func (o *SearchOptions) writeRuns(runs []SearchRun) error {
	return durable.WriteJSON(filepath.Join(o.Out, searchFile), 0o644, runs)
}

func (o *SearchOptions) readRuns() (map[int]SearchRun, error) {
	out := map[int]SearchRun{}
	data, err := os.ReadFile(filepath.Join(o.Out, searchFile))
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	var runs []SearchRun
	if err == nil {
		err = json.Unmarshal(data, &runs)
	}
	if err != nil {
		return nil, usage("%s: %w", filepath.Join(o.Out, searchFile), err)
	}
	for _, r := range runs {
		if r.Cell < 1 || r.Cell > len(o.Cells) || !sameSettings(r.Settings, o.Cells[r.Cell-1].Settings) {
			return nil, usage("%s: cell %d belongs to another search; choose another --out", filepath.Join(o.Out, searchFile), r.Cell)
		}
		out[r.Cell] = r
	}
	return out, nil
}

// sameSettings compares as JSON, which has one kind of number.
func sameSettings(a, b map[string]any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

// planComposition says what part of the budget the runs would take.
func (o *SearchOptions) planComposition(ctx context.Context, result *SearchResult) error {
	record, err := dpadam.ReadBudget(o.Cells[0].Options.Budget)
	if err != nil {
		return err
	}
	var plans []*dpadam.Plan
	for i := range o.Cells {
		c := &o.Cells[i]
		if c.Options.Records == 0 && (c.Options.SampleRate == 0 || c.Options.ExpectedBatch == 0) {
			return usage("the search: give records, the public number of records, for a dry run")
		}
		config, err := c.config()
		if err != nil {
			return err
		}
		p, err := dpadam.NewPlanContext(ctx, config)
		if err != nil {
			return fmt.Errorf("the search: cell %d: %w", i+1, err)
		}
		epsilon, err := p.Epsilon(p.Planned())
		if err != nil {
			return err
		}
		plans = append(plans, p)
		result.Runs = append(result.Runs, SearchRun{Cell: i + 1, Settings: c.Settings, Steps: p.Steps(), Epsilon: nullable(epsilon.Epsilon), Out: cellName(i)})
	}
	result.Reserved, err = record.PlannedShare(plans...)
	return err
}
