package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// ErrCells says that cells of a sweep failed; the others were run.
var ErrCells = errors.New("cells of the sweep failed")

// A sweep is one that goes on.
type sweep struct {
	*SweepOptions
	stop   <-chan struct{}     // of the caller, or when the time is over
	rows   map[string]SweepRow // by cell
	causes map[string]error    // of failed cells
}

// Sweep makes the runs of all cells, one after the other, and writes what they gave to
// results.jsonl, results.csv, summary.csv and sweep.json below Out. A cell that fails does not
// stop the others. Called again it goes on: cells that are done are not run again, one that was
// begun is resumed, those that failed are tried once more.
//
// The result is nil only when nothing could be begun. With it come ErrCells when a cell
// failed, an error that wraps dpadam.ErrBudgetSpent when the budget did not pay for one, and
// ErrInterrupted when it was stopped before the end.
func Sweep(ctx context.Context, o SweepOptions) (*SweepResult, error) {
	if o.Progress == nil {
		o.Progress = silent{}
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	cells, err := o.ordered()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(o.Out, "cells"), 0o755); err != nil {
		return nil, usage("--out: %w", err)
	}
	s := &sweep{SweepOptions: &o, rows: map[string]SweepRow{}, causes: map[string]error{}}
	if err := s.begin(cells); err != nil {
		return nil, err
	}
	var end func()
	s.stop, end = stopAfter(o.Stop, o.MaxTime)
	defer end()
	for _, c := range cells {
		if s.rows[c.Name].Status == CellDone {
			continue
		}
		if err := s.cell(ctx, c); err != nil {
			return nil, err
		}
	}
	result, err := s.write()
	if err != nil {
		return nil, err
	}
	return result, s.verdict(cells)
}

// begin takes over what an earlier call left.
func (s *sweep) begin(cells []*SweepCell) error {
	for _, c := range cells {
		row, err := s.readMarker(c)
		if err != nil {
			return err
		}
		if row == nil || row.Status != CellDone {
			begun := c.begunRow(CellUnfinished)
			row = &begun
		}
		s.rows[c.Name] = *row
	}
	return nil
}

// cell runs a cell and records what became of it. The error is one of writing that down.
func (s *sweep) cell(ctx context.Context, c *SweepCell) error {
	switch from := s.rows[c.from]; {
	case stopped(s.stop) || ctx.Err() != nil:
		return nil
	case c.from != "" && from.Status != CellDone:
		s.rows[c.Name] = c.begunRow(CellDependent)
		s.Progress.Message(fmt.Sprintf("cell %s waits for cell %s, which did not end", c.Name, c.from))
		return nil
	}
	s.Progress.Message(fmt.Sprintf("cell %s (%d of %d)", c.Name, s.done()+1, len(s.Cells)))
	run := s.Run
	if run == nil {
		run = s.RunCell
	}
	begun := time.Now()
	err := run(ctx, c, s.stop)
	var row SweepRow
	switch ended, merr := s.readMarker(c); {
	case merr != nil:
		return merr
	case err == nil && (ended == nil || ended.Status != CellDone):
		err = fmt.Errorf("cell %s ended and left no result", c.Name)
		fallthrough
	case err != nil:
		row = s.failed(c, err)
	default:
		row = *ended
	}
	s.rows[c.Name] = row
	if err := s.clock(row, time.Since(begun)); err != nil {
		return err
	}
	_, err = s.write()
	return err
}

// failed sorts the error of a cell.
func (s *sweep) failed(c *SweepCell, err error) SweepRow {
	switch {
	case errors.Is(err, ErrInterrupted), stopped(s.stop):
		return c.begunRow(CellUnfinished)
	case errors.Is(err, dpadam.ErrBudgetSpent):
		s.Progress.Message(fmt.Sprintf("cell %s: %v", c.Name, err))
		return c.begunRow(CellTooDear)
	}
	s.causes[c.Name] = err
	s.Progress.Message(fmt.Sprintf("cell %s failed, the others go on: %v", c.Name, err))
	row := c.begunRow(CellFailed)
	row.ExitCode = ExitCode(err)
	var exit *CellExit
	if errors.As(err, &exit) {
		row.ExitCode = exit.Code
	}
	return row
}

// A CellExit is how the process of a cell ended that failed.
type CellExit struct {
	Code int    // -1 for a signal
	Text string // what it said last
}

func (e *CellExit) Error() string {
	if e.Code < 0 {
		return "its process was ended by a signal: " + e.Text
	}
	return e.Text
}

// Unwrap makes the codes of the command errors again.
func (e *CellExit) Unwrap() error {
	if e.Code == ExitBudget {
		return dpadam.ErrBudgetSpent
	}
	return nil
}

// clock writes how long a cell took into debug/: times of private runs are not released.
func (s *sweep) clock(row SweepRow, took time.Duration) (err error) {
	dir, err := debugDir(s.Out, "")
	if err != nil {
		return err
	}
	line, err := json.Marshal(map[string]any{"cell": row.Cell, "status": row.Status, "seconds": took.Seconds()})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "times.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func (s *sweep) done() int {
	n := 0
	for _, r := range s.rows {
		if r.Status == CellDone {
			n++
		}
	}
	return n
}

// verdict is the error of the whole.
func (s *sweep) verdict(cells []*SweepCell) error {
	by := map[string][]string{}
	for _, c := range cells {
		by[s.rows[c.Name].Status] = append(by[s.rows[c.Name].Status], c.Name)
	}
	list := func(status string) string { return strings.Join(by[status], ", ") }
	switch {
	case len(by[CellFailed]) > 0:
		texts := []string{}
		for _, name := range by[CellFailed] {
			texts = append(texts, fmt.Sprintf("%s: %v", name, s.causes[name]))
		}
		return fmt.Errorf("%w: %s", ErrCells, strings.Join(texts, "; "))
	case len(by[CellTooDear]) > 0:
		return fmt.Errorf("%w: it does not pay for the cells %s", dpadam.ErrBudgetSpent, list(CellTooDear))
	case s.done() < len(cells):
		return fmt.Errorf("%w: %d of %d cells are done; the same command goes on", ErrInterrupted, s.done(), len(cells))
	}
	return nil
}

// stopAfter closes a channel when stop is closed or the time is over.
func stopAfter(stop <-chan struct{}, after time.Duration) (<-chan struct{}, func()) {
	if after == 0 {
		return stop, func() {}
	}
	out, end := make(chan struct{}), make(chan struct{})
	timer := time.NewTimer(after)
	go func() {
		defer timer.Stop()
		select {
		case <-stop:
			close(out)
		case <-timer.C:
			close(out)
		case <-end:
		}
	}()
	return out, func() { close(end) }
}
