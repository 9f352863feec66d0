package dpadam

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// optimizerFor makes an optimizer over d coordinates that divides by batch.
func optimizerFor(t testing.TB, spec OptimizerSpec, d int, batch float64, noDecay ...Range) Optimizer {
	t.Helper()
	p := mustPlan(t, Config{Records: 1000, ExpectedBatch: batch, Steps: 10, NoPrivacy: true, Dim: int64(d), Optimizer: spec})
	o, err := NewOptimizer(p, noDecay)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// torch's own numbers (testdata/gen_optimizer.py), with the gradients given as sums of 64.
func TestOptimizersEqualTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/optimizer.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Start     []float32
		Gradients [][]float32
		Cases     map[string][][]float32
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	var hf map[string]json.RawMessage
	if data, err = os.ReadFile("testdata/optimizer_transformers.json"); err == nil {
		err = json.Unmarshal(data, &hf)
	}
	var steps [][]float32
	if err == nil {
		err = json.Unmarshal(hf["adamw-transformers"], &steps)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.Cases["adamw-transformers"] = steps
	style := AdamW(3e-3, 0.05)
	style.Style, style.Epsilon = "transformers", 1e-6
	betas := Adam(1e-2)
	betas.Beta1, betas.Beta2, betas.Epsilon = 0.5, 0.7, 1e-4
	l2 := Adam(2e-3)
	l2.WeightDecay = 0.1
	decay := SGD(0.05, 0.8)
	decay.WeightDecay = 0.01
	specs := map[string]OptimizerSpec{"adam": Adam(2e-3), "adam-decay": l2, "adam-betas": betas, "adamw": AdamW(2e-3, 0.05), "adamw-transformers": style,
		"sgd": SGD(0.1, 0), "sgd-momentum": SGD(0.05, 0.9), "sgd-momentum-decay": decay}
	if len(v.Cases) != len(specs) {
		t.Fatalf("%d golden cases, %d specs", len(v.Cases), len(specs))
	}
	for name, steps := range v.Cases {
		o := optimizerFor(t, specs[name], len(v.Start), 64)
		p := slices.Clone(v.Start)
		for k, want := range steps {
			sum := make([]float32, len(p))
			for i, g := range v.Gradients[k] {
				sum[i] = g * 64
			}
			if err := o.Update(p, sum, specs[name].LearningRate); err != nil {
				t.Fatal(err)
			}
			for i := range p {
				// Single precision, of the value or, where it has come close to 0, of the updates.
				tolerance := 4e-7*math.Abs(float64(want[i])) + 1e-6*specs[name].LearningRate
				if math.Abs(float64(p[i]-want[i])) > tolerance {
					t.Errorf("%s step %d coordinate %d: %g, torch %g", name, k+1, i, p[i], want[i])
				}
			}
		}
		if o.Step() != int64(len(steps)) {
			t.Errorf("%s: step %d", name, o.Step())
		}
	}
}

type sharedOptimizer struct{ Parameters, Gradients, Momentum1s, Momentum2s map[string][][]float32 }

func readSharedOptimizer(t *testing.T, parts ...string) sharedOptimizer {
	t.Helper()
	data, err := os.ReadFile(sharedData(t, append([]string{"optimizer"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	var v sharedOptimizer
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// onnxruntime's test data: AdamW in torch's order (mode 0) and in transformers' (mode 1), SGD.
func TestOptimizersAgainstReference(t *testing.T) {
	mode1 := AdamW(1e-3, 0)
	mode1.Style, mode1.Epsilon = "transformers", 1e-6
	for file, spec := range map[string]OptimizerSpec{
		"adamw/adamw_test_single_weight_mode_0.json":    AdamW(1e-3, 1e-2),
		"adamw/adamw_test_multiple_weights_mode_0.json": AdamW(1e-3, 1e-2),
		"adamw/adamw_test_single_weight_mode_1.json":    mode1,
		"adamw/adamw_test_multiple_weights_mode_1.json": mode1,
		"sgd_test_single_weight.json":                   SGD(1e-3, 0),
		"sgd_test_multiple_weights.json":                SGD(1e-3, 0),
	} {
		v := readSharedOptimizer(t, filepath.FromSlash(file))
		if len(v.Gradients) == 0 {
			t.Fatalf("%s: no gradients", file)
		}
		for name, grads := range v.Gradients {
			o := optimizerFor(t, spec, len(grads[0]), 1)
			p := slices.Clone(v.Parameters[name][0])
			for k, g := range grads {
				if err := o.Update(p, g, 1e-3); err != nil {
					t.Fatal(err)
				}
				compare(t, fmt.Sprintf("%s %s step %d", file, name, k+1), p, v.Parameters[name][k+1], 1e-6)
				if s := o.State(); len(s) == 2 {
					compare(t, file+" first moment", s[0].Data, v.Momentum1s[name][k+1], 1e-6)
					compare(t, file+" second moment", s[1].Data, v.Momentum2s[name][k+1], 1e-6)
				}
			}
		}
	}
}

// compare allows relative times the largest value of the vector.
func compare(t *testing.T, name string, got, want []float32, relative float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	size := 0.0
	for _, x := range want {
		size = max(size, math.Abs(float64(x)))
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > relative*size {
			t.Errorf("%s: [%d] = %g, want %g", name, i, got[i], want[i])
		}
	}
}

func TestSchedulesAgainstReference(t *testing.T) {
	for _, warmup := range []int64{0, 30, 70, 200} {
		for _, suffix := range []string{"", "_restored"} {
			path := sharedData(t, "optimizer", "lr_scheduler", fmt.Sprintf("warmup_linear_scheduler_warmupstep-%d%s.json", warmup, suffix))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var rows [][2]json.RawMessage
			if err := json.Unmarshal(data, &rows); err != nil {
				t.Fatal(err)
			}
			s := ScheduleSpec{Name: "linear", Warmup: warmup}
			for _, r := range rows {
				var k int64
				var want [1]float64
				if json.Unmarshal(r[0], &k) != nil || json.Unmarshal(r[1], &want) != nil {
					t.Fatal("unreadable row")
				}
				if got := 1e-3 * s.Factor(k, 100); math.Abs(got-want[0]) > 1e-15 {
					t.Errorf("warm-up %d%s step %d: %g, want %g", warmup, suffix, k, got, want[0])
				}
			}
		}
	}
}

func TestScheduleShapes(t *testing.T) {
	for _, c := range []struct {
		s        ScheduleSpec
		k, total int64
		want     float64
	}{
		{ScheduleSpec{Name: "constant"}, 0, 10, 1}, {ScheduleSpec{Name: "constant"}, 99, 10, 1},
		{ScheduleSpec{Name: "constant", Warmup: 4}, 1, 10, .25}, {ScheduleSpec{Name: "constant", Warmup: 4}, 4, 10, 1},
		{ScheduleSpec{Name: "linear"}, 0, 10, 1}, {ScheduleSpec{Name: "linear"}, 5, 10, .5},
		{ScheduleSpec{Name: "linear"}, 9, 10, .1}, {ScheduleSpec{Name: "linear"}, 12, 10, 0},
		{ScheduleSpec{Name: "linear"}, 0, 0, 0}, {ScheduleSpec{Name: "linear", Warmup: 2}, 6, 10, .5},
	} {
		if got := c.s.Factor(c.k, c.total); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%+v at %d of %d: %g, want %g", c.s, c.k, c.total, got, c.want)
		}
	}
	p := mustPlan(t, e2e())
	if got := p.LearningRate(1, p.Steps()); got != 2e-3 {
		t.Errorf("the default is not constant: %g", got)
	}
}

// The denominator is the public expected batch, whatever was sampled (mistake 2).
func TestDenominatorIsPublic(t *testing.T) {
	o := optimizerFor(t, SGD(1, 0), 2, 250)
	p := []float32{1, 1}
	if err := o.Update(p, []float32{250, 0}, 1); err != nil || p[0] != 0 || p[1] != 1 {
		t.Errorf("%v, %v", p, err)
	}
}

// Weight decay leaves out the masked ranges; the update does not (mistake 8).
func TestDecayMask(t *testing.T) {
	const d = 3 * updateStretch
	for _, spec := range []OptimizerSpec{AdamW(0.1, 0.5), {Name: "adam", LearningRate: .1, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: .5},
		{Name: "sgd", LearningRate: 0.1, WeightDecay: 0.5}} {
		mask := []Range{{0, 10}, {10, 10}, {updateStretch - 5, 2 * updateStretch}}
		o := optimizerFor(t, spec, d, 1, mask...)
		p, g := make([]float32, d), make([]float32, d)
		for i := range p {
			p[i] = 1
		}
		if err := o.Update(p, g, 0.1); err != nil {
			t.Fatal(err)
		}
		for i, x := range p {
			masked := i < 10 || i >= updateStretch-5 && i < 2*updateStretch
			if masked != (x == 1) {
				t.Fatalf("%s coordinate %d: %g, masked %t", spec.Name, i, x, masked)
			}
		}
	}
	p := openPlan(t, 10)
	for _, bad := range [][]Range{{{5, 3}}, {{0, 11}}, {{-1, 2}}, {{4, 6}, {5, 7}}, {{4, 6}, {0, 1}}} {
		if _, err := NewOptimizer(p, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("mask %v: %v", bad, err)
		}
	}
}

// State and step restore an optimizer exactly.
func TestOptimizerResumes(t *testing.T) {
	for _, spec := range []OptimizerSpec{Adam(1e-2), AdamW(1e-2, 0.1), SGD(1e-2, 0.9), SGD(1e-2, 0)} {
		const d = 100
		grad := func(k int) []float32 {
			g := make([]float32, d)
			for i := range g {
				g[i] = float32(math.Sin(float64(k*d + i)))
			}
			return g
		}
		whole, first := optimizerFor(t, spec, d, 7), optimizerFor(t, spec, d, 7)
		p, q := make([]float32, d), make([]float32, d)
		for k := range 10 {
			if err := whole.Update(p, grad(k), 1e-2); err != nil {
				t.Fatal(err)
			}
		}
		for k := range 4 {
			if err := first.Update(q, grad(k), 1e-2); err != nil {
				t.Fatal(err)
			}
		}
		second := optimizerFor(t, spec, d, 7)
		for i, s := range first.State() {
			copy(second.State()[i].Data, s.Data)
		}
		if err := second.SetStep(first.Step()); err != nil {
			t.Fatal(err)
		}
		for k := 4; k < 10; k++ {
			if err := second.Update(q, grad(k), 1e-2); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(p, q) {
			t.Errorf("%s: the resumed run differs", spec.Name)
		}
	}
	o := optimizerFor(t, Adam(1), 3, 1)
	for _, err := range []error{o.Update(make([]float32, 2), make([]float32, 3), 1), o.Update(make([]float32, 3), make([]float32, 4), 1)} {
		if !errors.Is(err, ErrMisuse) {
			t.Errorf("wrong length: %v", err)
		}
	}
	if err := o.Update(make([]float32, 3), make([]float32, 3), math.NaN()); !errors.Is(err, ErrInvalid) {
		t.Errorf("learning rate NaN: %v", err)
	}
	if err := o.SetStep(-1); !errors.Is(err, ErrInvalid) {
		t.Errorf("negative step: %v", err)
	}
}
