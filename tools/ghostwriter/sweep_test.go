package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sweep runs the verb on a file with the bench's model and data.
func (b bench) sweep(t *testing.T, more string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("GHOSTWRITER_TEST_COMMAND", "1") // cells are processes of this program
	b.write(t, "sweep.yaml", []byte(fmt.Sprintf("model: %s\ntask: classify\ntrain: %[2]s\nvalid: %[2]s\nvalid-public: true\nout: %[3]s\nrecords: 24\nexpected-batch: 4\n"+
		"max-length: 16\nmicrobatch: 4\nthreads: 1\ndelta: 0.001\naccountant: rdp\nsteps: 1\nlr: 0.001\n", b.path("model"), b.path("train.jsonl"), b.path("swept"))+more))
	return command(t, append([]string{"sweep", "--config", b.path("sweep.yaml")}, flags...)...)
}

// A sweep from its plan to its figures: charged cells, and the same command again.
func TestSweepOfTheCommand(t *testing.T) {
	b := newBench(t)
	budgetJSON(t, "create", b.path("budget"), "--epsilon", "8", "--delta", "1e-3")
	more := "budget-share: 0.3\ngrid: {lr: [0.001, 0.01]}\n"
	code, stdout, stderr := b.sweep(t, more, "--budget", b.path("budget"), "--dry-run")
	if code != 0 || !strings.Contains(stdout, "lr-0.01\n") || !strings.Contains(stdout, "60 % of the budget") && !strings.Contains(stdout, "60.00 %") && !strings.Contains(stdout, "59.") {
		t.Fatalf("%d, %s, %s", code, stdout, stderr)
	}
	if _, err := os.Stat(b.path("swept")); err == nil {
		t.Fatal("a dry run wrote something")
	}
	code, stdout, stderr = b.sweep(t, more, "--budget", b.path("budget"), "--json")
	var r struct {
		Metric string
		Rows   []struct {
			Status  string
			Epsilon *float64
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil {
		t.Fatalf("%d, %v, %s, %s", code, err, stdout, stderr)
	}
	if len(r.Rows) != 2 || r.Rows[1].Status != "done" || r.Rows[1].Epsilon == nil || r.Metric != "valid_accuracy" {
		t.Errorf("%s", stdout)
	}
	for _, name := range []string{"lines.svg", "lines.png", "results.csv", "summary.csv", "cells/lr-0.001/model.onnx", "debug/lr-0.01.log"} {
		if _, err := os.Stat(filepath.Join(b.path("swept"), name)); err != nil {
			t.Error(err)
		}
	}
	code, stdout, stderr = b.sweep(t, more, "--budget", b.path("budget"))
	if code != 0 || !strings.Contains(stdout, "best: lr ") || !strings.Contains(stdout, "covered by that budget as a whole") || strings.Contains(stderr, "step 1/1") {
		t.Errorf("again: %d, %s, %s", code, stdout, stderr)
	}
}

// A cell whose process fails is named with what it said, and the others are run.
func TestSweepWithACellThatFails(t *testing.T) {
	b := newBench(t)
	code, stdout, stderr := b.sweep(t, "public-data: true\nno-privacy: true\ncells: [{name: lost, train: nowhere.jsonl}, {name: good}]\n")
	if code != 1 || !strings.Contains(stderr, "lost: ") || !strings.Contains(stderr, "nowhere.jsonl") || !strings.Contains(stdout, "good: valid_accuracy") || !strings.Contains(stdout, "lost: failed") ||
		!strings.Contains(stdout, "DATA DECLARED PUBLIC") {
		t.Errorf("%d, %s, %s", code, stdout, stderr)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"sweep"}, "--config"}, {[]string{"sweep", "--config", b.path("nothing")}, "nothing"},
		{[]string{"sweep", "--config", b.path("sweep.yaml"), "--max-hours", "-1"}, "--max-hours"},
		{[]string{"sweep", "--config", b.path("sweep.yaml"), "--cell", "x"}, `no cell "x"`},
	} {
		if code, _, stderr := command(t, c.args...); code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d, %s", c.args, code, stderr)
		}
	}
}
