package runtime

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// languageDir makes a folder with a small GPT-2, a tokenizer of letters and rows.
func languageDir(t *testing.T) FinetuneOptions {
	t.Helper()
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(models, "gpt2-ts17", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(model, "model.onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	letters(t, model, 0, 1)
	var rows strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rows, "{\"text\": %q}\n", strings.Repeat("ab c", 1+i%3))
	}
	if err := os.WriteFile(filepath.Join(dir, "train.jsonl"), []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return FinetuneOptions{Accountant: testAccountant, Model: model, Task: "lm", Train: filepath.Join(dir, "train.jsonl"), Out: filepath.Join(dir, "out"), Delta: 1e-5, MaxLength: 32, Threads: 1}
}

// auditOf is an audit at 5 % significance.
func auditOf(t *testing.T, o AuditOptions) *AuditResult {
	t.Helper()
	o.Significance = 0.05
	r, err := Audit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d guesses right of %d canaries, area %.3f; bound %.3f, claimed %.3f", r.Correct, r.Guesses, r.Canaries, r.Area, r.Bound, r.Claimed)
	return r
}

// Training without privacy remembers its canaries, and the audit sees it: the losses of canaries
// that were in fall far below those of the others. The same training under a claim of epsilon = 1
// is not refuted (a correct run is with probability below 0.05^2: the noise leaves next to
// nothing to see).
func TestAuditWithRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for long, in the ways of other tests")
	}
	o := languageDir(t)
	seed := uint64(3)
	o.SampleRate, o.Steps, o.LearningRate, o.NoPrivacy, o.Seed = 0.5, 150, 1e-2, true, &seed
	open := auditOf(t, AuditOptions{Train: o, Canaries: 80, Claim: 1, Options: audit.Options{Guesses: 60}})
	if !open.Refuted || open.Area < 0.95 || open.Run.Stamp == "" {
		t.Errorf("without noise: %+v", open.Result)
	}
	private := languageDir(t)
	private.SampleRate, private.Steps, private.LearningRate, private.TargetEpsilon = 0.5, 20, 1e-2, 1
	closed := auditOf(t, AuditOptions{Train: private, Canaries: 80, Options: audit.Options{Guesses: 60}})
	if closed.Refuted || closed.Run.Stamp != "" || !(closed.Claimed <= 1) {
		t.Errorf("with noise: %+v", closed.Result)
	}
	record, err := dpadam.ReadLedger(filepath.Join(private.Out, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	if n := record.Plan().Spec().Records; n != 24+80 {
		t.Errorf("N is %d; 24 records and 80 canaries are public", n)
	}
}

// Gradients in a real run: the bound of a correct run says something and stays below the
// claim; noise and batches show no fault, although records of the data set are trained beside them.
// (Above the claim with probability below 1e-6, faults below 2e-6, no better than a coin below 1e-6.)
func TestAuditWithGradients(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.SampleRate, o.ExpectedBatch, o.Steps, o.Delta, o.TargetEpsilon = 1, 0, 3, 1e-5, 4
	r := auditOf(t, AuditOptions{Train: o, WhiteBox: true, Canaries: 4000})
	if r.Refuted || r.WhiteBox.Faults != nil || r.Bound < 0.5 || r.WhiteBox.Noise.Drawn != 12000 {
		t.Errorf("%+v, %+v", r.Result, r.WhiteBox)
	}
	sampled := crashOptions(crashDir(t))
	sampled.SampleRate, sampled.ExpectedBatch, sampled.Steps, sampled.Delta, sampled.TargetEpsilon, sampled.TwoPass = 0.2, 0, 10, 1e-5, 2, true
	r = auditOf(t, AuditOptions{Train: sampled, WhiteBox: true, Canaries: 2000})
	if r.Refuted || r.WhiteBox.Faults != nil || r.WhiteBox.Sampling == nil || r.Area < 0.52 {
		t.Errorf("%+v, %+v", r.Result, r.WhiteBox)
	}
}

// The same run with a fifth of the noise that the claim needs is refuted, and without noise the noise
// itself is missed.
func TestAuditWithGradientsRefutes(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.SampleRate, o.ExpectedBatch, o.Steps, o.Delta, o.TargetEpsilon = 1, 0, 2, 1e-5, 0
	o.NoiseMultiplier = math.Sqrt(2) / audit.GaussianMu(2, 1e-5) / 5
	r := auditOf(t, AuditOptions{Train: o, WhiteBox: true, Canaries: 4000, Claim: 2})
	if !r.Refuted || r.WhiteBox.Faults != nil {
		t.Errorf("a fifth of the noise: %+v, %q", r.Result, r.WhiteBox.Faults)
	}
	open := crashOptions(crashDir(t))
	open.SampleRate, open.ExpectedBatch, open.Steps, open.Delta, open.TargetEpsilon = 1, 0, 1, 1e-5, 0
	open.NoPrivacy, open.ClipNorm = true, 0.1
	r = auditOf(t, AuditOptions{Train: open, WhiteBox: true, Canaries: 4000, Claim: 2})
	if !r.Refuted || len(r.WhiteBox.Faults) != 2 {
		t.Errorf("no noise: %+v, %q", r.Result, r.WhiteBox.Faults)
	}
}

// Every way of clipping and of counting can be audited with records, user-level privacy too: a
// canary is then a user.
func TestAuditOfOtherRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("trains many times, in the ways of other tests")
	}
	for name, change := range map[string]func(o *FinetuneOptions){
		"per layer": func(o *FinetuneOptions) { o.ClipPer = "layer" },
		"adaptive":  func(o *FinetuneOptions) { o.ClipQuantile = 0.5 },
		"users": func(o *FinetuneOptions) {
			o.UnitColumn = "user"
			rows := ""
			for i := range 40 {
				rows += fmt.Sprintf("{\"text\": \"ab cd\", \"label\": %d, \"user\": \"u%d\"}\n", i%3, i%10)
			}
			if err := os.WriteFile(o.Train, []byte(rows), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := crashOptions(crashDir(t))
		o.SampleRate, o.ExpectedBatch, o.Steps, o.TargetEpsilon, o.NoiseMultiplier, o.Delta = 0.5, 0, 2, 0, 4, 1e-5
		change(&o)
		r := auditOf(t, AuditOptions{Train: o, Canaries: 100})
		if r.Refuted || r.Run.Steps != 2 || r.Claimed <= 0 {
			t.Errorf("%s: %+v", name, r.Result)
		}
	}
}

// What an audited run leaves: nothing without an output directory, no word about the canaries
// in the options of the run, and no trace in a run that is not audited.
func TestAuditLeavesNothing(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	o := crashOptions(crashDir(t))
	o.Out, o.SampleRate, o.ExpectedBatch, o.Steps, o.TargetEpsilon = "", 0.5, 0, 1, 1
	auditOf(t, AuditOptions{Train: o, WhiteBox: true, Canaries: 200})
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	o.canaries, o.planted = []tokenize.Record{{Text: "secret words"}}, &plantedGradients{in: []bool{true}}
	if data, err := marshalOptions(&o, ""); err != nil || strings.Contains(string(data), "secret") || strings.Contains(string(data), "planted") {
		t.Errorf("the options tell of canaries: %s, %v", data, err)
	}
}

// Canaries are records of the task, each kept whole by its formatter, each different, and a
// function of the seed alone.
func TestCanaryRecords(t *testing.T) {
	language, classifier, masked := languageDir(t), crashOptions(crashDir(t)), maskedOptions(t, fewUsers())
	for task, o := range map[string]FinetuneOptions{
		"lm": language, "instruct": language, "e2e": language, "dart": language, "webnlg": language, "persona": language,
		"mlm": masked, "classify": classifier, "sst2": classifier, "qnli": classifier, "qqp": classifier, "mnli": classifier,
	} {
		o.Task, o.MaxLength = task, 48
		m, err := Open(o.Model, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		r, err := newReader(m, &o)
		if err != nil {
			t.Fatal(err)
		}
		seed := uint64(4)
		a, err1 := r.newCanaries(t.Context(), 300, &seed)
		b, err2 := r.newCanaries(t.Context(), 300, &seed)
		c, err3 := r.newCanaries(t.Context(), 300, nil)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatalf("%s: %v", task, err)
		}
		if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
			t.Errorf("%s: canaries are not a function of the seed", task)
		}
		checkCanaries(t, r, a)
	}
}

