package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// classifier makes a model directory with names of its classes and a vocabulary of letters.
func classifier(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	model, err := os.ReadFile(filepath.Join("..", "..", "testdata", "models", "bert-ts17", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
	for c := 'a'; c <= 'z'; c++ {
		vocabulary += string(c) + "\n##" + string(c) + "\n"
	}
	for name, data := range map[string]string{
		"model.onnx": string(model), "vocab.txt": vocabulary,
		"config.json": `{"vocab_size": 97, "max_position_embeddings": 64, "id2label": {"0": "bad", "1": "fair", "2": "good"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClassifyVerb(t *testing.T) {
	dir := classifier(t)
	lines := filepath.Join(t.TempDir(), "texts.jsonl")
	if err := os.WriteFile(lines, []byte("{\"text\": \"ab\", \"pair\": \"cd\"}\n{\"text\": \"ab\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--texts", lines, "--json-lines"},
		{"--text", "ab", "--pair", "cd"},
		{"--text", "ab"},
	} {
		var out, said bytes.Buffer
		if code := run(t.Context(), append([]string{"classify", dir, "--json"}, args...), &out, &said); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, said.String())
		}
		var report classifyReport
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		for _, o := range report.Outputs {
			if len(o.Scores) != 3 || o.Scores[o.Label] != o.Score || o.Score < 1./3 {
				t.Errorf("%v: %+v", args, o)
			}
		}
		if len(report.Outputs) == 2 && report.Outputs[0].Score == report.Outputs[1].Score {
			t.Error("a second text changes nothing")
		}
	}
}

func TestTextVerbsRefuse(t *testing.T) {
	dir := classifier(t)
	broken := filepath.Join(t.TempDir(), "texts.jsonl")
	if err := os.WriteFile(broken, []byte("{\"text\": \"ab\"}\n{\"secret\": 1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"classify " + dir, "--text"},
		{"classify " + dir + " --text a --texts b", "exactly one"},
		{"classify " + dir + " --texts " + broken + " --json-lines", "line 2"},
		{"classify " + dir + " --text " + strings.Repeat("a", 99), "truncated"},
		{"embed " + dir + " --text a", "last_hidden_state"},
		{"embed " + dir + " --text a --pooling median", "median"},
	} {
		var out, said bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &out, &said)
		if code != runtime.ExitUsage || !strings.Contains(said.String(), c.says) || strings.Contains(said.String(), "secret") {
			t.Errorf("%s: exit %d: %s", c.args, code, said.String())
		}
	}
}
