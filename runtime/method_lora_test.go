package runtime

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// disturb gives what a method added random numbers: at its initial values half of an update's
// gradient is 0.
func disturb(t *testing.T, m *Model) *ghost.Prepared {
	t.Helper()
	p, err := m.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, q := range p.Parameters {
		if !p.Adapters[q.Name] {
			continue
		}
		v := make([]float32, q.Elements())
		for i := range v {
			v[i] = float32(0.1 * rng.NormFloat64())
		}
		p.Graph.Inits[q.Name] = ir.NewFloat32(q.Name, q.Shape, v)
	}
	return p
}

// methodCase is a model of testdata with a batch that fits it.
func methodCase(t *testing.T, path string) (loss string, b *Batch) {
	t.Helper()
	if strings.HasPrefix(path, "models/") {
		f := openFixture(t, strings.TrimPrefix(path, "models/"))
		c := f.load(t, f.info.Cases[slices.IndexFunc(f.info.Cases, func(n string) bool { return strings.Contains(n, "-b2-t16") || strings.Contains(n, "-b7-t16") })])
		return c.Loss, f.batch(t, c)
	}
	var c struct {
		Loss  string
		Batch json.RawMessage
	}
	readJSON(t, filepath.Join("..", "testdata", path, "case.json"), &c)
	b, err := ParseBatch(c.Batch)
	if err != nil {
		t.Fatal(err)
	}
	return c.Loss, b
}

// compareWithLoop holds norms and clipped sums of what a method trains to the oracle.
func compareWithLoop(t *testing.T, m *Model, loss string, b *Batch, trainable []string) {
	t.Helper()
	results := map[string]*GradNorms{}
	for _, method := range []string{"ghost", "loop"} {
		r, err := m.GradNorms(t.Context(), b, GradNormsOptions{Loss: loss, Method: method, PerParameter: true, Sum: true, Trainable: trainable})
		if err != nil {
			t.Fatal(err)
		}
		results[method] = r
	}
	g, l := results["ghost"], results["loop"]
	for i := range l.Norm {
		if !within(g.Norm[i], l.Norm[i], 1e-4, 0) || l.Norm[i] == 0 {
			t.Errorf("record %d: norm %g, by the loop %g", i, g.Norm[i], l.Norm[i])
		}
		for name, want := range l.Norms {
			if !within(g.Norms[name][i], want[i], 1e-4, 1e-6*l.Norm[i]) {
				t.Errorf("record %d, %s: norm %g, by the loop %g", i, name, g.Norms[name][i], want[i])
			}
		}
	}
	if d := relativeDistance(g.Sum, l.Sum); !(d < 1e-4) {
		t.Errorf("the clipped sums are %g apart", d)
	}
}

var loraModels = []string{
	"models/gpt2-ts17", "models/gpt2-dyn18", "models/gpt2-optimum", "models/roberta-ts13",
	"matrix/llama-optimum-past", "matrix/t5-optimum", "matrix/albert-optimum", "matrix/bert-optimum-o2",
}

// Norms and sums of low-rank updates are the oracle's, for every exporter's way to write a product.
func TestLoRANormsAgainstLoop(t *testing.T) {
	for _, path := range fewIfShort(loraModels) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			m, names := adapted(t, filepath.Join("..", "testdata", path), MethodOptions{Name: "lora", Rank: 2, Alpha: 4, Targets: []string{"attention:", "layers:0-"}})
			disturb(t, m)
			if len(names) < 8 {
				t.Errorf("only %q are trained", names)
			}
			loss, b := methodCase(t, path)
			compareWithLoop(t, m, loss, b, []string{"part:adapter"})
		})
	}
}

// fewIfShort leaves the first two of what only computes for long.
func fewIfShort(paths []string) []string {
	if testing.Short() {
		return paths[:2]
	}
	return paths
}

// forwardOf runs a graph's outputs on a batch.
func forwardOf(t *testing.T, path string, b *Batch) map[string]*ort.Tensor {
	t.Helper()
	m, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	inputs := map[string]*ort.Tensor{}
	for _, in := range m.File().Graph().Inputs {
		if v := b.Inputs[in.Name]; v != nil {
			inputs[in.Name] = v
		}
	}
	out, err := m.Run(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The written model, updates merged into its weights, computes what the model with the updates
// beside them does.
func TestLoRAMergedEqualsAdapted(t *testing.T) {
	for _, path := range fewIfShort([]string{"models/gpt2-ts17", "matrix/bert-optimum-o2", "models/gpt2-dyn18", "models/roberta-ts13", "models/distilbert-optimum", "matrix/albert-optimum", "matrix/t5-optimum"}) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			m, _ := adapted(t, filepath.Join("..", "testdata", path), MethodOptions{Name: "lora", Rank: 3, Alpha: 2, Targets: []string{"attention:", "layers:0-"}})
			p := disturb(t, m)
			dir := t.TempDir()
			if err := p.Graph.Graph.Save(filepath.Join(dir, "adapted.onnx")); err != nil {
				t.Fatal(err)
			}
			w := wholeWeights(t, p)
			if err := m.method.save(m, dir, w, map[string]string{}); err != nil {
				t.Fatal(err)
			}
			_, b := methodCase(t, path)
			want, got, base := forwardOf(t, filepath.Join(dir, "adapted.onnx"), b), forwardOf(t, filepath.Join(dir, "model.onnx"), b), forwardOf(t, m.File().Path, b)
			x, y, z := want[p.Output], got[p.Output], base[p.Output]
			if d := largestGap(t, x, y); d > 1e-4 {
				t.Errorf("outputs are %g apart", d)
			}
			if d := largestGap(t, x, z); d < 1e-2 {
				t.Errorf("the update changes outputs by %g only", d)
			}
		})
	}
}