func checkCanaries(t *testing.T, r *reader, records []tokenize.Record) {
	t.Helper()
	task := r.recipe.task
	texts, units, labels, scored := map[string]bool{}, map[string]bool{}, map[int]int{}, 0
	for _, rec := range records {
		texts[rec.Text+"|"+rec.Pair+"|"+rec.Target] = true
		units[rec.Unit] = true
		labels[rec.Label]++
		e, err := r.formatter.Format(rec)
		if err != nil || e.Dropped != tokenize.Kept || e.Len() > r.maxLength {
			t.Fatalf("%s: a canary of length %d is dropped (%s), %v", task, e.Len(), e.Dropped, err)
		}
		scored += e.Scored()
	}
	if len(texts) < 295 || len(units) != 300 {
		t.Errorf("%s: %d different texts and %d units of 300", task, len(texts), len(units))
	}
	classes := map[tokenize.Task]int{tokenize.TaskClassify: 3, tokenize.TaskMNLI: 3, tokenize.TaskSST2: 2, tokenize.TaskQNLI: 2, tokenize.TaskQQP: 2}[task]
	least := 8 // scored tokens of a canary
	if task == tokenize.TaskMLM {
		least = 3 // 15 % of them
	}
	switch {
	case classes == 0 && (labels[-1] != 300 || scored < 300*least):
		t.Errorf("%s: labels %v, %d tokens to remember", task, labels, scored)
	case classes > 0 && (len(labels) != classes || labels[classes-1] < 50):
		t.Errorf("%s: labels %v", task, labels)
	}
}

