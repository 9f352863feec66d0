package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// Flags mean what transformers means by them; what means nothing is refused before a model is opened.
func TestGenerateFlags(t *testing.T) {
	const model = "../../testdata/demo/pretrained"
	base := []string{"generate", model, "--prompt", "name : The Vaults", "--max-new-tokens", "6", "--json"}
	var greedy generateReport
	generated(t, &greedy, base...)
	for what, flags := range map[string][]string{
		"one beam":                {"--beams", "1"},
		"the likeliest alone":     {"--sample", "--top-k", "1", "--seed", "3"},
		"a mass of nothing":       {"--sample", "--top-p", "0", "--seed", "3"},
		"recomputing":             {"--no-cache"},
		"no sampling, in words":   {"--sample=false"},
		"a penalty that is none":  {"--repetition-penalty", "1"},
		"forbidding what is none": {"--forbid-ids", "[[1,2,3,4,5,6,7]]"},
	} {
		var got generateReport
		generated(t, &got, append(base, flags...)...)
		if got.Outputs[0].Text != greedy.Outputs[0].Text {
			t.Errorf("%s: %q, want %q", what, got.Outputs[0].Text, greedy.Outputs[0].Text)
		}
	}
	var beams generateReport
	generated(t, &beams, append(base, "--beams", "4", "--return", "3")...)
	if len(beams.Outputs) != 3 || beams.Outputs[0].Text == beams.Outputs[1].Text {
		t.Errorf("three texts of four beams: %+v", beams)
	}
	for _, flags := range [][]string{
		{"--max-new-tokens", "0"}, {"--beams", "-1"}, {"--temperature", "0", "--sample"}, {"--early-stopping", "soon"}, {"--forbid-ids", "7"},
		{"--top-p", "2", "--sample"}, {"--return", "2"},
	} {
		code, _, stderr := command(t, append(base[:4:4], flags...)...)
		if code != 2 || !strings.Contains(stderr, "ghostwriter: ") {
			t.Errorf("%v: exit %d, %s", flags, code, stderr)
		}
	}
}

func generated(t *testing.T, into *generateReport, args ...string) {
	t.Helper()
	code, stdout, stderr := command(t, args...)
	if code != 0 {
		t.Fatalf("%v: exit %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatal(err)
	}
}

// A model that was written again with a cache generates what it did without.
func TestConvertWithCache(t *testing.T) {
	const model = "../../testdata/demo/pretrained"
	out := t.TempDir() + "/cached"
	if code, stdout, stderr := command(t, "convert", model, "--to", "onnx", "--cache", "-o", out, "--json"); code != 0 || !strings.Contains(stdout, "past_key_values.0.key") {
		t.Fatalf("exit %d: %s %s", code, stdout, stderr)
	}
	var want, got generateReport
	flags := []string{"--prompt", "name : The Vaults", "--max-new-tokens", "12", "--json"}
	generated(t, &want, append([]string{"generate", model}, flags...)...)
	generated(t, &got, append([]string{"generate", out}, flags...)...)
	if want.Outputs[0].Text != got.Outputs[0].Text || got.Outputs[0].Text == "" {
		t.Errorf("%+v, want %+v", got, want)
	}
	if code, _, stderr := command(t, "convert", out, "--cache", "-o", out+"-again"); code != 2 || !strings.Contains(stderr, "already") {
		t.Errorf("a second cache: exit %d, %s", code, stderr)
	}
}
