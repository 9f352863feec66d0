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

// A training process stays within --max-memory, and takes what estimate said, to a
// tenth: where the first run, on padding, takes most, and where a later one beside the
// moments does; with microbatches of every size that a limit leaves.
func TestProcessPeak(t *testing.T) {
	for _, c := range []struct {
		name, shape, length string
		extra               []string
	}{
		{"wide", `"n_embd":384,"n_layer":6,"n_head":6`, "48", nil},
		{"narrow, all records alike", `"n_embd":128,"n_layer":8,"n_head":2`, "8", nil},
		{"sgd, two passes", `"n_embd":256,"n_layer":4,"n_head":4`, "48", []string{"--optimizer", "sgd", "--two-pass"}},
		{"low memory", `"n_embd":256,"n_layer":4,"n_head":4`, "48", []string{"--memory", "low", "--ema", "0.9"}},
	} {
		t.Run(c.name, func(t *testing.T) { checkProcess(t, c.shape, append(c.extra, "--max-length", c.length)) })
	}
}

func checkProcess(t *testing.T, shape string, extra []string) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, []byte(`{"model_type":"gpt2","vocab_size":768,"n_positions":128,`+shape+`,"bos_token_id":767,"eos_token_id":767}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "convert", "new", "--config", config, "-o", model); code != 0 {
		t.Fatal(stderr)
	}
	run := append([]string{"--model", model, "--tokenizer", demoModel, "--task", "e2e", "--train", demoData, "--noise-multiplier", "1", "--expected-batch", "256", "--steps", "2", "--threads", "2"}, extra...) // from the second step on the moments are there
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
	free := estimated(run...).Memory
	whole := free.MemoryUse.Vectors() + free.Process + free.Sessions + free.Garbage + free.MemoryUse.Microbatch
	limits := []int64{whole + whole/10}
	if less := free.MemoryUse.Microbatch / 2; less > 32<<20 { // beside which two processes differ little
		limits = append(limits, whole-less)
	}
	for _, limit := range limits {
		limited := append(run, "--max-memory", megabytesOf(limit))
		e := estimated(limited...)
		peak := childPeak(t, append([]string{"train", "--out", filepath.Join(dir, "out"+megabytesOf(limit))}, limited...)...)
		ratio := float64(e.Memory.Total) / float64(peak)
		t.Logf("limit %s, microbatch %d: predicted %d MB, peak %d MB, ratio %.3f", megabytesOf(limit), e.Microbatch, e.Memory.Total>>20, peak>>20, ratio)
		if peak > limit {
			t.Errorf("the peak of %d bytes is above the limit of %d", peak, limit)
		}
		if ratio < 0.9 || ratio > 1.1 {
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
