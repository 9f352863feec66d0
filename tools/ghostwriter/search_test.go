package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// search runs the verb on a file with the bench's model and data.
func (b bench) search(t *testing.T, more string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	b.write(t, "search.yaml", []byte(fmt.Sprintf("model: %s\ntask: classify\ntrain: %[2]s\nvalid: %[2]s\nvalid-public: true\nout: %[3]s\nrecords: 24\nexpected-batch: 4\n"+
		"max-length: 16\nmicrobatch: 4\nthreads: 1\ndelta: 0.001\nsteps: 1\nlr: [0.001, 0.01]\n", b.path("model"), b.path("train.jsonl"), b.path("out"))+more))
	return command(t, append([]string{"search", "--config", b.path("search.yaml")}, flags...)...)
}

// A search by random stopping says what the whole costs and what it chose, and not how many
// runs it made.
func TestSearchByRandomStopping(t *testing.T) {
	b := newBench(t)
	more := "target-epsilon: 6\nsearch: {mode: random-stopping, mean-runs: 1.5}\n"
	code, stdout, stderr := b.search(t, more, "--dry-run", "--json")
	var dry, done map[string]any
	if err := json.Unmarshal([]byte(stdout), &dry); code != 0 || err != nil {
		t.Fatalf("%d, %v, %s", code, err, stderr)
	}
	if _, err := os.Stat(b.path("out")); err == nil {
		t.Fatal("a dry run wrote something")
	}
	code, stdout, stderr = b.search(t, more, "--json")
	if err := json.Unmarshal([]byte(stdout), &done); code != 0 || err != nil {
		t.Fatalf("%d, %v, %s", code, err, stderr)
	}
	if done["epsilon"] != dry["epsilon"] || !(done["epsilon"].(float64) <= 6) || done["noise_multiplier"] != dry["noise_multiplier"] || done["best"] == nil || dry["best"] != nil {
		t.Errorf("dry run %v, search %v", dry, done)
	}
	if _, tells := done["runs"]; tells || stderr != "" {
		t.Errorf("it tells of its runs: %s %q", stdout, stderr)
	}
	code, stdout, _ = command(t, "privacy", "statement", b.path("out"))
	if code != 0 || !strings.Contains(stdout, "random stopping over 2 cells") {
		t.Errorf("%d, %s", code, stdout)
	}
	if code, _, stderr = command(t, "train", "--resume", "--out", b.path("out")); code != 2 {
		t.Errorf("a run of a search can be resumed: %d, %s", code, stderr)
	}
}

func TestSearchByCompositionOfTheCommand(t *testing.T) {
	b := newBench(t)
	budgetJSON(t, "create", b.path("budget"), "--epsilon", "8", "--delta", "1e-3")
	more := "budget-share: 0.4\n"
	flags := []string{"--mode", "composition", "--budget", b.path("budget")}
	code, stdout, stderr := b.search(t, more, append(flags, "--dry-run")...)
	if code != 0 || !strings.Contains(stdout, "would be taken") || !strings.Contains(stdout, "cell-002") {
		t.Fatalf("%d, %s, %s", code, stdout, stderr)
	}
	code, stdout, stderr = b.search(t, more, append(flags, "--json")...)
	var m map[string]any
	if err := json.Unmarshal([]byte(stdout), &m); code != 0 || err != nil || len(m["runs"].([]any)) != 2 || m["best"] == nil || m["epsilon"] != nil {
		t.Fatalf("%d, %v, %s, %s", code, err, stdout, stderr)
	}
	if r := m["reserved"].(float64); !(r > 0.79 && r <= 0.8) {
		t.Errorf("reserved %v", r)
	}
	if code, _, stderr := command(t, "search"); code != 2 || !strings.Contains(stderr, "--config") {
		t.Errorf("without a file: %d, %s", code, stderr)
	}
	if code, _, stderr := b.search(t, "search: {mode: guess}\n"); code != 2 || !strings.Contains(stderr, "guess") {
		t.Errorf("unknown mode: %d, %s", code, stderr)
	}
}
