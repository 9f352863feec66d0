package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// auditCommandLine runs the verb.
func auditCommandLine(t *testing.T, args ...string) (code int, out, messages string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"audit"}, args...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

type auditAnswer struct {
	Debug   string  `json:"debug_output"`
	Mode    string  `json:"mode"`
	Verdict string  `json:"verdict"`
	M       int     `json:"canaries"`
	Guesses int     `json:"guesses"`
	Claimed float64 `json:"claimed_epsilon"`
	Bound   float64 `json:"lower_bound"`
	Most    float64 `json:"most"`
	Sigma   float64 `json:"noise_multiplier"`
	Power   float64 `json:"power"`
}

func auditJSON(t *testing.T, wantCode int, args ...string) auditAnswer {
	t.Helper()
	code, out, messages := auditCommandLine(t, append(args, "--json")...)
	if code != wantCode {
		t.Fatalf("%q: exit code %d, want %d; %s", args, code, wantCode, messages)
	}
	var a auditAnswer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%q: %v in %s", args, err, out)
	}
	if !strings.HasPrefix(a.Debug, "NOT FOR RELEASE") {
		t.Errorf("%q: no banner: %s", args, out)
	}
	return a
}

// A correct run is not refuted, exit code 0. (Above its claim with probability below 1e-20.)
func TestAuditOfCorrectSteps(t *testing.T) {
	a := auditJSON(t, 0, "--target-epsilon", "2", "--delta", "1e-5", "--steps", "3")
	if a.Mode != "white-box" || a.Verdict != "not refuted" || a.M != 20000 || a.Claimed != 2 || !(a.Bound > 0.5 && a.Bound <= 2) {
		t.Errorf("%+v", a)
	}
	code, out, _ := auditCommandLine(t, "--white-box", "--target-epsilon", "1", "--steps", "1", "--canaries", "5000")
	if code != 0 || !strings.Contains(out, "NOT FOR RELEASE") || !strings.Contains(out, "that is no proof of it") {
		t.Errorf("exit code %d: %s", code, out)
	}
	sampled := auditJSON(t, 0, "--sample-rate", "0.1", "--steps", "20", "--noise-multiplier", "3", "--canaries", "4000")
	if sampled.Claimed <= 0 || sampled.Bound > sampled.Claimed {
		t.Errorf("%+v", sampled)
	}
}

// Noise that does not keep to the claimed epsilon is refuted: exit code 1, and the message says
// what is violated, at which confidence. The audit misses it with probability 1 - power < 1e-6.
func TestAuditOfTooLittleNoise(t *testing.T) {
	a := auditJSON(t, runtime.ExitFailed, "--target-epsilon", "2", "--noise-multiplier", "1", "--steps", "3")
	if a.Verdict != "refuted" || a.Bound <= 2 || a.Sigma != 1 || a.Power < 1-1e-6 {
		t.Errorf("%+v", a)
	}
	code, _, messages := auditCommandLine(t, "--target-epsilon", "2", "--noise-multiplier", "1", "--steps", "3")
	if code != runtime.ExitFailed || !strings.Contains(messages, "violates its claim") || !strings.Contains(messages, "confidence 95 %") {
		t.Errorf("exit code %d: %s", code, messages)
	}
}

// The figure is SVG, and readable by its owner only: it shows who was in.
func TestAuditFigure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.svg")
	if code, _, messages := auditCommandLine(t, "--canaries", "1000", "--target-epsilon", "1", "--steps", "1", "--plot", path); code != 0 {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	dec, texts, paths := xml.NewDecoder(f), 0, 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			switch e.Name.Local {
			case "text":
				texts++
			case "path":
				paths++
			}
		}
	}
	if texts < 15 || paths < 80 {
		t.Errorf("%d texts and %d paths", texts, paths)
	}
}

func TestAuditRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		say  string
	}{
		"too few canaries":    {[]string{"--target-epsilon", "8", "--canaries", "1000"}, "cannot fail; take at least"},
		"too few guesses":     {[]string{"--target-epsilon", "2", "--guesses", "10"}, "cannot fail; take at least"},
		"no canaries":         {[]string{"--canaries", "0"}, "at least 1"},
		"negative guesses":    {[]string{"--guesses", "-1"}, "at least 1"},
		"negative epsilon":    {[]string{"--target-epsilon", "-2"}, "must be positive"},
		"delta 0":             {[]string{"--delta", "0"}, "must be positive"},
		"significance 0":      {[]string{"--significance", "0"}, "must be in (0, 1)"},
		"significance 1":      {[]string{"--significance", "1"}, "must be in (0, 1)"},
		"rate above 1":        {[]string{"--sample-rate", "1.5"}, "sampling rate"},
		"flags of a model":    {[]string{"--task", "lm"}, "give --model"},
		"unknown accountant":  {[]string{"--accountant", "moments"}, "accountant"},
		"arguments":           {[]string{"gpt2"}, "unknown command"},
		"figure in no folder": {[]string{"--canaries", "1000", "--target-epsilon", "1", "--steps", "1", "--plot", "no/such/folder/a.svg"}, "no such"},
	} {
		code, _, messages := auditCommandLine(t, c.args...)
		if code != runtime.ExitUsage || !strings.Contains(messages, c.say) || strings.Count(messages, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s", name, code, messages)
		}
	}
}

