package runtime

import (
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
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// Settings that would be ignored or do not go together are refused before anything is read.
func TestClippingOptions(t *testing.T) {
	ok := FinetuneOptions{Model: "m", Task: "lm", Train: "t", Out: "o", TargetEpsilon: 3}
	for flag, change := range map[string]func(o *FinetuneOptions){
		"--clip-gamma":                        func(o *FinetuneOptions) { o.ClipGamma = 0.1 },
		"--clip-rate":                         func(o *FinetuneOptions) { o.ClipRate = 0.1 },
		"--clip-count-noise":                  func(o *FinetuneOptions) { o.ClipCountNoise = 3 },
		"--clip-quantile 1 ":                  func(o *FinetuneOptions) { o.ClipQuantile = 1 },
		"--clip-quantile -1":                  func(o *FinetuneOptions) { o.ClipQuantile = -1 },
		"--clip-quantile 0.5 ":                func(o *FinetuneOptions) { o.ClipQuantile, o.TargetEpsilon, o.NoPrivacy = 0.5, 0, true },
		"--clip auto":                         func(o *FinetuneOptions) { o.Clip, o.TargetEpsilon, o.NoPrivacy = "auto", 0, true },
		"--clip-per \"head\"":                 func(o *FinetuneOptions) { o.ClipPer = "head" },
		"--clip-per layer can't":              func(o *FinetuneOptions) { o.ClipPer, o.ClipQuantile = "layer", 0.5 },
		"--clip-per parameter needs one pass": func(o *FinetuneOptions) { o.ClipPer, o.TwoPass = "parameter", true },
		"--clip-per layer is for records":     func(o *FinetuneOptions) { o.ClipPer, o.UnitColumn = "layer", "user" },
		"--clip-per layer: without":           func(o *FinetuneOptions) { o.ClipPer, o.TargetEpsilon, o.NoPrivacy = "layer", 0, true },
		"--clip-shares size belongs":          func(o *FinetuneOptions) { o.ClipShares = "size" },
		"--clip-shares \"half\"":              func(o *FinetuneOptions) { o.ClipPer, o.ClipShares = "layer", "half" },
		"--ema 1 ":                            func(o *FinetuneOptions) { o.EMA = 1 },
		"--ema NaN":                           func(o *FinetuneOptions) { o.EMA = math.NaN() },
	} {
		o := ok
		change(&o)
		if err := o.validate(); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	for _, change := range []func(o *FinetuneOptions){
		func(*FinetuneOptions) {},
		func(o *FinetuneOptions) { o.Clip, o.ClipGamma = "auto", 0.1 },
		func(o *FinetuneOptions) { o.Clip, o.ClipPer, o.ClipShares = "auto", "layer", "size" },
		func(o *FinetuneOptions) {
			o.ClipPer, o.TargetEpsilon, o.NoPrivacy, o.ClipNorm = "parameter", 0, true, 1
		},
		func(o *FinetuneOptions) { o.ClipQuantile, o.ClipRate, o.ClipCountNoise, o.EMA = 0.5, 0.1, 9, 0.99 },
		func(o *FinetuneOptions) { o.Clip, o.TargetEpsilon, o.NoPrivacy, o.ClipNorm = "auto", 0, true, 1 },
	} {
		o := ok
		change(&o)
		if err := o.validate(); err != nil {
			t.Error(err)
		}
	}
	if err := (&FinetuneOptions{}).CheckGiven("ema"); ExitCode(err) != ExitUsage {
		t.Errorf("--ema 0: %v", err)
	}
}

// Every record has one bit, by its own norm alone: padding has none, a dropped record's gradient is
// zero and within, one that is not finite is not.
func TestWithin(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	c := 0.1 // float32(0.1) is larger
	for _, x := range []struct {
		what    string
		r       ran
		records int
		want    int
	}{
		{"nothing", ran{}, 0, 0},
		{"padding", ran{real: []bool{false, false}, finite: []bool{true, false}, norm: []float64{1, 1}}, 0, 0},
		{"dropped", ran{real: []bool{false, false}, finite: []bool{true, true}, norm: []float64{1, 1}}, 2, 2},
		{"at the norm, beyond it, zero", ran{real: []bool{true, true, true}, finite: []bool{true, true, true}, norm: []float64{float64(float32(c)), 0.1001, 0}}, 3, 2},
		{"not finite", ran{real: []bool{true, true, true, true}, finite: []bool{false, false, false, true}, norm: []float64{nan, inf, 0.01, nan}}, 4, 0},
		{"all together", ran{real: []bool{true, false, true, false}, finite: []bool{true, true, false, true}, norm: []float64{0.05, 7, 0.05, 7}}, 3, 2},
	} {
		if got := x.r.within(x.records, c); got != x.want {
			t.Errorf("%s: %d, want %d", x.what, got, x.want)
		}
	}
}

// readMetricLines reads release/metrics.jsonl.
func readMetricLines(t *testing.T, out string) []metric {
	t.Helper()
	m, err := outputDir{path: out}.readMetrics(math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The clipping norm follows the norms under noise: it starts at --clip-norm, its trajectory is
// released, and one pass and two passes count alike (a seed fixes sample and noise).
func TestAdaptiveClipping(t *testing.T) {
	dir := crashDir(t)
	seed := uint64(4)
	var first []metric
	for _, twoPass := range []bool{false, true} {
		o := crashOptions(dir)
		o.Out = filepath.Join(t.TempDir(), "out")
		o.Seed, o.TwoPass, o.ClipQuantile, o.ClipRate, o.ClipNorm, o.ClipCountNoise = &seed, twoPass, 0.5, 0.5, 1e-3, 1.5
		o.ExpectedBatch = 24
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		metrics := readMetricLines(t, o.Out)
		if len(metrics) != crashSteps || metrics[0].ClipNorm != 1e-3 {
			t.Fatalf("metrics %+v", metrics)
		}
		// All gradients are longer than 1e-3: C grows by exp(0.5 (0.5 - noise/24)) a step.
		if grown := math.Log(metrics[crashSteps-1].ClipNorm / 1e-3); grown < 7*0.25-0.5 || grown > 7*0.25+0.5 {
			t.Errorf("after seven steps C has grown by e^%g", grown)
		}
		if first == nil {
			first = metrics
			continue
		}
		for i := range metrics {
			if metrics[i].ClipNorm != first[i].ClipNorm {
				t.Errorf("step %d: C is %v in one pass, %v in two", i+1, first[i].ClipNorm, metrics[i].ClipNorm)
			}
		}
	}
}

// Under adaptive clipping the factors and the count of a step are those of the norms that gradnorms
// gives, at the present C.
func TestAdaptiveClippingCountsRecords(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.ClipQuantile, o.ClipNorm = 0.5, 1
	f := prepareRun(t, o)
	records := []int{0, 1, 2, 3, 4}
	m := microbatch{records, f.data.edge(0), 8}
	for _, i := range records {
		m.edge = max(m.edge, f.data.edge(i))
	}
	batch, _, err := f.data.collate(records, m.edge, len(records), f.program.Data)
	if err != nil {
		t.Fatal(err)
	}
	loop, err := f.model.GradNorms(t.Context(), batch, GradNormsOptions{Loss: f.data.loss, Method: "loop"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.trainer.run(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []float64{0, loop.Norm[0] * 1.001, loop.Norm[2] * 1.001, 1e6} {
		want := 0
		for _, n := range loop.Norm {
			if n <= c {
				want++
			}
		}
		if got := r.within(len(records), c); got != want {
			t.Errorf("%d of norms %v within %g, want %d", got, loop.Norm, c, want)
		}
	}
}

// interruptedAfter stops a run when it has taken so many steps.
func interruptedAfter(t *testing.T, o FinetuneOptions, steps int) {
	t.Helper()
	stop := make(chan struct{})
	o.Stop = stop
	o.Hook = func(point string) {
		if point == dpadam.PointUpdateAfter {
			if steps--; steps == 0 {
				close(stop)
			}
		}
	}
	if _, err := Finetune(t.Context(), o); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("ended with %v", err)
	}
}

func readState(t *testing.T, out, name string) (c checkpoint) {
	t.Helper()
	readJSON(t, filepath.Join(out, name, "state.json"), &c)
	return c
}

// A resumed run goes on at the checkpoint's clipping norm, not at the plan's; a checkpoint without
// one is refused.
func TestAdaptiveClippingResumes(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.ClipQuantile, o.ClipRate, o.ClipNorm, o.ClipCountNoise = 0.5, 1, 1e-3, 3
	interruptedAfter(t, o, 3)
	kept := readState(t, o.Out, "checkpoint-3").ClipNorm
	if kept == 0 || kept == 1e-3 {
		t.Fatalf("the checkpoint's clipping norm is %g", kept)
	}
	o.Resume = true
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	metrics := readMetricLines(t, o.Out)
	if len(metrics) != crashSteps || metrics[3].ClipNorm != kept || metrics[0].ClipNorm != 1e-3 {
		t.Errorf("the checkpoint kept %g: %+v", kept, metrics)
	}
	path := filepath.Join(o.Out, "checkpoint-8", "state.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	for what, value := range map[string]any{"missing": nil, "out of range": 1e9, "negative": -1.0} {
		state["clip_norm"] = value
		if value == nil {
			delete(state, "clip_norm")
		}
		bad, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Finetune(t.Context(), o); ExitCode(err) != ExitUsage {
			t.Errorf("clipping norm %s: %v", what, err)
		}
	}
}

// What is written names the rule that was used.
func TestReleaseNamesTheClipping(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.Clip, o.ClipGamma, o.EMA, o.Steps = "auto", 0.05, 0.9, 2
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string][]string{
		"README.md":             {"auto: factor C/(norm + 0.05)", "exponential moving average over the steps, decay 0.9"},
		"release/statement.txt": {"auto: factor C/(norm + 0.05)", "averaged over the steps with decay 0.9", "post-processing"},
		"release/privacy.json":  {`"rule": "auto"`, `"gamma": 0.05`, `"average_decay": 0.9`},
		"ledger":                {`"rule":"auto","gamma":0.05`},
		"model.onnx":            {"exponential moving average over the steps, decay 0.9"},
	} {
		data, err := os.ReadFile(filepath.Join(o.Out, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !bytes.Contains(data, []byte(w)) {
				t.Errorf("%s does not say %q", name, w)
			}
		}
	}
}

// readVectors reads a file of a checkpoint.
func readVectors(t *testing.T, out, checkpoint, file string, names map[string][]float32) map[string][]float32 {
	t.Helper()
	into := map[string][]float32{}
	for name, v := range names {
		into[name] = make([]float32, len(v))
	}
	if err := readTensors(filepath.Join(out, checkpoint, file), into); err != nil {
		t.Fatal(err)
	}
	return into
}

// The written model has the average of the weights: every checkpoint's average follows from the one
// before by the formula, across a resume too, and the last is what is written.
func TestAveragedWeights(t *testing.T) {
	if testing.Short() {
		t.Skip("trains many times, in the ways of other tests")
	}
	o := crashOptions(crashDir(t))
	o.EMA, o.LearningRate = 0.35, 0.01 // (1+t)/(10+t) passes 0.35 between steps 3 and 4
	initial := weightsOf(t, filepath.Join(o.Model, "model.onnx"))
	interruptedAfter(t, o, 1)
	o.Resume = true
	names := map[string][]float32{}
	for _, p := range prepareNames(t, o) {
		names[p] = initial[p]
	}
	before := names
	for step := 1; step <= 6; step++ {
		if step > 1 {
			interruptedAfter(t, o, 1)
		}
		point := []string{"", "checkpoint-1", "checkpoint-2", "checkpoint-3", "checkpoint-4", "checkpoint-5", "checkpoint-6"}[step]
		weights, average := readVectors(t, o.Out, point, "weights.safetensors", names), readVectors(t, o.Out, point, "average.safetensors", names)
		decay := min(0.35, (1+float64(step))/(10+float64(step)))
		for name, v := range average {
			for i, x := range v {
				want := decay*float64(before[name][i]) + (1-decay)*float64(weights[name][i])
				if math.Abs(float64(x)-want) > 1e-6*(1+math.Abs(want)) {
					t.Fatalf("step %d: %s[%d] is %g, want %g", step, name, i, x, want)
				}
			}
		}
		before = average
	}
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	written := weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	average, last := readVectors(t, o.Out, "checkpoint-8", "average.safetensors", names), readVectors(t, o.Out, "checkpoint-8", "weights.safetensors", names)
	differ := false
	for name, v := range average {
		for i, x := range v {
			if written[name][i] != x {
				t.Fatalf("%s[%d] is written as %g, the average is %g", name, i, written[name][i], x)
			}
			differ = differ || x != last[name][i]
		}
	}
	if !differ {
		t.Error("the average equals the last weights")
	}
	other := o
	other.EMA = 0.5
	if _, err := Finetune(t.Context(), other); ExitCode(err) != ExitUsage {
		t.Errorf("resumed with another decay: %v", err)
	}
	if err := os.Remove(filepath.Join(o.Out, "checkpoint-8", "average.safetensors")); err != nil {
		t.Fatal(err)
	}
	if _, err := Finetune(t.Context(), o); ExitCode(err) != ExitUsage {
		t.Errorf("resumed without the average: %v", err)
	}
}

// prepareNames lists the trained parameters of a run's model.
func prepareNames(t *testing.T, o FinetuneOptions) (names []string) {
	t.Helper()
	m, err := Open(o.Model, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p, err := m.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	for _, param := range p.Parameters {
		names = append(names, param.Name)
	}
	return names
}

// The count's way from the graph to C: of two seeded runs, which draw the same sample and the same
// noise, one has every gradient within C and the other none. Their log C then differ by eta*n/B after
// the first step, n being the sampled records, or users.
func TestAdaptiveClippingFollowsTheCount(t *testing.T) {
	if testing.Short() {
		t.Skip("trains many times, in the ways of other tests")
	}
	for what, options := range map[string]func() FinetuneOptions{
		"records":    func() FinetuneOptions { return crashOptions(crashDir(t)) },
		"two passes": func() FinetuneOptions { o := crashOptions(crashDir(t)); o.TwoPass = true; return o },
		"users":      func() FinetuneOptions { o := unitOptions(t, fewUsers()); o.ExpectedBatch = 4; return o },
	} {
		t.Run(what, func(t *testing.T) {
			seed := uint64(11)
			var moved [2]float64
			var sampled [2]int
			for i, c := range []float64{1e-5, 1e5} {
				o := options()
				o.Seed, o.ClipQuantile, o.ClipRate, o.ClipNorm, o.Steps, o.Debug = &seed, 0.5, 0.3, c, 2, true
				if _, err := Finetune(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				metrics := readMetricLines(t, o.Out)
				moved[i] = math.Log(metrics[1].ClipNorm / metrics[0].ClipNorm)
				data, err := os.ReadFile(filepath.Join(o.Out, "debug", "steps.jsonl"))
				if err != nil {
					t.Fatal(err)
				}
				var first struct{ Records int }
				if err := json.NewDecoder(bytes.NewReader(data)).Decode(&first); err != nil {
					t.Fatal(err)
				}
				sampled[i] = first.Records
				if i == 1 {
					if want := 0.3 * float64(first.Records) / o.ExpectedBatch; sampled[0] != sampled[1] || first.Records == 0 || math.Abs(moved[0]-moved[1]-want) > 1e-9 {
						t.Errorf("of %v records log C moved by %v, want a difference of %g", sampled, moved, want)
					}
				}
			}
		})
	}
}

// The average and the noised evaluation together: what is kept as best, and written, is the average.
func TestBestOfAveragedWeights(t *testing.T) {
	o := evaluatedOptions(crashDir(t))
	o.Keep, o.EMA, o.LearningRate = KeepBest, 0.9, 0.01
	r, err := Finetune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := outputDir{path: o.Out}.bestModels()
	if err != nil || len(kept) == 0 {
		t.Fatal(err)
	}
	written := weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	names := map[string][]float32{}
	for _, p := range prepareNames(t, o) {
		names[p] = written[p]
	}
	last := readVectors(t, o.Out, "checkpoint-8", weightsFile, names)
	differ := false
	for name, v := range readVectors(t, "", kept[len(kept)-1].path, weightsFile, names) {
		for i, x := range v {
			if written[name][i] != x {
				t.Fatalf("%s[%d] is written as %g, the best is %g", name, i, written[name][i], x)
			}
			differ = differ || x != last[name][i]
		}
	}
	if r.Steps == crashSteps && !differ {
		t.Error("the best weights are the last, not their average")
	}
}

// One record less, everything repacked: of two seeded runs, whose noise is the same, the released sums
// differ by at most C, by each group at most by its share, and the count by exactly half a record. All
// gradients are longer than C, so the bound is nearly met: the test can fail.
func TestSensitivityOfRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("trains many times, in the ways of other tests")
	}
	const c = 1e-3
	dir := crashDir(t)
	data, err := os.ReadFile(filepath.Join(dir, "train.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	rows := bytes.SplitAfter(bytes.TrimSpace(data), []byte("\n"))
	for what, change := range map[string]func(o *FinetuneOptions){
		"plain":         func(*FinetuneOptions) {},
		"auto":          func(o *FinetuneOptions) { o.Clip, o.ClipGamma = "auto", 1e-4 },
		"layers":        func(o *FinetuneOptions) { o.ClipPer = "layer" },
		"parameters":    func(o *FinetuneOptions) { o.ClipPer, o.ClipShares = "parameter", "size" },
		"layers auto":   func(o *FinetuneOptions) { o.ClipPer, o.Clip = "layer", "auto" },
		"adaptive":      func(o *FinetuneOptions) { o.ClipQuantile = 0.5 },
		"adaptive auto": func(o *FinetuneOptions) { o.ClipQuantile, o.Clip = 0.3, "auto" },
	} {
		t.Run(what, func(t *testing.T) {
			o := crashOptions(dir)
			o.ExpectedBatch, o.SampleRate, o.Records, o.Steps, o.ClipNorm = 0, 1, crashRecords, 3, c
			o.Accountant = "rdp" // what it says is not read
			change(&o)
			var groups []ghost.Group
			var clipNorm, count float64
			sum := func(rows [][]byte) map[string][]float32 {
				o.Train = filepath.Join(t.TempDir(), "train.jsonl")
				if err := os.WriteFile(o.Train, bytes.Join(rows, nil), 0o644); err != nil {
					t.Fatal(err)
				}
				var f *finetune
				stepOf(t, o, func(g *finetune) { f = g })
				groups = f.program.Groups
				out := map[string][]float32{}
				for _, p := range f.trainer.sums.Params() {
					out[p.Name] = slices.Clone(f.trainer.sums.Slice(p.Name))
				}
				if f.plan.Adapts() {
					clipNorm = f.trainer.stepper.ClipNorm()
				}
				return out
			}
			all := sum(rows)
			with := clipNorm
			for _, gone := range []int{0, 17, crashRecords - 1} {
				rest := sum(slices.Delete(slices.Clone(rows), gone, gone+1))
				moved := sumDistance(all, rest)
				if moved > c || moved < 0.5*c {
					t.Errorf("without record %d the sum moves by %g, C is %g", gone, moved, c)
				}
				for _, g := range groups {
					part := map[string][]float32{}
					for _, name := range g.Parameters {
						part[name] = rest[name]
					}
					if d := sumDistance(all, part); d > g.Share*c {
						t.Errorf("without record %d %s moves by %g, its share is %g", gone, g.Name, d, g.Share*c)
					}
				}
				if o.ClipQuantile > 0 {
					count = math.Log(with/clipNorm) / 0.2 * crashRecords // eta = 0.2, B = N
					if math.Abs(count-0.5) > 1e-6 {                      // beyond C, so each is worth -1/2, and C grows by it
						t.Errorf("without record %d the count moves by %g, half a record is 0.5", gone, count)
					}
				}
			}
		})
	}
}
