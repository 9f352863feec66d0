package runtime

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// A played sweep is one whose cells are not trained: their names say what becomes of them.
type played struct {
	o   SweepOptions
	ran []string
}

func play(t *testing.T, more string) *played {
	t.Helper()
	o, err := ParseSweep([]byte(sweepHead + more))
	if err != nil {
		t.Fatal(err)
	}
	p := &played{o: o}
	p.o.Out = filepath.Join(t.TempDir(), "swept")
	p.o.Run = func(_ context.Context, c *SweepCell, _ <-chan struct{}) error {
		p.ran = append(p.ran, c.Name)
		switch {
		case strings.HasPrefix(c.Name, "broken"):
			return &CellExit{Code: -1, Text: "signal: killed"}
		case strings.HasPrefix(c.Name, "dear"):
			return &CellExit{Code: ExitBudget, Text: "too dear"}
		case strings.HasPrefix(c.Name, "mute"):
			return nil
		}
		row := c.begunRow(CellDone)
		row.Metrics["valid_accuracy"] = 0.5 + 0.001*float64(len(p.ran))
		return p.o.writeMarker(c, row)
	}
	return p
}

func statuses(r *SweepResult) map[string]string {
	out := map[string]string{}
	for _, row := range r.Rows {
		out[row.Cell] = row.Status
	}
	return out
}

// A cell that fails is recorded and named, the others go on, what begins with its model waits;
// done cells are not run again, and those that failed are tried once more.
func TestSweepGoesOnAfterFailures(t *testing.T) {
	p := play(t, "budget: b\ncells: [{name: after, model: \"@broken\"}, {name: broken}, {name: mute}, {name: dear}, {name: good}, {name: last, model: \"@good\"}]\n")
	r, err := Sweep(t.Context(), p.o)
	if !errors.Is(err, ErrCells) || ExitCode(err) != ExitFailed || !strings.Contains(err.Error(), "broken: its process was ended by a signal") || !strings.Contains(err.Error(), "mute: ") {
		t.Fatal(err)
	}
	want := map[string]string{"after": CellDependent, "broken": CellFailed, "mute": CellFailed, "dear": CellTooDear, "good": CellDone, "last": CellDone}
	if got := statuses(r); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if !slices.Equal(p.ran, []string{"broken", "mute", "dear", "good", "last"}) {
		t.Errorf("ran %v", p.ran)
	}
	for _, row := range r.Rows {
		if row.Cell == "broken" && row.ExitCode != -1 || row.Cell == "mute" && row.ExitCode != ExitFailed {
			t.Errorf("%+v", row)
		}
	}
	p.ran = nil
	if _, err := Sweep(t.Context(), p.o); !errors.Is(err, ErrCells) || !slices.Equal(p.ran, []string{"broken", "mute", "dear"}) {
		t.Errorf("the second time ran %v, %v", p.ran, err)
	}
	p = play(t, "budget: b\ncells: [{name: dear}, {name: good}]\n")
	if _, err := Sweep(t.Context(), p.o); !errors.Is(err, dpadam.ErrBudgetSpent) || ExitCode(err) != ExitBudget || !strings.Contains(err.Error(), "dear") {
		t.Errorf("a budget that is spent: %v", err)
	}
}

// A sweep that is stopped, by its caller or its time, ends with what it has.
func TestSweepStops(t *testing.T) {
	p := play(t, "budget: b\ngrid: {lr: [1, 2, 3]}\n")
	stop := make(chan struct{})
	p.o.Stop = stop
	run := p.o.Run
	p.o.Run = func(ctx context.Context, c *SweepCell, s <-chan struct{}) error {
		if len(p.ran) == 1 {
			close(stop)
			<-s
			p.ran = append(p.ran, c.Name)
			return &CellExit{Code: ExitFailed, Text: "interrupted"}
		}
		return run(ctx, c, s)
	}
	r, err := Sweep(t.Context(), p.o)
	if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "1 of 3") {
		t.Fatal(err)
	}
	if got := statuses(r); got["lr-1"] != CellDone || got["lr-2"] != CellUnfinished || got["lr-3"] != CellUnfinished || len(p.ran) != 2 {
		t.Errorf("%v, ran %v", got, p.ran)
	}
	p.o.Stop, p.o.MaxTime = nil, time.Millisecond
	p.o.Run = func(_ context.Context, _ *SweepCell, s <-chan struct{}) error {
		<-s
		return ErrInterrupted
	}
	if r, err = Sweep(t.Context(), p.o); !errors.Is(err, ErrInterrupted) || statuses(r)["lr-2"] != CellUnfinished {
		t.Errorf("%v, %v", statuses(r), err)
	}
	p.o.Run, p.o.MaxTime = run, 0
	if r, err = Sweep(t.Context(), p.o); err != nil || statuses(r)["lr-3"] != CellDone {
		t.Errorf("%v, %v", statuses(r), err)
	}
}