// A model's training, by records and by gradients: the claim is the run's own; with too little noise
// for --target-epsilon, and without any, it is refuted.
func TestAuditOfTraining(t *testing.T) {
	b := newBench(t)
	model := func(more ...string) []string {
		return append([]string{"--model", b.path("model"), "--task", "classify", "--train", b.path("train.jsonl"), "--max-length", "16", "--delta", "1e-5", "--threads", "1"}, more...)
	}
	a := auditJSON(t, 0, model("--canaries", "100", "--steps", "2", "--sample-rate", "0.5", "--target-epsilon", "1")...)
	if a.Mode != "records" || a.M != 100 || !(a.Claimed > 0 && a.Claimed <= 1) {
		t.Errorf("records: %+v", a)
	}
	a = auditJSON(t, 0, model("--white-box", "--canaries", "2000", "--steps", "2", "--sample-rate", "1", "--target-epsilon", "2")...)
	if a.Mode != "white-box" || a.M != 2000 || a.Verdict != "not refuted" {
		t.Errorf("gradients: %+v", a)
	}
	a = auditJSON(t, runtime.ExitFailed, model("--white-box", "--canaries", "2000", "--steps", "1", "--sample-rate", "1", "--noise-multiplier", "0.3", "--target-epsilon", "2")...)
	if a.Verdict != "refuted" || a.Claimed != 2 || a.Bound <= 2 {
		t.Errorf("too little noise: %+v", a)
	}
	code, out, messages := auditCommandLine(t, model("--white-box", "--canaries", "2000", "--steps", "1", "--sample-rate", "1", "--no-privacy", "--clip-norm", "0.1", "--target-epsilon", "2")...)
	if code != runtime.ExitFailed || !strings.Contains(messages, "violates its claim") || !strings.Contains(out, "NOT FOR RELEASE") {
		t.Errorf("no noise: exit code %d: %s%s", code, out, messages)
	}
	for say, args := range map[string][]string{
		"cannot fail":         model("--canaries", "20", "--steps", "1", "--sample-rate", "1", "--target-epsilon", "2"),
		"--train":             {"--model", b.path("model"), "--task", "classify", "--target-epsilon", "2"},
		"can't be resumed":    model("--resume", "--target-epsilon", "2"),
		"claims nothing":      model("--no-privacy"),
		"give exactly one of": model("--canaries", "100"),
	} {
		if code, _, messages := auditCommandLine(t, args...); code != runtime.ExitUsage || !strings.Contains(messages, say) {
			t.Errorf("%s: exit code %d: %s", say, code, messages)
		}
	}
}

// At epsilon = 8 the Gaussian bound refutes a run with half of the noise that the claim takes, where the
// one-run bound is blind; it is refused where it does not hold.
func TestAuditByTheGaussianBound(t *testing.T) {
	if testing.Short() {
		t.Skip("only computes, in the ways of dpadam's tests")
	}
	whole := auditJSON(t, 0, "--target-epsilon", "8", "--steps", "1", "--bound", "gaussian")
	if whole.Verdict != "not refuted" || whole.Power < 0.99 {
		t.Errorf("%+v", whole)
	}
	half := []string{"--target-epsilon", "8", "--steps", "1", "--noise-multiplier", fmt.Sprint(whole.Sigma / 2)}
	if a := auditJSON(t, runtime.ExitFailed, append(half, "--bound", "gaussian")...); a.Verdict != "refuted" || a.Bound <= 8 {
		t.Errorf("half of the noise: %+v", a)
	}
	if a := auditJSON(t, 0, half...); a.Bound > 8 {
		t.Errorf("half of the noise by the one-run bound: %+v", a)
	}
	for say, args := range map[string][]string{
		"without sampling": {"--sample-rate", "0.1", "--bound", "gaussian"},
		"one-run or":       {"--bound", "bayes"},
	} {
		if code, _, messages := auditCommandLine(t, args...); code != runtime.ExitUsage || !strings.Contains(messages, say) {
			t.Errorf("%q: exit code %d: %s", args, code, messages)
		}
	}
}
