package runtime

import (
	"math/rand/v2"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// stem is a model on sound [B,3,any length]: two convolutions, as Whisper begins,
// one of them grouped, and a head on the mean over time.
func stem() *irtest.Builder {
	return irtest.New(18).Input("sound", ir.Float32, "batch", 3, "length").Output("logits").
		Fill("w1", 6, 3, 3).Fill("b1", 6).Fill("w2", 4, 3, 2).Fill("b2", 4).Fill("head", 4, 3).
		Node("h = Conv(sound,w1,b1)", ir.Attrs{"pads": []int64{1, 1}}).Node("t = Tanh(h)").
		Node("g = Conv(t,w2,b2)", ir.Attrs{"group": int64(2), "strides": []int64{2}, "dilations": []int64{2}}).
		Node("m = ReduceMean(g,last)", ir.Attrs{"keepdims": int64(0)}).Ints("last", []int64{1}, -1).Node("logits = MatMul(m,head)")
}

// normed is a convolution whose weights are normalised in the graph, as wav2vec 2.0
// has it: w = g·v/‖v‖ over all but the last axis.
func normed() *irtest.Builder {
	return irtest.New(18).Input("sound", ir.Float32, "batch", 3, "length").Output("logits").
		Fill("v", 4, 3, 5).Fill("g", 1, 1, 5).Fill("b", 4).Fill("head", 4, 3).Ints("all", nil, 0, 1).
		Node("n = ReduceL2(v,all)").Node("u = Div(v,n)").Node("w = Mul(u,g)").
		Node("h = Conv(sound,w,b)", ir.Attrs{"pads": []int64{2, 2}}).Node("t = Tanh(h)").
		Node("m = ReduceMean(t,last)", ir.Attrs{"keepdims": int64(0)}).Ints("last", []int64{1}, -1).Node("logits = MatMul(m,head)")
}

func TestConvolutionsHaveTheLoopsNorms(t *testing.T) {
	for name, c := range map[string]struct {
		graph      *irtest.Builder
		parameters int
	}{"two, one of them grouped": {stem(), 5}, "weights normalised in the graph": {normed(), 4}} {
		t.Run(name, func(t *testing.T) { convolutionHasTheLoopsNorms(t, modelOf(t, c.graph), c.parameters) })
	}
}

func convolutionHasTheLoopsNorms(t *testing.T, m *Model, parameters int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][]int64{{1, 3, 7}, {2, 3, 20}, {7, 3, 33}} {
		data := make([]float32, shape[0]*shape[1]*shape[2])
		for i := range data {
			data[i] = float32(rng.NormFloat64())
		}
		sound, err := ort.NewTensor(shape, data)
		if err != nil {
			t.Fatal(err)
		}
		labels := make([]int64, shape[0])
		for i := range labels {
			labels[i] = int64(i % 3)
		}
		targets, err := ort.NewTensor([]int64{shape[0]}, labels)
		if err != nil {
			t.Fatal(err)
		}
		b := &Batch{Inputs: map[string]*ort.Tensor{"sound": sound}, Loss: map[string]*ort.Tensor{"labels": targets}}
		options := GradNormsOptions{Loss: "classify", PerParameter: true, Sum: true, ClipNorm: 0.1}
		fast, err := m.GradNorms(t.Context(), b, options)
		if err != nil {
			t.Fatal(err)
		}
		options.Method = "loop"
		loop, err := m.GradNorms(t.Context(), b, options)
		if err != nil {
			t.Fatal(err)
		}
		if len(fast.Norms) != parameters {
			t.Fatalf("%d parameters, want %d: %v", len(fast.Norms), parameters, fast.Norms)
		}
		for name, v := range loop.Norms {
			for k := range v {
				if !within(fast.Norms[name][k], v[k], 1e-4, 1e-6*loop.Norm[k]) || v[k] == 0 {
					t.Errorf("%s, record %d: ghost %g, loop %g", name, k, fast.Norms[name][k], v[k])
				}
			}
		}
		for name, v := range loop.Sum {
			for k := range v {
				if !within(float64(fast.Sum[name][k]), float64(v[k]), 1e-4, 1e-6) {
					t.Fatalf("sum of %s[%d]: ghost %g, loop %g", name, k, fast.Sum[name][k], v[k])
				}
			}
		}
	}
}
