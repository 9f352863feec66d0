package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestLabelNames: a classifier's own order of a task's classes holds, where it names them all.
func TestLabelNames(t *testing.T) {
	for name, c := range map[string]struct {
		config, task string
		want         []string
	}{
		"another order":    {`{"id2label": {"0": "Entailment", "1": "neutral", "2": "CONTRADICTION"}}`, "mnli", []string{"entailment", "neutral", "contradiction"}},
		"other names":      {`{"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}`, "mnli", nil},
		"fewer names":      {`{"id2label": {"0": "entailment", "1": "neutral"}}`, "mnli", nil},
		"one class more":   {`{"id2label": {"0": "x", "1": "not_entailment", "2": "entailment"}}`, "qnli", []string{"x", "not_entailment", "entailment"}},
		"none":             {`{}`, "mnli", nil},
		"lines":            {`{"id2label": {"0": "bad", "1": "fair", "2": "good"}}`, "classify", []string{"bad", "fair", "good"}},
		"lines, twice one": {`{"id2label": {"0": "bad", "1": "bad", "2": "good"}}`, "classify", nil},
	} {
		dir := t.TempDir()
		model, err := os.ReadFile(filepath.Join(models, "bert-ts17", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string]string{"model.onnx": string(model), "config.json": c.config, "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Open(dir, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		r, err := newReader(m, &FinetuneOptions{Model: dir, Task: c.task})
		if err != nil || !slices.Equal(r.labels, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, r, err, c.want)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
