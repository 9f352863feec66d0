package runtime

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every trained model is evaluated, its figures stand in the results and choose the best; on
// the data that training was scored on they are the same.
func TestSweepEvaluates(t *testing.T) {
	o := sweptOptions(t, "")
	valid := o.Cells[0].Options.Valid
	o = sweptOptions(t, fmt.Sprintf("public-data: true\nno-privacy: true\nevaluate: {data: %s, batch: 4}\ngrid: {lr: [0.001, 0.01]}\n", valid))
	r, err := Sweep(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		accuracy, ok := row.Metrics["accuracy"]
		if !ok || accuracy != row.Metrics["valid_accuracy"] || math.Abs(row.Metrics["cross_entropy"]-row.Metrics["valid_loss"]) > 1e-6 {
			t.Errorf("%v", row.Metrics)
		}
		for _, count := range countsOfEvaluation {
			if _, is := row.Metrics[count]; is {
				t.Errorf("the count %s is no figure", count)
			}
		}
	}
	if r.Metric != "accuracy" || r.Best == nil {
		t.Errorf("compared by %q", r.Metric)
	}
	o.Cells[0].Evaluate = &SweepEvaluation{Data: valid, Limit: 3}
	if _, err := Sweep(t.Context(), o); ExitCode(err) != ExitUsage {
		t.Errorf("another evaluation of a cell that is done: %v", err)
	}
}

// A run whose task is that of its recipe is evaluated on that task.
func TestSweepEvaluatesTheRecipesTask(t *testing.T) {
	o, err := ParseSweep([]byte("model: m\nrecipe: e2e\ntrain: private.csv\nbudget: b\ntarget-epsilon: 3\nevaluate: {data: other.csv, public: true}\nout: swept\n"))
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	if e, err := o.Cells[0].evaluateOptions("m"); err != nil || e.Task != "e2e" {
		t.Errorf("%+v, %v", e, err)
	}
}

// Generated texts are kept beside the cell; an evaluation whose outputs a killed call left is made anew.
func TestSweepGenerates(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for long")
	}
	demo := filepath.Join("..", "testdata", "demo")
	dir := t.TempDir()
	rows, err := os.ReadFile(filepath.Join(demo, "private-test.csv"))
	if err != nil {
		t.Fatal(err)
	}
	few := filepath.Join(dir, "few.csv")
	if err := os.WriteFile(few, []byte(strings.Join(strings.SplitAfter(string(rows), "\n")[:9], "")), 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := ParseSweep([]byte(fmt.Sprintf("model: %s\ntask: e2e\ntrain: %s\nout: %s\nrecords: 8\nexpected-batch: 4\nsteps: 1\nno-privacy: true\npublic-data: true\nthreads: 1\nmicrobatch: 8\n"+
		"evaluate: {data: %[2]s, limit: 2, beams: 2, max-new-tokens: 5}\n", filepath.Join(demo, "pretrained"), few, filepath.Join(dir, "swept"))))
	if err != nil {
		t.Fatal(err)
	}
	outputs := filepath.Join(dir, "swept", "cells", "run.outputs.tsv")
	if err := os.MkdirAll(filepath.Dir(outputs), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outputs, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Sweep(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Rows[0].Metrics["bleu"]; !ok || r.Metric != "bleu" {
		t.Errorf("%v", r.Rows[0].Metrics)
	}
	if text, err := os.ReadFile(outputs); err != nil || strings.Contains(string(text), "old") || strings.Count(string(text), "\n") < 2 {
		t.Errorf("%q, %v", text, err)
	}
}

func TestSweepEvaluationsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ more, says string }{
		"private data":         {"budget: b\nevaluate: {data: other.jsonl}\n", "public: true"},
		"the training data":    {"budget: b\nevaluate: {data: private.jsonl, public: true}\n", "must be public, but cell run is charged"},
		"no data":              {"budget: b\nevaluate: {public: true}\n", "data, the evaluation file, is missing"},
		"an unknown name":      {"budget: b\nevaluate: {data: x, beam: 3}\n", "beam"},
		"a task that is none":  {"budget: b\nevaluate: {data: x, public: true, task: guess}\n", "unknown task"},
		"a negative number":    {"budget: b\nevaluate: {data: x, limit: -1}\n", "limit"},
		"a file of no purpose": {"budget: b\nevaluate: {data: x, public: true, mismatched: y}\n", "MNLI"},
		"in the grid":          {"budget: b\ngrid: {evaluate: [1]}\n", "can't vary"},
	} {
		o, err := ParseSweep([]byte(sweepHead + c.more))
		if err == nil {
			err = o.validate()
		}
		if err == nil || ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
