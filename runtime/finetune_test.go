package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// filesOf lists the files of a folder, with slashes, sorted.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestFinetuneWritesTheOutputDirectory(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	o.CheckpointEvery = 4
	r, err := Finetune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps != crashSteps || !(r.Epsilon > 0 && r.Epsilon <= 3) || r.Stamp != "" {
		t.Errorf("result %+v", r)
	}
	want := []string{
		"README.md", "checkpoint-4/optimizer.safetensors", "checkpoint-4/state.json", "checkpoint-4/train.yaml", "checkpoint-4/weights.safetensors",
		"checkpoint-8/optimizer.safetensors", "checkpoint-8/state.json", "checkpoint-8/train.yaml", "checkpoint-8/weights.safetensors",
		"ledger", "model.onnx", "release/metrics.jsonl", "release/privacy.json", "release/statement.txt", "train.yaml", "vocab.txt",
	}
	if got := filesOf(t, o.Out); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if said.Epsilon == nil || *said.Epsilon != r.Epsilon || said.StepsTaken == nil || *said.StepsTaken != crashSteps {
		t.Errorf("privacy.json: %+v", said)
	}
	if same := equalWeights(t, filepath.Join(o.Model, "model.onnx"), filepath.Join(o.Out, "model.onnx")); same {
		t.Error("the written model has the weights it began with")
	}
}

// equalWeights compares all initializers of two files.
func equalWeights(t *testing.T, a, b string) bool {
	t.Helper()
	wa, wb := weightsOf(t, a), weightsOf(t, b)
	if len(wa) == 0 || len(wa) != len(wb) {
		t.Fatalf("%d and %d initializers", len(wa), len(wb))
	}
	for name, v := range wa {
		if !slices.Equal(v, wb[name]) {
			return false
		}
	}
	return true
}

