package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The kept models of the matrix: ghost against loop, both against PyTorch, one
// record poisoned, the weights written back and the written file run. Those that
// an optimizer gave other parameters than PyTorch has, or that don't run as they
// are, are named here with what is known of them.
func TestKeptModels(t *testing.T) {
	const dir = "../../testdata/matrix"
	notes := map[string]bool{
		"albert-ts17-ortopt": true, // packs copies of the shared projections
		"gpt-neox-dyn23":     true, // its RotaryEmbedding runs for a batch of one only
		"qwen2-dyn23":        true,
		"t5-ts17-ortopt":     true, // RelativePositionBias has no kernel on a processor
		"bert-dyn18-nbits":   true, // four-bit weights, which PyTorch hasn't
		"opt-ts17-qdq4":      true,
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 30 {
		t.Fatalf("%s holds %d models", dir, len(entries))
	}
	for i, e := range entries {
		name := filepath.Base(e.Name())
		t.Run(name, func(t *testing.T) {
			if testing.Short() && i%8 != 0 {
				t.Skip("-short takes every eighth")
			}
			t.Parallel()
			r := examine(t.Context(), dir, name, options{write: true})
			want := pass
			if notes[name] {
				want = noted
			}
			if r.Verdict != want {
				t.Errorf("%s: %s", r.Verdict, r.Why)
			}
		})
	}
}