// wholeWeights are the parameters of an analysis, adapters trained.
func wholeWeights(t *testing.T, p *ghost.Prepared) *Weights {
	t.Helper()
	var trained, frozen []ghost.Parameter
	for _, q := range p.Parameters {
		if p.Adapters[q.Name] {
			trained = append(trained, q)
		} else {
			frozen = append(frozen, q)
		}
	}
	w, err := loadWeights(p, trained, frozen)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func largestGap(t *testing.T, a, b *ort.Tensor) float64 {
	t.Helper()
	x, err := floats(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := floats(b)
	if err != nil || len(x) != len(y) {
		t.Fatal(err, len(x), len(y))
	}
	worst := 0.0
	for i := range x {
		worst = max(worst, abs(x[i]-y[i]))
	}
	return worst
}

// A run with updates trains them and the classifier's head alone, writes the merged model and the
// adapter, and its checkpoints hold no more.
func TestLoRATrains(t *testing.T) {
	dir := crashDir(t)
	data, err := os.ReadFile(filepath.Join(models, "distilbert-optimum", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model", "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	o := crashOptions(dir)
	o.Method, o.LoRARank, o.AdapterModel, o.Steps = "lora", 2, true, 3
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before, after := weightsOf(t, filepath.Join(o.Model, "model.onnx")), weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	changed := 0
	for name, v := range after {
		if !slices.Equal(v, before[name]) {
			changed++
		}
	}
	if changed != 8 { // queries and values of two layers, and a head of two layers
		t.Errorf("%d initializers changed, want 8", changed)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if !strings.HasPrefix(said.Method, "LoRA of rank 2, alpha 32, on 4 weights") || said.Dim != 4*2*(18+18)+18*18+18+3*18+3 {
		t.Errorf("the statement says %q, %d coordinates", said.Method, said.Dim)
	}
	raw, err := os.ReadFile(filepath.Join(o.Out, "adapter", "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := safetensors.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int64{}
	for _, x := range tensors {
		shapes[x.Name] = x.Shape
	}
	for name, want := range map[string][]int64{
		"base_model.model.distilbert.transformer.layer.1.attention.q_lin.lora_A.weight": {2, 18},
		"base_model.model.distilbert.transformer.layer.0.attention.v_lin.lora_B.weight": {18, 2},
		"base_model.model.classifier.bias":                                              {3},
	} {
		if !slices.Equal(shapes[name], want) {
			t.Errorf("%s has shape %v, want %v; there are %v", name, shapes[name], want, shapes)
		}
	}
	for _, name := range []string{"adapter_config.json", "adapter.onnx_adapter", "model.onnx", "README.md"} {
		if !exists(filepath.Join(o.Out, "adapter", name)) {
			t.Errorf("adapter/%s is missing", name)
		}
	}
	if n := len(weightsOf(t, filepath.Join(o.Out, "adapter", "model.onnx"))); n == 0 {
		t.Error("the model for the adapter has no weights")
	}
}

func TestKilledWithLoRA(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	v := &victim{dir: crashDir(t), variant: withLoRA}
	if code, text := v.start(t, "checkpoint.before-rename", 4, 0); code != -1 {
		t.Fatalf("the child ended with %d instead of being killed: %s", code, text)
	}
	v.check(t, "killed")
	v.finish(t, "killed")
}

func TestLoRARefusals(t *testing.T) {
	for says, c := range map[string]struct {
		model string
		o     MethodOptions
	}{
		"is also the table":    {"models/gpt2-ts17", MethodOptions{Targets: []string{"part:head"}}},
		"matches no parameter": {"models/gpt2-ts17", MethodOptions{Targets: []string{"*.query.*"}}},
		"is the matrix of":     {"models/gpt2-ts17", MethodOptions{Targets: []string{"*.ln_1.*"}}},
		"is more than":         {"models/gpt2-ts17", MethodOptions{Rank: 21}},
		"are quantised":        {"matrix/opt-ts17-qdq4", MethodOptions{}},
	} {
		m, err := Open(filepath.Join("..", "testdata", c.model), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.o.Name = "lora"
		_, err = m.Adapt(t.Context(), c.o, nil)
		if code := ExitCode(err); (code != ExitUsage && code != ExitUntrainable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		m.Close()
	}
	o := crashOptions(t.TempDir())
	o.LoRARank = 4
	if err := o.validate(); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "--method lora") {
		t.Errorf("a rank without the method: %v", err)
	}
}

// Exporters merge what is equal, zero biases above all; the names of the weights are found all the same.
func TestLoRAIsNamedWhereBiasesAreMerged(t *testing.T) {
	for _, name := range []string{"gpt2-default-ts17", "bert-optimum"} {
		m, names := adapted(t, filepath.Join(models, name), MethodOptions{Name: "lora", Rank: 1, Targets: []string{"attention:"}})
		p, err := m.Prepared()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := m.method.save(m, dir, wholeWeights(t, p), map[string]string{privacyKey: "?"}); err != nil {
			t.Fatal(err)
		}
		var c struct {
			Targets []string `json:"target_modules"`
			FanIn   bool     `json:"fan_in_fan_out"`
			Task    string   `json:"task_type"`
		}
		readJSON(t, filepath.Join(dir, "adapter", "adapter_config.json"), &c)
		gpt2 := strings.HasPrefix(name, "gpt2")
		updates := 0
		for _, n := range names {
			if strings.Contains(n, "lora_A") {
				updates++
			}
		}
		if len(c.Targets) != updates || c.FanIn != gpt2 || c.Task != map[bool]string{true: "CAUSAL_LM", false: "SEQ_CLS"}[gpt2] {
			t.Errorf("%s: %+v for %d updates", name, c, updates)
		}
	}
}
