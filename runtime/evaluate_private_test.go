package runtime

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// evaluatedOptions is the crash tests' run with noised evaluations of a copy of its data.
func evaluatedOptions(dir string) FinetuneOptions {
	o := crashOptions(dir)
	o.Valid, o.DPEvaluate, o.EvaluationNoise, o.Accountant = o.Train, 4, 20, "rdp"
	return o
}

func metricsOf(t *testing.T, path string) []metric {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []metric
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var m metric
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// Noised evaluations are charged, priced within the target, released and stated; the exact
// values are nowhere.
func TestPrivateEvaluation(t *testing.T) {
	o := evaluatedOptions(crashDir(t))
	r, err := Finetune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	if record.Charges() != (dpadam.Charges{Steps: crashSteps, Evaluations: 4}) || !(r.Epsilon <= 3 && r.Epsilon > 2.9) {
		t.Errorf("%+v, epsilon %v", record.Charges(), r.Epsilon)
	}
	var at []int64
	for _, m := range metricsOf(t, filepath.Join(o.Out, "release", "metrics.jsonl")) {
		if m.ValidAccuracy != nil || m.ValidLoss != nil {
			t.Errorf("an exact number was released: %+v", m)
		}
		if m.NoisedAccuracy != nil {
			at = append(at, m.Step)
			if *m.NoiseStd != 20.0/crashRecords {
				t.Errorf("noise %v", *m.NoiseStd)
			}
		}
	}
	if !slices.Equal(at, []int64{2, 4, 6, 8}) {
		t.Errorf("evaluated after steps %v", at)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if said.Evaluations == nil || said.Evaluations.Charged != 4 || said.Evaluations.RecordsPublic != "counted" || *said.Epsilon != r.Epsilon {
		t.Errorf("%+v", said.Evaluations)
	}
}

// With next to no noise the released value is the exact one, which debug/ holds. The
// tolerance is six standard deviations of the noise and the lattice's rounding.
func TestPrivateEvaluationIsTheScore(t *testing.T) {
	for _, kind := range []string{dpadam.EvaluateAccuracy, dpadam.EvaluateLoss} {
		o := evaluatedOptions(crashDir(t))
		o.TargetEpsilon, o.NoiseMultiplier = 0, 1
		o.DPEvaluate, o.EvaluationNoise, o.Evaluation, o.Debug = 1, 0.01, kind, true
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		exact := metricsOf(t, filepath.Join(o.Out, "debug", "steps.jsonl"))
		released := metricsOf(t, filepath.Join(o.Out, "release", "metrics.jsonl"))
		last := exact[len(exact)-1]
		noised := released[len(released)-1]
		got, want := noised.NoisedAccuracy, last.ValidAccuracy
		if kind == dpadam.EvaluateLoss {
			got, want = noised.NoisedLoss, last.ValidLoss
		}
		if got == nil || want == nil || *want <= 0 || math.Abs(*got-*want) > 6*(*noised.NoiseStd)+1e-5 {
			t.Errorf("%s: released %+v, exact %+v", kind, noised, last)
		}
	}
}

// --keep best writes the weights of the evaluation with the largest released value.
func TestKeepBest(t *testing.T) {
	o := evaluatedOptions(crashDir(t))
	o.Keep, o.EvaluationNoise = KeepBest, 1000 // the best one is any one
	r, err := Finetune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	best, step := math.Inf(-1), int64(0)
	for _, m := range metricsOf(t, filepath.Join(o.Out, "release", "metrics.jsonl")) {
		if m.NoisedAccuracy != nil && *m.NoisedAccuracy > best {
			best, step = *m.NoisedAccuracy, m.Step
		}
	}
	kept, err := outputDir{path: o.Out}.bestModels()
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d kept, %v", len(kept), err)
	}
	if r.Steps != step || kept[0].Step != step || kept[0].Score != best {
		t.Errorf("written after step %d, kept %+v, best %v after %d", r.Steps, kept[0], best, step)
	}
	record, _ := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
	if taken, ended := record.Taken(); taken != step || !ended || record.Charged() != crashSteps {
		t.Errorf("the ledger says %d steps taken, %d charged", taken, record.Charged())
	}
	m, err := Open(o.Out, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	into := map[string][]float32{}
	written := weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	for name, w := range written {
		into[name] = make([]float32, len(w))
	}
	for name := range into { // only the trained ones are kept
		if !trainedIn(t, kept[0].path, name) {
			delete(into, name)
		}
	}
	if err := readTensors(filepath.Join(kept[0].path, "weights.safetensors"), into); err != nil {
		t.Fatal(err)
	}
	for name, w := range into {
		if !slices.Equal(w, written[name]) {
			t.Errorf("%s is not the kept one", name)
		}
	}
}

func trainedIn(t *testing.T, dir, name string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "weights.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(`"`+name+`"`))
}

// Killed while evaluating: what was drawn is charged, the resumed run ends within the
// target, and an evaluation that was lost is not repeated beyond the planned number.
func TestKilledWhileEvaluating(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, point := range []string{dpadam.PointEvaluationBefore, dpadam.PointEvaluationAfter, "best.before-rename", "best.after-rename"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			v := &victim{dir: crashDir(t), variant: withEvaluate}
			if code, text := v.start(t, point, 1, 0); code != -1 {
				t.Fatalf("the child ended with %d instead of being killed: %s", code, text)
			}
			v.check(t, "killed")
			v.finish(t, "killed at "+point)
			record, err := dpadam.ReadLedger(filepath.Join(v.dir, "out", "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			if c := record.Charges(); c.Evaluations != 4 || c.Evaluations < v.evaluated {
				t.Errorf("%+v charged, %d seen", c, v.evaluated)
			}
		})
	}
}

func TestEvaluationSteps(t *testing.T) {
	for _, c := range []struct {
		count, total int64
		want         []int64
	}{{4, 8, []int64{2, 4, 6, 8}}, {3, 8, []int64{3, 6, 8}}, {1, 5, []int64{5}}, {5, 5, []int64{1, 2, 3, 4, 5}}, {4, 2, []int64{1, 2}}, {3, 0, nil}} {
		if got := evaluationSteps(c.count, c.total); !slices.Equal(got, c.want) {
			t.Errorf("%d of %d: %v, want %v", c.count, c.total, got, c.want)
		}
	}
}

// Options that contradict each other are refused before anything is written.
func TestEvaluationOptionsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*FinetuneOptions)
		says   string
	}{
		"no data":             {func(o *FinetuneOptions) { o.Valid = "" }, "--valid"},
		"public data":         {func(o *FinetuneOptions) { o.ValidPublic = true }, "--valid-public"},
		"without privacy":     {func(o *FinetuneOptions) { o.TargetEpsilon, o.NoPrivacy = 0, true }, "privacy"},
		"noise alone":         {func(o *FinetuneOptions) { o.DPEvaluate = 0 }, "--evaluation-noise"},
		"best of nothing":     {func(o *FinetuneOptions) { o.DPEvaluate, o.EvaluationNoise, o.Keep = 0, 0, KeepBest }, "--keep best"},
		"users":               {func(o *FinetuneOptions) { o.UnitColumn = "label" }, "--unit-column"},
		"unknown kind":        {func(o *FinetuneOptions) { o.Evaluation = "bleu" }, "bleu"},
		"unknown keep":        {func(o *FinetuneOptions) { o.Keep = "first" }, "first"},
		"clipped accuracy":    {func(o *FinetuneOptions) { o.EvaluationClip = 2 }, "--evaluation-clip"},
		"fewer records":       {func(o *FinetuneOptions) { o.ValidRecords = 3 }, "--valid-records 3"},
		"more than the steps": {func(o *FinetuneOptions) { o.DPEvaluate = 9 }, "[1, 8]"},
		"noise not a number":  {func(o *FinetuneOptions) { o.EvaluationNoise = math.NaN() }, "--evaluation-noise"},
	} {
		o := evaluatedOptions(crashDir(t))
		c.change(&o)
		_, err := Finetune(t.Context(), o)
		if err == nil || ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(o.Out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the output directory was created", name)
		}
	}
}
