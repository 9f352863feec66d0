package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reported runs the verb and returns where it wrote, whether the page is marked, and the page.
func reported(t *testing.T, args ...string) (out string, debug bool, page, stderr string) {
	t.Helper()
	code, stdout, stderr := command(t, append([]string{"report", "--json"}, args...)...)
	var r reportReport
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil {
		t.Fatalf("report %v: %d, %v, %s", args, code, err, stderr)
	}
	data, err := os.ReadFile(r.Out)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(r.Out); err != nil || r.Debug != (info.Mode().Perm() == 0o600) {
		t.Errorf("%s: mode %v, %v", r.Out, info.Mode(), err)
	}
	return r.Out, r.Debug, string(data), stderr
}

// What reads debug/ is written to debug/; without it the page goes to release/.
func TestReportOfARun(t *testing.T) {
	b := newBench(t)
	if code, _, stderr := b.train(t, "--debug"); code != 0 {
		t.Fatal(stderr)
	}
	out, debug, page, _ := reported(t, b.path("out"))
	if out != filepath.Join(b.path("out"), "debug", "report.html") || !debug || !strings.Contains(page, "values not covered by ε") {
		t.Errorf("%s, %t", out, debug)
	}
	out, debug, page, stderr := reported(t, b.path("out"), "-o", b.path("page.html"))
	if out != b.path("page.html") || debug || strings.Contains(page, "covered by ε</strong>") || !strings.Contains(stderr, "debug/ is left out") {
		t.Errorf("%s, %t, %s", out, debug, stderr)
	}
	code, statement, _ := command(t, "privacy", "statement", b.path("out"))
	if line := strings.Split(statement, "\n")[2]; code != 0 || !strings.Contains(page, line) {
		t.Errorf("the page does not say what privacy statement says: %s", line)
	}
	if _, debug, _, _ = reported(t, b.path("out"), "-o", b.path("page.html"), "--debug"); !debug {
		t.Error("--debug")
	}
	if err := os.RemoveAll(filepath.Join(b.path("out"), "debug")); err != nil {
		t.Fatal(err)
	}
	if out, debug, _, stderr = reported(t, b.path("out")); out != filepath.Join(b.path("out"), "release", "report.html") || debug || stderr != "" {
		t.Errorf("%s, %t, %s", out, debug, stderr)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"report"}, "at least 1"}, {[]string{"report", b.path("model")}, "neither a run"}, {[]string{"report", b.path("nowhere")}, "nowhere"},
		{[]string{"report", b.path("out"), b.path("out")}, "-o FILE.html"}, {[]string{"report", b.path("out"), "--debug"}, "debug"},
	} {
		if code, _, stderr := command(t, c.args...); code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d, %s", c.args, code, stderr)
		}
	}
}
