package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// budgetJSON runs a budget verb with --json and returns its object.
func budgetJSON(t *testing.T, args ...string) map[string]any {
	t.Helper()
	code, stdout, stderr := command(t, append(append([]string{"budget"}, args...), "--json")...)
	if code != 0 {
		t.Fatalf("budget %v: exit code %d: %s", args, code, stderr)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(stdout), &m); err != nil {
		t.Fatalf("%s: %v", stdout, err)
	}
	return m
}

// From creating a budget to the run that it does not pay for.
func TestBudgetOfTheCommand(t *testing.T) {
	b := newBench(t)
	path := b.path("patients.budget")
	m := budgetJSON(t, "create", path, "--epsilon", "4", "--delta", "1e-3", "--sample-rate", "0.16", "--steps", "4")
	if m["epsilon"] != 4.0 || m["mode"] != "renyi-filter" || m["left"] != 1.0 || len(m["runs"].([]any)) != 0 || !(m["order"].(float64) > 1) {
		t.Errorf("%v", m)
	}
	args := []string{"train", "--model", b.path("model"), "--task", "classify", "--train", b.path("train.jsonl"), "--steps", "2", "--expected-batch", "4",
		"--max-length", "16", "--microbatch", "4", "--threads", "1", "--budget", path, "--budget-share", "0.6"}
	if code, _, stderr := command(t, append(args, "--out", b.path("one"))...); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := command(t, append(args, "--out", b.path("two"))...)
	if code != 4 || !strings.Contains(stderr, "does not fit") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(b.path("two")); err == nil {
		t.Error("the refused run left its directory")
	}
	m = budgetJSON(t, "settle", path, b.path("one"))
	run := m["runs"].([]any)[0].(map[string]any)
	if run["name"] != "one" || run["settled"] != true || run["steps"] != 2.0 || !(run["share"].(float64) > 0.59 && run["share"].(float64) <= 0.6) {
		t.Errorf("%v", m)
	}
	code, stdout, _ := command(t, "budget", "show", path)
	if code != 0 || !strings.Contains(stdout, "settled by its ledger") || !strings.Contains(stdout, "left 40") {
		t.Errorf("%s", stdout)
	}
	code, stdout, _ = command(t, "budget", "statement", path)
	if code != 0 || !strings.Contains(stdout, "with epsilon = 4 at delta = 0.001") {
		t.Errorf("%s", stdout)
	}
	if m := budgetJSON(t, "statement", path); m["overdrawn"] != false || m["not_covered"] == nil {
		t.Errorf("%v", m)
	}
	code, stdout, _ = command(t, "privacy", "statement", b.path("one"))
	if code != 0 || !strings.Contains(stdout, "patients.budget") {
		t.Errorf("%s", stdout)
	}
	// The head was left behind: nobody knows how many lines there should be.
	if err := os.Rename(path+".head", b.path("elsewhere")); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "budget", "show", path); code != 2 || !strings.Contains(stderr, ".head") {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestBadBudgets(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no verb":               {nil, "create"},
		"no file":               {[]string{"create", "--epsilon", "1", "--delta", "1e-5"}, "create"},
		"no epsilon":            {[]string{"create", "FILE", "--delta", "1e-5"}, "--epsilon"},
		"no delta":              {[]string{"create", "FILE", "--epsilon", "1"}, "--delta"},
		"epsilon 0":             {[]string{"create", "FILE", "--epsilon", "0", "--delta", "1e-5"}, "epsilon"},
		"delta 1":               {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1"}, "delta"},
		"order 1":               {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--order", "1"}, "order"},
		"order that gives none": {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--order", "2"}, "order"},
		"order twice":           {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--order", "20", "--steps", "3", "--sample-rate", "0.1"}, "--order"},
		"half a hint":           {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--steps", "3"}, "--sample-rate"},
		"accountant of filter":  {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--accountant", "rdp"}, "--settings-fixed-in-advance"},
		"order of fixed":        {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--order", "9", "--settings-fixed-in-advance"}, "--order"},
		"unknown accountant":    {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--accountant", "abacus", "--settings-fixed-in-advance"}, "abacus"},
		"relation":              {[]string{"create", "FILE", "--epsilon", "1", "--delta", "1e-5", "--relation", "swap"}, "swap"},
		"show nothing":          {[]string{"show", "FILE"}, "budget create"},
		"settle nothing":        {[]string{"settle", "FILE", "DIR"}, "missing"},
	} {
		path := filepath.Join(t.TempDir(), "budget")
		args := []string{"budget"}
		for _, a := range c.args {
			args = append(args, strings.Replace(a, "FILE", path, 1))
		}
		code, stdout, stderr := command(t, args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
			t.Errorf("%s: left %v", name, entries)
		}
	}
}
