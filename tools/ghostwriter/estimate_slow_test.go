//go:build slow && linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A training process stays within --max-memory, and takes no more than a tenth above
// what estimate said. It can take less: estimate counts the longest length beside
// the moments, which the first step makes, and few records may have that length.
func TestProcessPeak(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, []byte(`{"model_type":"gpt2","vocab_size":768,"n_positions":128,"n_embd":384,"n_layer":6,"n_head":6,"bos_token_id":767,"eos_token_id":767}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "convert", "new", "--config", config, "-o", model); code != 0 {
		t.Fatal(stderr)
	}
	run := []string{"--model", model, "--tokenizer", demoModel, "--task", "e2e", "--train", demoData, "--noise-multiplier", "1", "--expected-batch", "256", "--max-length", "48", "--steps", "2", "--threads", "2"} // records fill the longest length, and from the second step on the moments are there
	// Of a process of its own, as the run is.
	estimated := func(args ...string) (r estimateReport) {
		cmd := exec.Command(os.Args[0], append([]string{"estimate", "--json", "--no-measure"}, args...)...)
		cmd.Env = append(os.Environ(), "GHOSTWRITER_TEST_COMMAND=1")
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	free := estimated(run...)
	for _, limit := range []int64{free.Memory.Total + free.Memory.Microbatch/10, free.Memory.Total - free.Memory.Microbatch/2} {
		limited := append(run, "--max-memory", megabytesOf(limit))
		e := estimated(limited...)
		peak := childPeak(t, append([]string{"train", "--out", filepath.Join(dir, "out"+megabytesOf(limit))}, limited...)...)
		ratio := float64(e.Memory.Total) / float64(peak)
		t.Logf("limit %s, microbatch %d: predicted %d MB, peak %d MB, ratio %.3f", megabytesOf(limit), e.Microbatch, e.Memory.Total>>20, peak>>20, ratio)
		if peak > limit {
			t.Errorf("the peak of %d bytes is above the limit of %d", peak, limit)
		}
		if ratio < 0.9 {
			t.Errorf("predicted %+v, the peak is %d (%.3f)", e.Memory, peak, ratio)
		}
	}
}

// childPeak runs the command in a process of its own and returns the largest
// resident set that it had.
func childPeak(t *testing.T, args ...string) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "GHOSTWRITER_TEST_COMMAND=1")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var peak int64
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return peak
		case <-time.After(2 * time.Millisecond):
			data, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
			if _, rest, ok := strings.Cut(string(data), "VmHWM:"); ok {
				line, _, _ := strings.Cut(rest, "kB")
				if kb, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil {
					peak = max(peak, kb<<10)
				}
			}
		}
	}
}
