package runtime

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
)

var rgpModels = []string{"models/gpt2-ts17", "models/roberta-ts13", "models/gpt2-dyn18", "matrix/llama-optimum-past", "matrix/t5-optimum", "matrix/bert-optimum-o2", "matrix/albert-optimum"}

// The reparametrised model computes what the model does, and norms and sums of its carriers are the oracle's.
func TestRGPNormsAgainstLoop(t *testing.T) {
	for _, path := range fewIfShort(rgpModels) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			m, names := adapted(t, filepath.Join("..", "testdata", path), MethodOptions{Name: "rgp", RGPRank: 2})
			if len(names) < 8 {
				t.Errorf("only %q are trained", names)
			}
			loss, b := methodCase(t, path)
			compareWithLoop(t, m, loss, b, []string{"part:adapter"})
			p, err := m.Prepared()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "adapted.onnx")
			if err := p.Graph.Graph.Save(file); err != nil {
				t.Fatal(err)
			}
			want := forwardOf(t, filepath.Join("..", "testdata", path, "model.onnx"), b)
			if d := largestGap(t, want[p.Output], forwardOf(t, file, b)[p.Output]); d > 1e-4 {
				t.Errorf("outputs are %g apart", d)
			}
		})
	}
}

// One step without noise and clipping on all records moves every weight by the projection of the gradient of full
// fine-tuning onto the carriers of the weights, ∂W − (1 − AAᵀ)·∂W·(1 − BᵀB), and leaves the rest alone.
func TestRGPMovesByTheProjection(t *testing.T) {
	run := func(method string) (before, after map[string][]float32, f *finetune) {
		o := crashOptions(crashDir(t))
		o.TargetEpsilon, o.NoPrivacy, o.Method, o.Steps, o.ExpectedBatch, o.SampleRate, o.Optimizer, o.LearningRate = 0, true, method, 1, 0, 1, "sgd", 1
		f = prepareRun(t, o)
		if err := f.train(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		return weightsOf(t, filepath.Join(o.Model, "model.onnx")), weightsOf(t, filepath.Join(o.Out, "model.onnx")), f
	}
	_, full, _ := run("full")
	before, after, f := run("rgp")
	r := f.model.method.(*rgp)
	moved := map[string]bool{}
	for _, name := range f.trainer.moved.beside {
		moved[name] = true
		if d := relativeDistance(one(after[name]), one(full[name])); !(d < 1e-4) {
			t.Errorf("%s, trained beside the carriers, is %g from full fine-tuning's", name, d)
		}
	}
	for _, u := range r.updates {
		moved[u.Weight] = true
		if d := relativeDistance(one(difference(after[u.Weight], before[u.Weight])), one(r.projected(u, before[u.Weight], full[u.Weight]))); !(d < 1e-3) {
			t.Errorf("%s moved by something else than the projected gradient: %g apart", u.Weight, d)
		}
	}
	if len(r.updates) != 12 {
		t.Errorf("%d weights are reparametrised, want 6 of each of two layers", len(r.updates))
	}
	for name, v := range after {
		if !moved[name] && !slices.Equal(v, before[name]) {
			t.Errorf("%s changed", name)
		}
	}
}

// one names a vector, for distances.
func one(v []float32) map[string][]float32 { return map[string][]float32{"": v} }

func difference(a, b []float32) []float32 {
	out := slices.Clone(a)
	for i := range out {
		out[i] -= b[i]
	}
	return out
}

// projected is the change of a weight, from before to full, projected onto the carriers of before.
func (r *rgp) projected(u adapt.LowRank, before, full []float32) []float32 {
	rank := r.options.RGPRank
	a, b := make([]float32, int(u.In)*rank), make([]float32, rank*int(u.Out))
	u.Carry(before, r.carrierSource(u.Weight, 0), a, b)
	outside := mat.NewDense(int(u.In), int(u.Out), nil)
	place := func(i, j int) int {
		if u.Transposed {
			return j*int(u.In) + i
		}
		return i*int(u.Out) + j
	}
	for i := range int(u.In) {
		for j := range int(u.Out) {
			outside.Set(i, j, float64(full[place(i, j)])-float64(before[place(i, j)]))
		}
	}
	without := func(n int, at func(i, k int) float32) *mat.Dense { // 1 − VVᵀ
		m := mat.NewDense(n, n, nil)
		for i := range n {
			for j := range n {
				v := 0.0
				if i == j {
					v = 1
				}
				for k := range rank {
					v -= float64(at(i, k)) * float64(at(j, k))
				}
				m.Set(i, j, v)
			}
		}
		return m
	}
	change := mat.DenseCopyOf(outside)
	outside.Mul(without(int(u.In), func(i, k int) float32 { return a[i*rank+k] }), change)
	outside.Mul(outside, without(int(u.Out), func(j, k int) float32 { return b[k*int(u.Out)+j] }))
	change.Sub(change, outside)
	out := make([]float32, len(before))
	for i := range int(u.In) {
		for j := range int(u.Out) {
			out[place(i, j)] = float32(change.At(i, j))
		}
	}
	return out
}

// A run says what it trained, its carriers follow the update, and one that goes on from its checkpoint has the same weights
// and carriers to the bit.
func TestRGPTrainsAndIsResumed(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.Method, o.RGPRank, o.Steps = "rgp", 2, 3
	f := prepareRun(t, o)
	first := slices.Clone(f.trainer.weights.Trained.Data())
	if err := f.train(t.Context()); err != nil {
		t.Fatal(err)
	}
	trained, frozen := slices.Clone(f.trainer.weights.Trained.Data()), slices.Clone(f.trainer.weights.Frozen.Data())
	if slices.Equal(first, trained) {
		t.Error("the carriers are those of the first step")
	}
	if n := f.movedNumbers(); n != int64(len(f.trainer.moved.weights.Data())) {
		t.Errorf("%d weights are moved, counted as %d", len(f.trainer.moved.weights.Data()), n)
	}
	if err := f.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	f.ledger = nil
	o.Resume = true
	g := prepareRun(t, o)
	if !slices.Equal(g.trainer.weights.Trained.Data(), trained) || !slices.Equal(g.trainer.weights.Frozen.Data(), frozen) {
		t.Error("the resumed run has other weights or carriers")
	}
	if _, err := g.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if !strings.HasPrefix(said.Method, "RGP of rank 2 on 12 weights (part:layers)") || said.Dim != int64(len(trained)) {
		t.Errorf("the statement says %q, %d coordinates of %d", said.Method, said.Dim, len(trained))
	}
}

// The written weights are those of the best noised evaluation.
func TestRGPKeepsTheBest(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.Method, o.Steps, o.Valid, o.DPEvaluate, o.EvaluationNoise, o.Keep = "rgp", 2, o.Train, 2, 40, KeepBest
	f := prepareRun(t, o)
	if err := f.train(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := f.evaluations.best.Step
	if _, err := f.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	for _, u := range f.model.method.(*rgp).updates {
		if !slices.Equal(after[u.Weight], f.trainer.moved.weights.Slice(u.Weight)) {
			t.Errorf("%s is not that of the best evaluation, after step %d", u.Weight, at)
		}
	}
}

func TestRGPRefusals(t *testing.T) {
	for says, change := range map[string]func(o *FinetuneOptions){
		"--ema averages":       func(o *FinetuneOptions) { o.EMA = 0.9 },
		"--rgp-rank belongs":   func(o *FinetuneOptions) { o.Method = "lora" },
		"rank 19":              func(o *FinetuneOptions) { o.RGPRank = 19 },
		"is the matrix of a":   func(o *FinetuneOptions) { o.RGPTargets = []string{"kind:bias"} },
		"matches no parameter": func(o *FinetuneOptions) { o.RGPTargets = []string{"nothing*"} },
	} {
		o := crashOptions(crashDir(t))
		o.Method, o.RGPRank = "rgp", 1
		change(&o)
		if _, err := Finetune(t.Context(), o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
