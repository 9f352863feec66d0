package convert

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// Activations are transformers' (ACT2FN), in float64.
func TestActivations(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
	tanh := func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }
	silu := func(x float64) float64 { return x * sigmoid(x) }
	relu := func(x float64) float64 { return max(x, 0) }
	want := map[string]func(float64) float64{
		"relu": relu, "relu2": func(x float64) float64 { return relu(x) * relu(x) }, "tanh": math.Tanh, "sigmoid": sigmoid, "silu": silu, "swish": silu,
		"linear": func(x float64) float64 { return x }, "gelu": gelu, "gelu_python": gelu, "gelu_new": tanh, "gelu_fast": tanh,
		"gelu_pytorch_tanh": tanh, "gelu_accurate": tanh, "quick_gelu": func(x float64) float64 { return x * sigmoid(1.702*x) },
	}
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	var xs []float32
	for x := -8.0; x <= 8; x += 0.125 {
		xs = append(xs, float32(x))
	}
	for name, f := range activations {
		if want[name] == nil {
			t.Errorf("%s is not tested", name)
			continue
		}
		for i, y := range evaluate(t, env, f, xs) {
			if w := want[name](float64(xs[i])); math.Abs(float64(y)-w) > 1e-6*(1+math.Abs(w)) {
				t.Errorf("%s(%g) = %g, want %g", name, xs[i], y, w)
				break
			}
		}
	}
}

// evaluate runs a function of one vector as a graph.
func evaluate(t *testing.T, env *ort.Env, f func(*Builder, string) string, xs []float32) []float32 {
	t.Helper()
	c, err := ParseConfig([]byte(tinyGPT2))
	if err != nil {
		t.Fatal(err)
	}
	b := newBuilder(c, Options{}, newSource(nil, gpt2, Options{}))
	b.Output("y", f(b, b.Input("x", ir.Float32, "n")), ir.Float32, "n")
	g, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := env.NewSession(model, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, err := ort.NewTensor([]int64{int64(len(xs))}, xs)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(t.Context(), map[string]*ort.Tensor{"x": x}, ort.Outputs("y")...)
	if err != nil {
		t.Fatal(err)
	}
	y, err := ort.Data[float32](out["y"])
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(y)
}

// A matrix of any extents is transposed, whatever the blocks it is written in.
func TestWriteTransposed(t *testing.T) {
	for _, extents := range [][2]int64{{1, 1}, {3, 200}, {200, 3}, {64, 64}, {65, 130}, {0, 4}} {
		rows, columns := extents[0], extents[1]
		src := make([]byte, 2*rows*columns)
		for i := range src {
			src[i] = byte(i*7 + i/251)
		}
		var out bytes.Buffer
		if err := writeTransposed(&out, src, rows, columns, 2); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			for j := range columns {
				if !bytes.Equal(out.Bytes()[2*(j*rows+i):][:2], src[2*(i*columns+j):][:2]) {
					t.Fatalf("%d×%d: element (%d,%d) is elsewhere", rows, columns, i, j)
				}
			}
		}
	}
}

// Windows of Qwen2 in both spellings, and of Mistral, whose default is a window.
func TestWindows(t *testing.T) {
	for name, c := range map[string]struct {
		read func(*Config, int64) []int64
		text string
		want []int64
	}{
		"off":                {qwenWindows, `{"sliding_window": 4, "max_window_layers": 0}`, []int64{0, 0, 0}},
		"from a layer on":    {qwenWindows, `{"use_sliding_window": true, "sliding_window": 4, "max_window_layers": 1}`, []int64{0, 4, 4}},
		"by layer":           {qwenWindows, `{"use_sliding_window": true, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}`, []int64{4, 0, 4}},
		"no width":           {qwenWindows, `{"use_sliding_window": true, "sliding_window": null, "max_window_layers": 0}`, []int64{0, 0, 0}},
		"Mistral's default":  {mistralWindows, `{}`, []int64{4096, 4096, 4096}},
		"Mistral without it": {mistralWindows, `{"sliding_window": null}`, []int64{0, 0, 0}},
	} {
		config, err := ParseConfig([]byte(edited(t, `{"model_type": "qwen2"}`, c.text)))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.read(config, 3); !slices.Equal(got, c.want) || config.Err() != nil {
			t.Errorf("%s: %v, want %v (%v)", name, got, c.want, config.Err())
		}
	}
}