func TestAuditRefuses(t *testing.T) {
	base := crashOptions(crashDir(t))
	base.Delta, base.TargetEpsilon, base.NoiseMultiplier = 1e-5, 0, 3
	for name, change := range map[string]func(o *AuditOptions){
		"no canaries":          func(o *AuditOptions) { o.Canaries = 0 },
		"too few to fail":      func(o *AuditOptions) { o.Claim = 8 },
		"resumed":              func(o *AuditOptions) { o.Train.Resume = true },
		"no claim":             func(o *AuditOptions) { o.Train.NoiseMultiplier, o.Train.NoPrivacy = 0, true },
		"claim not a number":   func(o *AuditOptions) { o.Claim = math.NaN() },
		"evaluations":          func(o *AuditOptions) { o.Train.DPEvaluate = 2 },
		"more rows than N":     func(o *AuditOptions) { o.Train.Records = 10 },
		"a bound of Gaussians": func(o *AuditOptions) { o.Method = audit.MethodGaussian },
		"another relation":     func(o *AuditOptions) { o.Train.Relation = "replace-one" },
		"more than there are":  func(o *AuditOptions) { o.Canaries, o.WhiteBox = 1<<20, true },
		"adaptive clipping":    func(o *AuditOptions) { o.Train.ClipQuantile, o.WhiteBox = 0.5, true },
		"significance":         func(o *AuditOptions) { o.Significance = 0 },
		"guesses":              func(o *AuditOptions) { o.Guesses = 101 },
		"no norm to plant": func(o *AuditOptions) {
			o.Train.NoiseMultiplier, o.Train.NoPrivacy = 0, true
			o.Claim, o.WhiteBox = 1, true
		},
		"no task":              func(o *AuditOptions) { o.Train.Task = "" },
		"no room for a canary": func(o *AuditOptions) { o.Train.MaxLength = 1 },
	} {
		o := AuditOptions{Train: base, Canaries: 100, Options: audit.Options{Significance: 0.05}}
		o.Train.Out = filepath.Join(t.TempDir(), "out")
		change(&o)
		if _, err := Audit(t.Context(), o); ExitCode(err) != ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
