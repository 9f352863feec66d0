package runtime

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// adapted opens a model of testdata for a method and returns the names of what it trains.
func adapted(t *testing.T, path string, o MethodOptions) (*Model, []string) {
	t.Helper()
	m, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	patterns, err := m.Adapt(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Inspect(patterns, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range r.Parameters {
		if p.Trainable {
			names = append(names, p.Name)
			if p.Norm == "" {
				t.Errorf("%s: no norm", p.Name)
			}
		}
	}
	return m, names
}

func TestPresetsTrain(t *testing.T) {
	for _, c := range []struct {
		method, model string
		want          int
		holds, lacks  string
	}{
		{"full", "gpt2-ts17", 28, "wpe.weight", "lora"},
		{"bias-only", "gpt2-ts17", 13, "ln_f.bias", ".weight"},
		{"bias-only", "distilbert-ts17", 21, "model.classifier.weight", "lin1.weight"}, // 19 biases and shifts, two weights of the head
		{"attention-only", "gpt2-ts17", 8, "h.0.attn.c_proj.bias", "mlp"},
		{"attention-only", "distilbert-ts17", 20, "model.classifier.weight", "ffn"},
		{"head-only", "distilbert-ts17", 4, "pre_classifier.weight", "transformer"},
		{"head-only", "gpt2-ts17", 1, "wte.weight", "h.0"}, // tied
		{"top2", "gpt2-ts17", 27, "wte.weight", "wpe"},
		{"scratch", "gpt2-ts17", 28, "wpe.weight", "lora"},
	} {
		_, names := adapted(t, filepath.Join(models, c.model), MethodOptions{Name: c.method})
		has := func(part string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, part) })
		}
		if len(names) != c.want || !has(c.holds) || has(c.lacks) {
			t.Errorf("%s on %s trains %d: %q", c.method, c.model, len(names), names)
		}
	}
}

// From scratch, the file's numbers are gone: each parameter has the distribution that transformers
// gives it, the same for every exporter, and another seed gives others.
func TestScratchDrawsAsTransformers(t *testing.T) {
	weights := func(model string, seed uint64) map[string][]float32 {
		m, names := adapted(t, filepath.Join(models, model), MethodOptions{Name: "scratch", Seed: seed})
		p, err := m.Prepared()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]float32{}
		for _, n := range names {
			if out[n], err = p.Graph.Inits[n].Float32s(); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	std := func(v []float32) float64 {
		s := 0.0
		for _, x := range v {
			s += float64(x) * float64(x)
		}
		return math.Sqrt(s / float64(len(v)))
	}
	a, again, other := weights("gpt2-ts17", 1), weights("gpt2-dyn18", 1), weights("gpt2-ts17", 2)
	for name, want := range map[string]float64{ // 0.02, and 0.02/√(2·2 layers) in front of a residual sum
		"model.transformer.wte.weight": 0.02, "model.transformer.h.0.attn.c_attn.weight": 0.02,
		"model.transformer.h.1.attn.c_proj.weight": 0.01, "model.transformer.h.0.mlp.c_proj.weight": 0.01,
		"model.transformer.ln_f.weight": 1, "model.transformer.h.0.attn.c_attn.bias": 0,
	} {
		if got := std(a[name]); math.Abs(got-want) > 0.15*want {
			t.Errorf("%s: standard deviation %.4f, want %.4f", name, got, want)
		}
		if layer := strings.Contains(name, ".h."); layer && !slices.Equal(a[name], again[name]) { // others may have other names
			t.Errorf("%s: two exporters' files of one model begin differently", name)
		}
		if 0 < want && want < 1 && slices.Equal(a[name], other[name]) {
			t.Errorf("%s: two seeds give the same", name)
		}
	}
}

func TestScratchTrainsAndSaysSo(t *testing.T) {
	if testing.Short() {
		t.Skip("a run")
	}
	dir := crashDir(t)
	o := crashOptions(dir)
	o.Method, o.InitSeed, o.Steps, o.Freeze = "scratch", 5, 2, []string{"part:embeddings"}
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if !strings.Contains(said.Method, "from scratch, seed 5") {
		t.Errorf("the statement says %q", said.Method)
	}
	before, after := weightsOf(t, filepath.Join(o.Model, "model.onnx")), weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	for name, v := range after {
		if len(v) > 200 && slices.Equal(v, before[name]) {
			t.Errorf("%s still has the numbers of the file", name)
		}
	}
}

func TestMethodsAreRefusedInWords(t *testing.T) {
	for method, c := range map[string]struct{ model, says string }{
		"nonsense":       {"models/gpt2-ts17", "bias-only"},
		"head-only":      {"models/gpt2-base-ts17", "no head"},
		"attention-only": {"matrix/poolformer-dyn18", "no attention"},
		"scratch":        {"matrix/opt-ts17-qdq4", "quantised"},
	} {
		m, err := Open(filepath.Join("..", "testdata", c.model), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Adapt(t.Context(), MethodOptions{Name: method}, nil)
		if ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", method, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
