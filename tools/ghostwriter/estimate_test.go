package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	demoModel = "../../testdata/demo/pretrained"
	demoData  = "../../testdata/demo/private-train.csv"
)

// megabytesOf writes a limit.
func megabytesOf(n int64) string { return strconv.FormatInt(n>>20, 10) + "M" }

func estimated(t *testing.T, args ...string) estimateReport {
	t.Helper()
	code, stdout, stderr := command(t, append([]string{"estimate", "--json", "--threads", "1"}, args...)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var r estimateReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	return r
}

// What estimate says of a run is what train then does.
func TestEstimate(t *testing.T) {
	run := []string{"--model", demoModel, "--task", "e2e", "--train", demoData, "--target-epsilon", "4", "--expected-batch", "32", "--steps", "2", "--max-length", "48"}
	e := estimated(t, run...)
	code, stdout, stderr := command(t, append([]string{"train", "--json", "--threads", "1", "--out", filepath.Join(t.TempDir(), "out")}, run...)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var did trainReport
	if err := json.Unmarshal([]byte(stdout), &did); err != nil {
		t.Fatal(err)
	}
	if *e.Epsilon != *did.Epsilon || *e.Delta != *did.Delta || e.NoiseMultiplier != did.NoiseMultiplier || e.Steps != did.Planned {
		t.Errorf("estimated %+v, trained %+v", e, did)
	}
	if !strings.Contains(stderr, "microbatch") || e.Microbatch < 1 {
		t.Errorf("microbatch %d; train said %s", e.Microbatch, stderr)
	}
	m := e.Memory
	if m.Total != m.MemoryUse.Total() || m.Weights != 4*e.Coordinates || m.Moments != 8*e.Coordinates || m.Lattice != 8*e.Coordinates || m.Microbatch == 0 || m.Process == 0 {
		t.Errorf("memory %+v of %d coordinates", m, e.Coordinates)
	}
	if e.Time == nil || e.Time.Predicted || !(e.Time.Step > 0) || e.Time.Total != e.Time.Step*2 || !(e.Time.Update > 0) {
		t.Errorf("time %+v", e.Time)
	}
	share := 0.0
	for _, l := range e.Lengths {
		share += l.Share
		if l.Peak > m.Microbatch || !(l.Seconds > 0) || len(l.Largest) == 0 {
			t.Errorf("%+v; the microbatch takes %d", l, m.Microbatch)
		}
	}
	if share < 0.999 || share > 1.001 {
		t.Errorf("the lengths hold %g of the records", share)
	}
}

func TestEstimateWithoutData(t *testing.T) {
	run := []string{"--model", demoModel, "--task", "e2e", "--records", "5000", "--noise-multiplier", "1", "--max-length", "64", "--no-measure"}
	free := estimated(t, run...)
	if free.Records != 5000 || free.Time == nil || !free.Time.Predicted || !(free.Time.Step > 0) || len(free.Lengths) != 1 || free.Lengths[0].Tokens != 64 {
		t.Errorf("%+v", free)
	}
	// A limit that the largest microbatch does not fit into gives a smaller one; a
	// limit that nothing fits into is refused with a remedy.
	beside := free.Memory.Total - free.Memory.Microbatch
	less := estimated(t, append(run, "--max-memory", megabytesOf(beside+free.Memory.Microbatch/2))...)
	if less.Microbatch >= free.Microbatch || less.Microbatch < 1 {
		t.Errorf("with half the memory the microbatch is %d, with all %d", less.Microbatch, free.Microbatch)
	}
	for _, c := range [][]string{
		append(run, "--max-memory", "1M"),
		append(run, "--microbatch", "32", "--max-memory", megabytesOf(beside+free.Memory.Microbatch/4)),
		{"--model", demoModel, "--task", "e2e", "--noise-multiplier", "1"},
		{"--model", demoModel, "--task", "e2e", "--records", "10"},
		{"--model", demoModel, "--task", "e2e", "--records", "10", "--noise-multiplier", "1", "--resume", "--out", "x"},
	} {
		code, _, stderr := command(t, append([]string{"estimate"}, c...)...)
		if code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", c, code, stderr)
		}
	}
}
