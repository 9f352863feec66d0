package runtime

import (
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// optimizerCase is testdata/optimizer/FAMILY.json: ten DP-Adam steps that
// PyTorch took, in double precision, without noise.
type optimizerCase struct {
	Family, Loss, Weights string
	Settings              struct {
		LR            float64
		Clip          string
		ClipNorm      float64 `json:"clip_norm"`
		ExpectedBatch float64 `json:"expected_batch"`
	}
	IllConditioned []struct {
		Name        string
		First, Last int
	} `json:"ill_conditioned"`
	Steps []struct {
		Batch          json.RawMessage
		OptionalInputs map[string]tensorJSON `json:"optional_inputs"`
	}
}

// Ten DP-Adam steps at σ = 0 on fixed batches end at PyTorch's weights.
func TestDPAdamAgainstPyTorch(t *testing.T) {
	for _, name := range []string{"gpt2-ts17", "gpt2-dyn18", "bert-ts17", "bert-optimum", "distilbert-dyn18", "distilbert-optimum"} {
		t.Run(name, func(t *testing.T) {
			f := openFixture(t, name)
			var c optimizerCase
			readJSON(t, filepath.Join("../testdata/optimizer", f.info.Family+".json"), &c)
			w := f.takeSteps(t, &c)
			f.compareWeights(t, &c, w)
		})
	}
}

// takeSteps trains from the file's weights on the case's batches.
func (f *fixture) takeSteps(t *testing.T, c *optimizerCase) *Weights {
	t.Helper()
	env, err := f.model.Env()
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.model.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	set := newStepSet(env, p, ghost.Spec{Loss: c.Loss, Pass: ghost.Clipped, Clip: ghost.ClipRule(c.Settings.Clip), ClipNorm: float32(c.Settings.ClipNorm)}, workplace{threads: 1})
	t.Cleanup(func() { set.Close() })
	st, err := set.at(16)
	if err != nil {
		t.Fatal(err)
	}
	w, err := loadWeights(p, st.program.Trained, append(st.program.Unreached, st.program.Frozen...))
	if err != nil {
		t.Fatal(err)
	}
	sums := w.Trained.Like()
	plan, err := dpadam.NewPlan(dpadam.Config{
		Records: 100, ExpectedBatch: c.Settings.ExpectedBatch, Steps: int64(len(c.Steps)), NoPrivacy: true, ClipNorm: c.Settings.ClipNorm,
		Dim: int64(len(sums.Data())), Optimizer: dpadam.Adam(c.Settings.LR),
	})
	if err != nil {
		t.Fatal(err)
	}
	optimizer, err := dpadam.NewOptimizer(plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trainer{weights: w, sums: sums}
	for _, s := range c.Steps {
		feeds, _, err := st.feeds(f.batch(t, &goldenCase{Batch: s.Batch, OptionalInputs: s.OptionalInputs}))
		if err != nil {
			t.Fatal(err)
		}
		fetches, err := tr.fetches(st.program)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.run(t.Context(), feeds, w, nil, fetches); err != nil {
			t.Fatal(err)
		}
		if err := optimizer.Update(w.Trained.Data(), sums.Data(), c.Settings.LR); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// compareWeights holds every weight to PyTorch's, relative to the parameter's
// largest, leaving out what has no gradient in exact arithmetic.
func (f *fixture) compareWeights(t *testing.T, c *optimizerCase, w *Weights) {
	t.Helper()
	shapes := map[string][]int64{}
	for _, p := range w.Trained.Params() {
		shapes[p.Name] = p.Shape
	}
	golden := readFloats(t, filepath.Join("../testdata/optimizer", c.Weights))
	for _, bad := range c.IllConditioned {
		for i := bad.First; i < bad.Last; i++ {
			golden[bad.Name][i] = float32(math.NaN())
		}
	}
	want := f.renamed(golden, &GradNorms{Shapes: shapes})
	if len(want) != len(shapes) {
		t.Errorf("%d of %d parameters are in the golden file", len(want), len(shapes))
	}
	worst := 0.0
	for name, v := range want {
		got, largest := w.Trained.Slice(name), 0.0
		for _, x := range v {
			if x == x {
				largest = math.Max(largest, math.Abs(float64(x)))
			}
		}
		for i, x := range v {
			if x != x {
				continue
			}
			d := math.Abs(float64(got[i])-float64(x)) / largest
			worst = math.Max(worst, d)
			if d > 1e-4 {
				t.Errorf("%s[%d] is %g, PyTorch's %g", name, i, got[i], x)
				break
			}
		}
	}
	t.Logf("largest difference over the parameter's largest weight: %.1e", worst)
}

func readFloats(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	f := &fixture{}
	f.info.Family = "."
	return f.goldenSum(t, filepath.Join("..", "optimizer", filepath.Base(path)))
}
