package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A checkpoint goes to ONNX, to fewer bits, to Triton and back by the command, each
// time with one JSON object on standard output.
func TestConvertThereAndBack(t *testing.T) {
	dir := t.TempDir()
	onnx, hf, small := filepath.Join(dir, "onnx"), filepath.Join(dir, "hf"), filepath.Join(dir, "small")
	for _, c := range []struct {
		args []string
		keys []string
		file string
	}{
		{[]string{hfGPT2, "--to", "onnx", "-o", onnx}, []string{"class"}, "onnx/model.onnx"},
		{[]string{onnx, "--to", "hf", "-o", hf, "--max-shard-size", "1K"}, []string{"tensors", "evidence", "compared", "files"}, "hf/model.safetensors.index.json"},
		{[]string{onnx, "--to", "triton", "-o", filepath.Join(dir, "repository"), "--name", "m", "--max-batch-size", "4"}, []string{"config", "dynamic_batching"}, "repository/m/1/model.onnx"},
	} {
		code, stdout, stderr := command(t, append([]string{"convert", "--json"}, c.args...)...)
		var r map[string]any
		if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil {
			t.Fatalf("%v: exit %d, %v, %s", c.args, code, err, stderr)
		}
		for _, k := range c.keys {
			if r[k] == nil {
				t.Errorf("%v: no %q in %s", c.args, k, stdout)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, c.file)); err != nil {
			t.Error(err)
		}
	}
	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, []byte(`{"model_type": "gpt2", "vocab_size": 20, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wide := filepath.Join(dir, "wide")
	if code, _, stderr := command(t, "convert", "new", "--config", config, "-o", wide); code != 0 {
		t.Fatal(stderr)
	}
	code, stdout, stderr := command(t, "convert", wide, "--quantize", "int8", "--block-size", "16", "-o", small, "--json")
	if code != 0 || !strings.Contains(stdout, `"top1_agreement"`) {
		t.Fatalf("exit %d, %s, %s", code, stdout, stderr)
	}
	for what, args := range map[string][]string{
		"bits":           {"convert", wide, "--quantize", "int3", "-o", filepath.Join(dir, "x")},
		"a block":        {"convert", wide, "--quantize", "int4", "--block-size", "7", "-o", filepath.Join(dir, "x")},
		"no destination": {"convert", wide, "--to", "triton"},
		"a name":         {"convert", wide, "--to", "triton", "-o", filepath.Join(dir, "x"), "--name", "../x"},
		"a size":         {"convert", wide, "--to", "hf", "-o", filepath.Join(dir, "x"), "--max-shard-size", "large"},
		"quantised":      {"convert", small, "--to", "hf", "-o", filepath.Join(dir, "x")},
		"not empty":      {"convert", onnx, "--to", "hf", "-o", hf},
		"no such model":  {"convert", filepath.Join(dir, "none"), "--to", "hf", "-o", filepath.Join(dir, "x")},
	} {
		if code, _, stderr := command(t, args...); code != 2 || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
			t.Errorf("%s: exit %d, %s", what, code, stderr)
		}
	}
}
