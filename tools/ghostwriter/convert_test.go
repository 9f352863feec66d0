package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const hfGPT2 = "../../runtime/convert/testdata/decoders/gpt2"

// What was written is one object on standard output; what a user should know goes
// to standard error.
func TestConvertReports(t *testing.T) {
	dir := t.TempDir()
	dst := filepath.Join(dir, "out")
	code, stdout, stderr := command(t, "convert", hfGPT2, "--to", "onnx", "-o", dst, "--head", "classify", "--labels", "4", "--seed", "7", "--dtype", "float16", "--json")
	if code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	var r struct {
		Out        string   `json:"out"`
		ModelType  string   `json:"model_type"`
		Class      string   `json:"class"`
		Head       string   `json:"head"`
		Parameters int64    `json:"parameters"`
		Bytes      int64    `json:"bytes"`
		Inputs     []string `json:"inputs"`
		Outputs    []string `json:"outputs"`
		Fresh      []string `json:"fresh"`
	}
	d := json.NewDecoder(strings.NewReader(stdout))
	if err := d.Decode(&r); err != nil || d.More() {
		t.Fatalf("%v in %q", err, stdout)
	}
	if r.Out != dst || r.ModelType != "gpt2" || r.Class != "GPT2ForSequenceClassification" || r.Head != "classify" || r.Parameters < 500 ||
		!slices.Equal(r.Inputs, []string{"input_ids", "attention_mask"}) || !slices.Equal(r.Outputs, []string{"logits"}) {
		t.Errorf("%+v", r)
	}
	var sum int64
	entries, err := os.ReadDir(dst)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if r.Bytes != sum {
		t.Errorf("%d bytes, the directory has %d", r.Bytes, sum)
	}
	if !strings.Contains(stderr, "score.weight") || !strings.Contains(stderr, "pad_token_id") {
		t.Errorf("the fresh head and the missing padding id are not said: %q", stderr)
	}
	config, err := os.ReadFile(filepath.Join(dst, "config.json"))
	if err != nil || !strings.Contains(string(config), `"LABEL_3"`) {
		t.Errorf("config.json names no four labels: %v, %s", err, config)
	}
}

func TestConvertRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	for want, args := range map[string][]string{
		"-o DST is missing":      {"convert", hfGPT2},
		"is not empty":           {"convert", hfGPT2, "-o", full},
		"does not exist":         {"convert", filepath.Join(full, "nowhere"), "-o", out},
		"--to \"tflite\"":        {"convert", hfGPT2, "--to", "tflite", "-o", out},
		"--dtype \"int8\"":       {"convert", hfGPT2, "-o", out, "--dtype", "int8"},
		"--config config.json":   {"convert", "new", "-o", out},
		"no head \"mlm\"":        {"convert", hfGPT2, "-o", out, "--head", "mlm"},
		"a cache belongs":        {"convert", hfGPT2, "-o", out, "--head", "classify", "--cache"},
		"4 labels are asked for": {"convert", hfGPT2, "-o", out, "--labels", "4"},
		"accepts 1 arg(s)":       {"convert", hfGPT2, "more", "-o", out},
	} {
		code, _, stderr := command(t, args...)
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %q; want 2 and %q", args, code, stderr, want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("%v wrote %s", args, out)
		}
	}
}
