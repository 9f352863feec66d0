//go:build !race

// What the process holds is part of an estimate; under the race detector it grows from one to the next.

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// --memory auto is normal where that fits; where a limit leaves too little for it, low
// is chosen and its smaller peak predicted; what the user says is taken.
func TestMemoryIsChosenByTheLimit(t *testing.T) {
	dir := t.TempDir()
	config, model := filepath.Join(dir, "config.json"), filepath.Join(dir, "model")
	const deep = `{"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_embd":64,"n_head":2,"n_layer":6,"n_positions":256,"vocab_size":96,"layer_norm_epsilon":1e-5,"activation_function":"gelu_new","tie_word_embeddings":true}`
	if err := os.WriteFile(config, []byte(deep), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "convert", "new", "--config", config, "-o", model); code != 0 {
		t.Fatal(stderr)
	}
	run := []string{"--model", model, "--tokenizer", demoModel, "--task", "lm", "--records", "5000", "--noise-multiplier", "1", "--max-length", "128", "--microbatch", "32", "--no-measure"}
	auto, low := estimated(t, run...), estimated(t, append(run, "--memory", "low")...)
	if auto.MemoryMode != "normal" || low.MemoryMode != "low" {
		t.Errorf("modes %q and %q; want normal and low", auto.MemoryMode, low.MemoryMode)
	}
	if low.Memory.Microbatch > auto.Memory.Microbatch*2/3 {
		t.Errorf("a microbatch takes %d bytes in low memory, %d in normal", low.Memory.Microbatch, auto.Memory.Microbatch)
	}
	between := low.Memory.Total + (auto.Memory.Microbatch-low.Memory.Microbatch)/2
	tight := append(run, "--max-memory", megabytesOf(between))
	if e := estimated(t, tight...); e.MemoryMode != "low" || e.Microbatch != 32 || e.Memory.Total > between {
		t.Errorf("with %d bytes: mode %q, %d records in %d bytes", between, e.MemoryMode, e.Microbatch, e.Memory.Total)
	}
	if code, _, stderr := command(t, append([]string{"estimate", "--memory", "normal"}, tight...)...); code != 2 {
		t.Errorf("--memory normal: exit %d, %s", code, stderr)
	}
	if code, _, stderr := command(t, append([]string{"estimate", "--memory", "little"}, run...)...); code != 2 {
		t.Errorf("--memory little: exit %d, %s", code, stderr)
	}
}
