package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecipesCommand: the list, a recipe, and that what is shown is a configuration file whose estimate is the recipe's.
func TestRecipesCommand(t *testing.T) {
	var list struct {
		Recipes []struct{ Name, Task, Title string }
	}
	code, out, errs := command(t, "recipes", "--json")
	if code != 0 || json.Unmarshal([]byte(out), &list) != nil || len(list.Recipes) < 20 {
		t.Fatalf("exit %d: %s %s", code, out, errs)
	}
	for _, r := range list.Recipes {
		if code, text, errs := command(t, "recipes", "show", r.Name); code != 0 || !strings.Contains(text, "task: "+r.Task+"\n") || !strings.HasPrefix(text, "# "+r.Title) {
			t.Errorf("%s: exit %d: %s %s", r.Name, code, text, errs)
		}
	}
	if code, _, errs := command(t, "recipes", "show", "nothing"); code != 2 || !strings.Contains(errs, "there are classify") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestEstimateOfRecipes: every recipe that fits a language model, with the table of batches and the guidance.
func TestEstimateOfRecipes(t *testing.T) {
	_, text, _ := command(t, "recipes", "show", "e2e")
	config := filepath.Join(t.TempDir(), "e2e.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	estimate := func(more ...string) estimateReport {
		t.Helper()
		return estimated(t, append([]string{"--model", demoModel, "--records", "42061", "--target-epsilon", "3", "--accountant", "rdp", "--no-measure"}, more...)...)
	}
	for _, c := range []struct {
		args   []string
		batch  float64
		steps  int64
		reason string
		warns  int
	}{
		{[]string{"--task", "e2e", "--clip-norm", "1", "--lr", "1e-5"}, 1024, 411, "as published", 2},
		{[]string{"--config", config, "--records", "1000"}, 1024, 0, "", 0}, // a file is explicit: more than N
		{[]string{"--recipe", "persona", "--max-length", "48"}, 1024, 411, "by rule", 0},
		{[]string{"--task", "lm", "--max-length", "48", "--expected-batch", "64"}, 64, 6573, "as given", 1},
	} {
		if c.steps == 0 {
			code, _, errs := command(t, append([]string{"estimate", "--model", demoModel, "--target-epsilon", "3", "--no-measure"}, c.args...)...)
			if code != 2 || !strings.Contains(errs, "must not exceed the number of records") {
				t.Errorf("%v: exit %d: %s", c.args, code, errs)
			}
			continue
		}
		r := estimate(c.args...)
		if r.ExpectedBatch != c.batch || r.Steps != c.steps || !strings.Contains(r.BatchReason, c.reason) || len(r.Warnings) != c.warns || r.Epsilon == nil || *r.Epsilon > 3 {
			t.Errorf("%v: %+v", c.args, r)
		}
		chosen := 0
		for _, b := range r.Batches {
			if b.Chosen && b.Batch == c.batch && b.Steps == c.steps {
				chosen++
			}
		}
		if chosen != 1 || len(r.Batches) < 5 {
			t.Errorf("%v: batches %+v", c.args, r.Batches)
		}
	}
	code, out, errs := command(t, "estimate", "--model", demoModel, "--records", "42061", "--target-epsilon", "3", "--accountant", "rdp", "--no-measure", "--recipe", "e2e", "--clip-norm", "3")
	for _, want := range []string{"recipe e2e; expected batch: as published for 42061 records", "<- chosen", "against the paper's guidance: the clipping norm of 3"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d: %s %s; want %q", code, out, errs, want)
		}
	}
}
