package convert_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

// A new model trains privately as it is written, whatever its weights are stored
// as, and what comes out runs.
func TestNewModelsTrainPrivately(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		dtype  ir.DType
	}{
		"gpt2 in float16": {`{"model_type": "gpt2", "vocab_size": 40, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2, "pad_token_id": 0}`, ir.Float16},
		"qwen2 in bfloat16": {`{"model_type": "qwen2", "vocab_size": 40, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
			"num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0}`, ir.BFloat16},
	} {
		t.Run(name, func(t *testing.T) {
			dir := trainingDir(t, c.config)
			model := filepath.Join(dir, "model")
			_, err := convert.New(t.Context(), filepath.Join(dir, "config.json"), model, convert.Options{Head: convert.HeadClassify, Labels: 2, Seed: 1, DType: c.dtype})
			if err != nil {
				t.Fatal(err)
			}
			r, err := runtime.Finetune(t.Context(), runtime.FinetuneOptions{
				Model: model, Task: "classify", Train: filepath.Join(dir, "train.jsonl"), Out: filepath.Join(dir, "out"), Accountant: "rdp",
				TargetEpsilon: 8, Steps: 3, ExpectedBatch: 8, LearningRate: 1e-2, MaxLength: 16, Microbatch: 8, Threads: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Steps != 3 {
				t.Errorf("%d steps", r.Steps)
			}
			before, after := initializers(t, model), initializers(t, filepath.Join(dir, "out"))
			for name, x := range before {
				trained := after[name]
				if trained == nil || trained.DType != x.DType {
					t.Fatalf("%s is stored as %v, was %v", name, trained, x.DType)
				}
				a, err1 := x.Float32s()
				b, err2 := trained.Float32s()
				if err1 != nil || err2 != nil || slices.Equal(a, b) {
					t.Errorf("%s did not change (%v, %v)", name, err1, err2)
				}
			}
			m, err := runtime.Open(filepath.Join(dir, "out"), runtime.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for _, v := range data(t, run(t, m, tokens(t, 5, 6, 7))["logits"]) {
				if math.IsNaN(float64(v)) {
					t.Error("the trained model answers NaN")
				}
			}
		})
	}
}

// trainingDir holds a config, a vocabulary and records.
func trainingDir(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	vocabulary := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'p'; c++ {
		vocabulary = append(vocabulary, string(c), "##"+string(c))
	}
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, "{\"text\": %q, \"label\": %d}\n", strings.Repeat(string(rune('a'+i%16)), 1+i%7), i%2)
	}
	for name, text := range map[string]string{"config.json": config, "vocab.txt": strings.Join(vocabulary, "\n") + "\n", "train.jsonl": rows.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// initializers are the floating parameters of a model directory.
func initializers(t *testing.T, dir string) map[string]*ir.Tensor {
	t.Helper()
	m, err := ir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*ir.Tensor{}
	g := m.Graph()
	for name, x := range g.Inits {
		if x.DType.IsFloat() && len(x.Dims) > 0 && !g.Lifted[name] {
			out[name] = x
		}
	}
	return out
}
