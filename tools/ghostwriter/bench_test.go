package main

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A peak is measured by this program once more, which in a test is the test's
// binary: the variable makes that the command.
func TestMain(m *testing.M) {
	if os.Getenv("GHOSTWRITER_TEST_COMMAND") != "" {
		main()
	}
	os.Exit(m.Run())
}

const tinyModel = "../../testdata/models/gpt2-ts17"

func TestBench(t *testing.T) {
	t.Setenv("GHOSTWRITER_TEST_COMMAND", "1")
	dir := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := command(t, "bench", "--model", tinyModel, "--length", "4,8", "--microbatch", "2", "--rounds", "1", "--threads", "1",
		"--variants", "plain,dp,products", "--out", dir, "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var printed, written runtime.BenchReport
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	data, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &written); err != nil || len(written.Cells) != 2 || len(printed.Cells) != 2 {
		t.Fatalf("%v, %d cells written, %d printed", err, len(written.Cells), len(printed.Cells))
	}
	cell := printed.Cells[0]
	if cell.Model != "gpt2-ts17" || cell.Loss != "causal-lm" || len(cell.Variants) != 3 {
		t.Errorf("%+v", cell)
	}
	for _, m := range cell.Variants[:2] { // products have no peak of their own
		if m.PeakBytes < 1<<20 {
			t.Errorf("%s: peak of %d bytes", m.Name, m.PeakBytes)
		}
	}
	for name, label := range map[string]string{"bench.svg": "gpt2-ts17", "scaling.svg": "gpt2-ts17, microbatch 2"} {
		drawn, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(drawn), label) || !strings.Contains(string(drawn), "</svg>") {
			t.Errorf("%s: %v, %d bytes", name, err, len(drawn))
		}
		f, err := os.Open(filepath.Join(dir, strings.Replace(name, "svg", "png", 1)))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(f)
		f.Close()
		if err != nil || picture.Bounds().Dx() < 500 {
			t.Errorf("%s as PNG: %v", name, err)
		}
	}
	code, stdout, stderr = command(t, "bench", "--merge", filepath.Join(dir, "bench.json"))
	if code != 0 || !strings.Contains(stdout, "length 8, microbatch 2") || !strings.Contains(stdout, "ghostwriter dp") {
		t.Errorf("merge: exit %d, %q, %s", code, stdout, stderr)
	}
}

func TestBenchBadInput(t *testing.T) {
	for name, args := range map[string][]string{
		"no such model": {"--model", "nowhere/"}, "unknown variant": {"--model", tinyModel, "--variants", "fast"},
		"length": {"--model", tinyModel, "--length", "0"}, "flag": {"--lenght", "3"}, "merge": {"--merge", "nowhere.json"},
		"not JSON": {"--merge", "bench_test.go"}, "peak": {"--peak-of", "dp", "--model", "a,b"}, "memory": {"--max-memory", "much"},
		"decoding what has no cache": {"--model", "../../testdata/models/bert-ts17", "--decode"},
	} {
		if code, _, stderr := command(t, append([]string{"bench"}, args...)...); code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", name, code, stderr)
		}
	}
}
