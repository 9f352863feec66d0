package convert_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A golden is what PyTorch computes with a checkpoint of testdata/decoders
// (decoders.py makes them).
type golden struct {
	Head  convert.Head `json:"head"`
	Cases []struct {
		Padding    string    `json:"padding"`
		Shape      []int64   `json:"shape"` // [B,T]
		IDs        []int64   `json:"input_ids"`
		Mask       []int64   `json:"attention_mask"`
		Logits     []float32 `json:"logits"`
		Positioned []float32 `json:"logits_positioned"` // with the positions of a cache; nil for classifiers
	} `json:"cases"`
}

func eachDecoder(t *testing.T, visit func(t *testing.T, dir string, g golden)) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "decoders", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no checkpoints in testdata/decoders (%v)", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var g golden
			text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err == nil {
				err = json.Unmarshal(text, &g)
			}
			if err != nil {
				t.Fatal(err)
			}
			visit(t, dir, g)
		})
	}
}

// converted converts a checkpoint and opens what was written.
func converted(t *testing.T, dir string, o convert.Options) *runtime.Model {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "onnx")
	if _, err := convert.ToONNX(t.Context(), dir, dst, o); err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Open(dst, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func ints(t *testing.T, shape []int64, data []int64) *ort.Tensor {
	t.Helper()
	x, err := ort.NewTensor(shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func floats(t *testing.T, shape []int64, data []float32) *ort.Tensor {
	t.Helper()
	x, err := ort.NewTensor(shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func run(t *testing.T, m *runtime.Model, inputs map[string]*ort.Tensor) map[string]*ort.Tensor {
	t.Helper()
	out, err := m.Run(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func data(t *testing.T, x *ort.Tensor) []float32 {
	t.Helper()
	v, err := ort.Data[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// near compares logits at the positions that mask holds (every row of a
// classifier), and asks that no number is NaN or infinite anywhere.
func near(t *testing.T, what string, got, want []float32, mask []int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d logits, want %d", what, len(got), len(want))
	}
	width := len(got) / len(mask)
	for i, v := range got {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("%s: logit %d is %g", what, i, v)
		}
		if d := math.Abs(float64(v - want[i])); d > 1e-4 && mask[i/width] == 1 {
			t.Fatalf("%s: logit %d is %g, PyTorch's %g", what, i, v, want[i])
		}
	}
}

// The logits are PyTorch's, whatever side the padding is on.
func TestDecodersEqualPyTorch(t *testing.T) {
	eachDecoder(t, func(t *testing.T, dir string, g golden) {
		m := converted(t, dir, convert.Options{})
		for _, c := range g.Cases {
			out := run(t, m, map[string]*ort.Tensor{"input_ids": ints(t, c.Shape, c.IDs), "attention_mask": ints(t, c.Shape, c.Mask)})
			mask := c.Mask
			if g.Head == convert.HeadClassify {
				mask = slices.Repeat([]int64{1}, int(c.Shape[0]))
			}
			near(t, c.Padding, data(t, out["logits"]), c.Logits, mask)
		}
	})
}

// With a cache, fed in pieces of any size, they are too; padding is on the left.
func TestCachedDecodersEqualPyTorch(t *testing.T) {
	eachDecoder(t, func(t *testing.T, dir string, g golden) {
		if g.Head != convert.HeadLM {
			t.Skip("classifiers have no cache")
		}
		m := converted(t, dir, convert.Options{Cache: true})
		for _, c := range g.Cases {
			if c.Positioned == nil {
				continue
			}
			for _, ends := range [][]int64{{5}, {2, 5}, {1, 2, 3, 4, 5}, {1, 3, 5}} {
				near(t, fmt.Sprint(c.Padding, ends), inPieces(t, m, c.Shape, c.IDs, c.Mask, ends), c.Positioned, c.Mask)
			}
		}
	})
}

// inPieces runs [B,T] tokens through a model with a cache, cut at ends, and
// returns the logits of all of them.
func inPieces(t *testing.T, m *runtime.Model, shape, ids, mask []int64, ends []int64) []float32 {
	rows, length := shape[0], shape[1]
	feeds := map[string]*ort.Tensor{}
	for _, in := range m.File().Graph().Inputs {
		if strings.HasPrefix(in.Name, "past") {
			feeds[in.Name] = floats(t, []int64{rows, in.Dims[1].Value, 0, in.Dims[3].Value}, nil)
		}
	}
	positions := slices.Clone(mask)
	for r := range rows {
		sum := int64(0)
		for k := range length {
			sum += mask[r*length+k]
			positions[r*length+k] = max(sum-1, 0)
		}
	}
	columns := func(x []int64, from, to int64) *ort.Tensor {
		var cut []int64
		for r := range rows {
			cut = append(cut, x[r*length+from:r*length+to]...)
		}
		return ints(t, []int64{rows, to - from}, cut)
	}
	byToken := make([][]float32, rows*length)
	from := int64(0)
	for _, to := range ends {
		feeds["input_ids"], feeds["position_ids"], feeds["attention_mask"] = columns(ids, from, to), columns(positions, from, to), columns(mask, 0, to)
		out := run(t, m, feeds)
		logits := data(t, out["logits"])
		width := int64(len(logits)) / (rows * (to - from))
		for r := range rows {
			for k := range to - from {
				byToken[r*length+from+k] = logits[(r*(to-from)+k)*width:][:width]
			}
		}
		for name, x := range out {
			if rest, ok := strings.CutPrefix(name, "present"); ok {
				feeds["past_key_values"+rest] = x
			}
		}
		from = to
	}
	return slices.Concat(byToken...)
}

// What is written can be trained as it is: every parameter has a norm, records
// are proven apart, and ghost norms are those of one record at a time.
func TestWrittenDecodersTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long and finds nothing under the race detector")
	}
	eachDecoder(t, func(t *testing.T, dir string, g golden) {
		m := converted(t, dir, convert.Options{})
		r, err := m.Inspect(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Unsupported) > 0 || r.Mixed != nil {
			t.Fatalf("unsupported %v, mixed %v", r.Unsupported, r.Mixed)
		}
		c := g.Cases[0]
		b := &runtime.Batch{
			Inputs: map[string]*ort.Tensor{"input_ids": ints(t, c.Shape, c.IDs), "attention_mask": ints(t, c.Shape, c.Mask)},
			Loss:   map[string]*ort.Tensor{"labels": ints(t, c.Shape, c.IDs)},
		}
		o := runtime.GradNormsOptions{Loss: "causal-lm", PerParameter: true}
		if g.Head == convert.HeadClassify {
			o.Loss, b.Loss["labels"] = "classify", ints(t, c.Shape[:1], []int64{1, 0, 1})
		}
		ghost, err := m.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Method = "loop"
		loop, err := m.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range loop.Norm {
			if math.Abs(ghost.Norm[i]-want) > 1e-4*want {
				t.Errorf("record %d: ghost %g, loop %g", i, ghost.Norm[i], want)
			}
			for name, norms := range loop.Norms {
				if d := math.Abs(ghost.Norms[name][i] - norms[i]); d > 1e-4*norms[i]+1e-6*want {
					t.Errorf("record %d, %s: ghost %g, loop %g", i, name, ghost.Norms[name][i], norms[i])
				}
			}
		}
	})
}

// tokens are the inputs of one row without padding.
func tokens(t *testing.T, ids ...int64) map[string]*ort.Tensor {
	shape := []int64{1, int64(len(ids))}
	return map[string]*ort.Tensor{"input_ids": ints(t, shape, ids), "attention_mask": ints(t, shape, slices.Repeat([]int64{1}, len(ids)))}
}