func weightsOf(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	m, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out := map[string][]float32{}
	for name, init := range m.File().Graph().Inits {
		if init.DType.IsFloat() {
			if out[name], err = init.Float32s(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// release/ is a function of the plan and the noised weights: two seeded runs
// write the same there, but for the run's random identity.
func TestReleaseIsAFunctionOfThePlan(t *testing.T) {
	dir := crashDir(t)
	seed := uint64(7)
	var first map[string][]byte
	for _, out := range []string{"one", "two"} {
		o := crashOptions(dir)
		o.Out, o.Seed = filepath.Join(dir, out), &seed
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, name := range filesOf(t, filepath.Join(o.Out, "release")) {
			data, err := os.ReadFile(filepath.Join(o.Out, "release", name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = data
		}
		if first == nil {
			first = files
			continue
		}
		for name, data := range files {
			if name == "privacy.json" { // holds the hash of the ledger
				continue
			}
			if withoutRun(data) != withoutRun(first[name]) {
				t.Errorf("release/%s differs between two runs of the same seed:\n%s\n%s", name, first[name], data)
			}
		}
	}
	for name, data := range first {
		if !bytes.Contains(data, []byte("NOT PRIVATE")) {
			t.Errorf("release/%s of a seeded run lacks the stamp", name)
		}
	}
}

// withoutRun drops the line with a run's random identity.
func withoutRun(text []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "Run:") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestDebugIsSeparateAndPrivate(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	o.Debug = true
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(o.Out, "debug"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("debug/ has mode %v", info.Mode().Perm())
	}
	data, err := os.ReadFile(filepath.Join(o.Out, "debug", "steps.jsonl"))
	if err != nil || bytes.Count(data, []byte("\n")) != crashSteps {
		t.Errorf("debug/steps.jsonl has %d lines, %v", bytes.Count(data, []byte("\n")), err)
	}
	metrics, err := os.ReadFile(filepath.Join(o.Out, "release", "metrics.jsonl"))
	if err != nil || bytes.Contains(metrics, []byte("loss")) || bytes.Contains(metrics, []byte("records")) {
		t.Errorf("release/metrics.jsonl holds private numbers: %s, %v", metrics, err)
	}
}

// Without noise everything says so: result, statement, model card, the model's
// own metadata.
func TestNoPrivacyIsStampedEverywhere(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	o.TargetEpsilon, o.NoPrivacy = 0, true
	r, err := Finetune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Stamp, "NOT PRIVATE") || !math.IsNaN(r.Epsilon) {
		t.Errorf("result %+v", r)
	}
	for _, name := range []string{"README.md", "release/statement.txt", "release/privacy.json", "model.onnx", "ledger"} {
		data, err := os.ReadFile(filepath.Join(o.Out, name))
		if err != nil || !bytes.Contains(data, []byte("NOT PRIVATE")) {
			t.Errorf("%s lacks the stamp: %v", name, err)
		}
	}
}

// Noise reaches every coordinate: rows of the token table that no record's text
// touches move by N(0, (σC/B)²). With d coordinates the mean square over its
// expectation has standard deviation √(2/d); six of them give a false-reject
// rate of 2·10⁻⁹.
func TestUntouchedRowsGetTheRightNoise(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	o.TargetEpsilon, o.NoiseMultiplier, o.Steps = 0, 2, 1
	o.Optimizer, o.LearningRate = "sgd", 1 // Δw = −(Σ + noise)/B
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	s := record.Plan().Spec()
	want := s.Lattice.NoiseStd() / s.ExpectedBatch
	if math.Abs(want/(s.NoiseMultiplier*s.ClipNorm/s.ExpectedBatch)-1) > 1e-3 {
		t.Errorf("noise %g, σC/B is %g", want, s.NoiseMultiplier*s.ClipNorm/s.ExpectedBatch)
	}
	before, after := weightsOf(t, filepath.Join(o.Model, "model.onnx")), weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	const vocabulary, used = 97, 57 // the model's rows, and those of the test's vocabulary
	table := ""
	for name := range before {
		if strings.Contains(name, "word_embeddings") {
			table = name
		}
	}
	width := len(before[table]) / vocabulary
	var square float64
	n := 0
	for i := used * width; i < vocabulary*width; i++ {
		d := (float64(after[table][i]) - float64(before[table][i])) / want
		square += d * d
		n++
	}
	if n < 500 {
		t.Fatalf("%d coordinates of %q", n, table)
	}
	if ratio := square / float64(n); math.Abs(ratio-1) > 6*math.Sqrt(2/float64(n)) {
		t.Errorf("mean square of %d untouched coordinates is %.4f of (σC/B)²", n, ratio)
	}
}

// A stopped run ends with a checkpoint and goes on to the planned number of
// steps, and no step is charged twice.
func TestStopAndResume(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	stop := make(chan struct{})
	o.Stop, o.CheckpointEvery = stop, 100
	o.Hook = func(point string) {
		if point == dpadam.PointUpdateAfter {
			select {
			case <-stop:
			default:
				close(stop)
			}
		}
	}
	if _, err := Finetune(t.Context(), o); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("a stopped run ended with %v", err)
	}
	if !exists(filepath.Join(o.Out, "checkpoint-1", "state.json")) {
		t.Fatal("no checkpoint after the step in progress")
	}
	saved, err := SavedOptions(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	saved.Resume = true
	r, err := Finetune(t.Context(), saved)
	if err != nil {
		t.Fatal(err)
	}
	record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps != crashSteps || record.Charged() != crashSteps || record.Resumes() != 1 {
		t.Errorf("%d steps, %d charged, %d resumes", r.Steps, record.Charged(), record.Resumes())
	}
	lines, err := os.ReadFile(filepath.Join(o.Out, "release", "metrics.jsonl"))
	if err != nil || bytes.Count(lines, []byte("\n")) != crashSteps {
		t.Errorf("metrics.jsonl has %d lines for %d steps, %v", bytes.Count(lines, []byte("\n")), crashSteps, err)
	}
}

// A spent budget ends with exit code 4, and with the model of the last checkpoint.
func TestResumeWithNothingLeftToPay(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	r, err := Finetune(t.Context(), o) // a finished run: its model is written again
	if err != nil || r.Steps != crashSteps {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := os.RemoveAll(filepath.Join(o.Out, "checkpoint-8")); err != nil {
		t.Fatal(err)
	}
	r, err = Finetune(t.Context(), o)
	if ExitCode(err) != ExitBudget || r == nil || r.Steps != crashSteps-1 {
		t.Errorf("after the loss of the last checkpoint: %+v, %v", r, err)
	}
	if err := os.RemoveAll(filepath.Join(o.Out, "checkpoint-7")); err != nil {
		t.Fatal(err)
	}
	if r, err = Finetune(t.Context(), o); ExitCode(err) != ExitBudget || r != nil {
		t.Errorf("without a checkpoint: %+v, %v", r, err)
	}
}

// A ledger that is missing, cut or exchanged is refused with exit code 2.
func TestResumeRefusesAnotherLedger(t *testing.T) {
	dir := crashDir(t)
	o := crashOptions(dir)
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	ledger := filepath.Join(o.Out, "ledger")
	whole, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for what, data := range map[string][]byte{
		"missing": nil, "cut": bytes.Join(lines[:4], nil), "changed": bytes.Replace(whole, []byte(`"step":2`), []byte(`"step":3`), 1),
	} {
		if err := os.Remove(ledger); err != nil {
			t.Fatal(err)
		}
		if data != nil {
			if err := os.WriteFile(ledger, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Finetune(t.Context(), o); ExitCode(err) != ExitUsage {
			t.Errorf("%s ledger: %v (exit %d)", what, err, ExitCode(err))
		}
		if err := os.WriteFile(ledger, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	other := o
	other.ClipNorm = 0.2
	if _, err := Finetune(t.Context(), other); ExitCode(err) != ExitUsage {
		t.Errorf("another plan: %v", err)
	}
}

// Options survive their file, and a number that is not positive is refused
// instead of standing for the default.
func TestOptionsFile(t *testing.T) {
	seed := uint64(3)
	o := FinetuneOptions{Model: "/m", Task: "lm", Train: "/t", Out: "/o", TargetEpsilon: 2, ClipNorm: 0.3, Trainable: []string{"a", "b"}, MaxMemory: 5 << 30, Seed: &seed}
	data, err := marshalOptions(&o, "NOT PRIVATE: a seed")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseOptions(data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	a, _ := json.Marshal(o.Trainable)
	b, _ := json.Marshal(got.Trainable)
	if got.ClipNorm != o.ClipNorm || got.MaxMemory != o.MaxMemory || got.Seed == nil || *got.Seed != 3 || !bytes.Equal(a, b) {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"clip-norm: 0", "target-epsilon: -1", "steps: 0", "clip_norm: 1", "max-memory: lots", "epochs: -2"} {
		if _, err := ParseOptions([]byte(bad)); ExitCode(err) != ExitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for text, want := range map[string]Bytes{"512": 512, "1K": 1024, "1.5GiB": 3 << 29, "2g": 2 << 30} {
		var b Bytes
		if err := b.Set(text); err != nil || b != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
	}
}
