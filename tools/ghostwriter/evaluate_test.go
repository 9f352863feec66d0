package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvaluate runs the verb on the demo's models.
func TestEvaluate(t *testing.T) {
	outputs := filepath.Join(t.TempDir(), "outputs.tsv")
	demo := filepath.Join("..", "..", "testdata", "demo")
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"evaluate", filepath.Join(demo, "pretrained"), "--task", "e2e", "--data", filepath.Join(demo, "private-test.csv"),
		"--limit", "4", "--beams", "2", "--max-new-tokens", "5", "--outputs", outputs, "--perplexity", "--json"}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var got struct {
		BLEU, Perplexity *float64
		ROUGE            *float64 `json:"rouge_l"`
		Outputs          int
		File             string `json:"outputs_file"`
	}
	if err := json.Unmarshal([]byte(stdout.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.BLEU == nil || got.ROUGE == nil || got.Perplexity == nil || got.Outputs != 4 || got.File != outputs {
		t.Errorf("%s", stdout.String())
	}
	if !strings.Contains(stderr.String(), "not covered by epsilon") {
		t.Errorf("nothing says that the figures are not covered: %q", stderr.String())
	}
	for want, args := range map[string][]string{
		"--task is missing":      {demo, "--data", "x"},
		"exists":                 {filepath.Join(demo, "pretrained"), "--task", "e2e", "--data", "x", "--outputs", outputs},
		"must be positive":       {demo, "--task", "e2e", "--data", "x", "--beams", "0"},
		"accepts 1 arg(s)":       {},
		"not written into":       {demo, "--task", "e2e", "--data", "x", "--outputs", "release/x.tsv"},
		"unknown flag: --return": {demo, "--return", "2"},
	} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), append([]string{"evaluate"}, args...), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: exit code %d, %q; want %q", args, code, stderr.String(), want)
		}
	}
}