// Done cells whose options change belong to another sweep; where they are computed does not matter.
func TestSweepRefusesOtherOptions(t *testing.T) {
	p := play(t, "budget: b\ngrid: {lr: [1, 2]}\n")
	if _, err := Sweep(t.Context(), p.o); err != nil {
		t.Fatal(err)
	}
	p.o.Cells[1].Options.Threads, p.o.Cells[1].Options.Library = 7, "elsewhere"
	if _, err := Sweep(t.Context(), p.o); err != nil {
		t.Error(err)
	}
	p.o.Cells[1].Options.ClipNorm = 7
	if _, err := Sweep(t.Context(), p.o); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "lr-2") {
		t.Errorf("%v", err)
	}
}

func TestSweepGroups(t *testing.T) {
	p := play(t, "public-data: true\ngrid: {lr: [1, 1000000], seed: [1, 2, 3]}\n")
	r, err := Sweep(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Sweep(t.Context(), p.o); err != nil || fmt.Sprint(len(again.Groups), *again.Best.Mean, again.Best.Settings) != fmt.Sprint(len(r.Groups), *r.Best.Mean, r.Best.Settings) {
		t.Errorf("read back: %+v, %v", again, err)
	}
	if len(r.Groups) != 2 || r.Metric != "valid_accuracy" || r.Smaller {
		t.Fatalf("%+v", r)
	}
	g := r.Groups[1]
	if g.Runs != 3 || math.Abs(*g.Mean-0.505) > 1e-12 || math.Abs(*g.Spread-0.001) > 1e-12 || math.Abs(*g.Min-0.504) > 1e-12 || math.Abs(*g.Max-0.506) > 1e-12 || SettingsText(g.Settings) != "lr 1000000" {
		t.Errorf("%s: %d, %v %v %v %v", SettingsText(g.Settings), g.Runs, *g.Mean, *g.Spread, *g.Min, *g.Max)
	}
	if SettingsText(r.Best.Settings) != "lr 1000000" || !strings.HasPrefix(r.Notice, "DATA DECLARED PUBLIC") {
		t.Errorf("best %v, %s", r.Best.Settings, r.Notice)
	}
	if r.Metric, r.Smaller = "valid_loss", SmallerIsBetter("valid_loss"); !r.Smaller || !r.Better(1, 2) {
		t.Error("a loss is to be made small")
	}
}

// sweptOptions is a sweep over the runs of the crash tests.
func sweptOptions(t *testing.T, more string) SweepOptions {
	t.Helper()
	dir := crashDir(t)
	o, err := ParseSweep([]byte(fmt.Sprintf("model: %s\ntask: classify\ntrain: %s\nvalid: %[2]s\nvalid-public: true\nout: %s\nrecords: %d\nexpected-batch: 8\n"+
		"max-length: 16\nmicrobatch: 8\nthreads: 1\nsteps: 3\nlr: 0.01\ncheckpoint-every: 1\naccountant: rdp\n", filepath.Join(dir, "model"), filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "swept"), crashRecords) + more))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Every cell of a sweep is charged to the budget; one that is stopped goes on; what is
// written at the top holds no times, and debug/ does.
func TestSweepIsChargedToTheBudget(t *testing.T) {
	budget := testBudget(t, dpadam.BudgetTerms{Epsilon: 8, Delta: 1e-3})
	o := sweptOptions(t, "budget: "+budget+"\nbudget-share: 0.4\ngrid: {lr: [0.001, 0.01]}\n")
	share, err := o.Plan(t.Context())
	if err != nil || !(share > 0.79 && share <= 0.8) {
		t.Fatalf("share %v, %v", share, err)
	}
	stop := make(chan struct{})
	close(stop)
	once := o
	once.Run = func(ctx context.Context, c *SweepCell, s <-chan struct{}) error { // the first cell is stopped within
		return once.RunCell(ctx, c, stop)
	}
	once.Cells = o.Cells[:1]
	if _, err := Sweep(t.Context(), once); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	r, err := Sweep(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if st := budgetOf(t, budget); len(st.Runs) != 2 {
		t.Errorf("the budget has %d runs", len(st.Runs))
	}
	for _, row := range r.Rows {
		if row.Status != CellDone || row.Steps != 3 || row.Epsilon == nil || !(*row.Epsilon > 0) || row.NoiseMultiplier == 0 || row.DataDeclared != "" || row.NotPrivate != "" || row.Metrics["valid_accuracy"] == 0 {
			t.Errorf("%+v", row)
		}
		if record, err := dpadam.ReadLedger(filepath.Join(o.Out, row.Out, "ledger")); err != nil || record.Charged() != 3 {
			t.Errorf("%s charged %d steps, %v", row.Cell, record.Charged(), err)
		}
		if left, err := filepath.Glob(filepath.Join(o.Out, row.Out, "checkpoint-*")); err != nil || len(left) > 0 {
			t.Errorf("checkpoints that nothing needs: %v, %v", left, err)
		}
	}
	if r.Notice != noticeBudget || r.Budget != "patients.budget" {
		t.Errorf("%q, %q", r.Budget, r.Notice)
	}
	checkSweepFiles(t, o.Out, 2)
}

// checkSweepFiles holds the files of a sweep to each other.
func checkSweepFiles(t *testing.T, out string, cells int) {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	table, err := csv.NewReader(strings.NewReader(string(read("results.csv")))).ReadAll()
	if err != nil || len(table) != cells+1 || !slices.Contains(table[0], "valid_accuracy") || !slices.Contains(table[0], "epsilon") {
		t.Errorf("%v, %v", table, err)
	}
	lines := strings.Split(strings.TrimSpace(string(read("results.jsonl"))), "\n")
	var row SweepRow
	if err := json.Unmarshal([]byte(lines[cells-1]), &row); err != nil || len(lines) != cells || row.Cell != table[cells][0] {
		t.Errorf("%v, %v", lines, err)
	}
	for _, name := range []string{"results.csv", "results.jsonl", "summary.csv", "sweep.json"} {
		if text := string(read(name)); strings.Contains(text, "seconds") || strings.Contains(text, "time") {
			t.Errorf("%s holds a time: %s", name, text)
		}
	}
	if info, err := os.Stat(filepath.Join(out, "debug")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("debug/: %v, %v", info, err)
	}
	if times := string(read("debug/times.jsonl")); strings.Count(times, "seconds") < cells {
		t.Errorf("times: %s", times)
	}
	if r, err := ReadSweep(out); err != nil || len(r.Rows) != cells {
		t.Errorf("%+v, %v", r, err)
	}
}

// Public data: seeded runs, one that begins with another's model, one that was killed before
// it wrote its result. Everything says that the data are declared public.
func TestSweepOfPublicData(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for long")
	}
	o := sweptOptions(t, "public-data: true\ntarget-epsilon: 3\ncells:\n- {name: pre, no-privacy: true}\n- {name: tuned, model: \"@pre\", grid: {seed: [3, 4]}}\n")
	r, err := Sweep(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	pre, tuned := r.Rows[0], r.Rows[1]
	if pre.Epsilon != nil || !strings.HasPrefix(pre.NotPrivate, "NOT PRIVATE") || tuned.Epsilon != nil || tuned.NominalEpsilon == nil || !(*tuned.NominalEpsilon <= 3) {
		t.Errorf("%+v, %+v", pre, tuned)
	}
	for _, row := range r.Rows {
		if row.DataDeclared != dataPublic {
			t.Errorf("%+v", row)
		}
	}
	if record, err := SavedOptions(filepath.Join(o.Out, "cells", "tuned_seed-3")); err != nil || record.Model != filepath.Join(o.Out, "cells", "pre") {
		t.Errorf("model %s, %v", record.Model, err)
	}
	c := &o.Cells[1]
	if err := os.Remove(o.markerPath(c)); err != nil { // killed between the run's end and its result
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(o.cellDir(c), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(o.cellDir(c), "ledger")); err != nil || string(after) != string(before) {
		t.Error("a run that had ended was run again")
	}
	if err := errors.Join(os.Remove(o.markerPath(c)), os.Remove(filepath.Join(o.cellDir(c), "release", "statement.txt"))); err != nil { // killed within
		t.Fatal(err)
	}
	again, err := Sweep(t.Context(), o)
	if err != nil || again.Rows[1].Metrics["valid_loss"] != tuned.Metrics["valid_loss"] {
		t.Errorf("a seeded run that was begun anew: %+v, %v", again, err)
	}
	if err := o.RunCell(t.Context(), c, nil); err != nil {
		t.Errorf("a cell that is done: %v", err)
	}
	if _, err := o.Cell("other"); ExitCode(err) != ExitUsage {
		t.Errorf("an unknown cell: %v", err)
	}
}
