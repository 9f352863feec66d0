package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// No weight moves by more than half a step of its block, 0 stays 0 and so does an
// all-equal block's largest element, whatever the shape.
func TestBlocksRoundToNearest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows, columns := rapid.Int64Range(1, 70).Draw(rt, "rows"), rapid.Int64Range(1, 5).Draw(rt, "columns")
		bits, block := rapid.SampledFrom([]int64{4, 8}).Draw(rt, "bits"), rapid.SampledFrom([]int64{16, 32}).Draw(rt, "block")
		symmetric := rapid.Bool().Draw(rt, "symmetric")
		scale := rapid.SampledFrom([]float64{1e-30, 1, 1e30}).Draw(rt, "magnitude")
		w := make([]float32, rows*columns)
		for i := range w {
			w[i] = float32(scale * rapid.SampledFrom([]float64{0, -1, 1, 0.3, -0.7, 0.01, 2}).Draw(rt, "w"))
		}
		c := encodeBlocks(w, rows, columns, bits, block, symmetric)
		got := c.decode()
		for r := range rows {
			for j := range columns {
				i := r*columns + j
				step := math.Abs(float64(c.scales[j*c.blocks()+r/block]))
				limit := step / 2
				if symmetric { // the end that has one code fewer
					limit = step
				}
				if d := math.Abs(float64(got[i]) - float64(w[i])); d > limit*1.0001 {
					rt.Fatalf("weight %d is %g, became %g, a step is %g", i, w[i], got[i], step)
				}
				if w[i] == 0 && got[i] != 0 {
					rt.Fatalf("0 became %g", got[i])
				}
			}
		}
	})
}

// The runtime reads the codes as they are meant, and computes in float32: what it
// gives is x times the decoded weight, for every shape and option.
func TestRuntimeDecodesTheSame(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int64{4, 8} {
		for _, symmetric := range []bool{false, true} {
			for _, shape := range [][3]int64{{16, 1, 16}, {40, 3, 16}, {33, 17, 32}, {64, 48, 32}, {300, 5, 128}} {
				rows, columns, block := shape[0], shape[1], shape[2]
				w := make([]float32, rows*columns)
				for i := range w {
					w[i] = float32(rng.NormFloat64())
				}
				const batch = 7
				x := make([]float32, batch*rows)
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				c := encodeBlocks(w, rows, columns, bits, block, symmetric)
				got := runNBits(t, env, c, x, batch)
				decoded := c.decode()
				for b := range int64(batch) {
					for j := range columns {
						want, scale := 0.0, 0.0
						for r := range rows {
							p := float64(x[b*rows+r]) * float64(decoded[r*columns+j])
							want, scale = want+p, scale+math.Abs(p)
						}
						if d := math.Abs(want - float64(got[b*columns+j])); d > 2e-6*scale+1e-6 {
							t.Fatalf("%d bits, symmetric %v, shape %v: output %d,%d is %g, want %g", bits, symmetric, shape, b, j, got[b*columns+j], want)
						}
					}
				}
			}
		}
	}
}

func runNBits(t *testing.T, env *ort.Env, c *blockCode, x []float32, batch int64) []float32 {
	t.Helper()
	g := &ir.Graph{
		Name: "nbits", Inits: map[string]*ir.Tensor{}, Opset: map[string]int64{"": 17, "com.microsoft": 1},
		Inputs:  []*ir.ValueInfo{{Name: "x", DType: ir.Float32, Dims: []ir.DeclaredDim{{Value: -1, Param: "b"}, {Value: c.rows}}}},
		Outputs: []*ir.ValueInfo{{Name: "y", DType: ir.Float32, Dims: []ir.DeclaredDim{{Value: -1, Param: "b"}, {Value: c.columns}}}},
	}
	list, err := c.tensors("w", ir.Float32)
	if err != nil {
		t.Fatal(err)
	}
	n := &ir.Node{Name: "n", Op: "MatMulNBits", Domain: "com.microsoft", Inputs: []string{"x"}, Outputs: []string{"y"},
		Attrs: ir.Attrs{"K": c.rows, "N": c.columns, "bits": c.bits, "block_size": c.block}}
	for _, x := range list {
		g.AddInit(x)
		n.Inputs = append(n.Inputs, x.Name)
	}
	g.Nodes = []*ir.Node{n}
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := env.NewSession(model, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in, err := ort.NewTensor([]int64{batch, c.rows}, x)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(t.Context(), map[string]*ort.Tensor{"x": in})
	if err != nil {
		t.Fatal(err)
	}
	y, err := ort.Data[float32](out["y"])
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// A quantised model keeps its interface, embeddings, norms and head, says what it
// costs, and can't be quantised or turned back again.
func TestQuantize(t *testing.T) {
	config := `{"model_type": "gpt2", "vocab_size": 50, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2, "pad_token_id": 0}`
	dir := t.TempDir()
	onnx := filepath.Join(dir, "onnx")
	if _, err := New(t.Context(), writeConfig(t, config), onnx, Options{Seed: 3}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []QuantizeOptions{{Bits: 8}, {Bits: 4, Block: 16}, {Bits: 4, Symmetric: true, Head: true}} {
		dst := filepath.Join(dir, fmt.Sprint(o.Bits, o.Head, o.Block))
		r, err := Quantize(t.Context(), onnx, dst, o)
		if err != nil {
			t.Fatal(err)
		}
		wantLayers := 8
		if o.Head {
			wantLayers = 9
		}
		if r.Layers != wantLayers || r.BytesAfter >= r.BytesBefore || r.Accuracy == nil || r.Accuracy.MaxDifference == 0 {
			t.Errorf("%+v: %+v %+v", o, r, r.Accuracy)
		}
		if o.Bits == 8 && (r.Accuracy.Top1 < 0.9 || r.Accuracy.MeanDifference > 0.02*r.Accuracy.MeanValue) {
			t.Errorf("8 bits: %+v", r.Accuracy)
		}
		m, err := ir.Open(dst)
		if err != nil {
			t.Fatal(err)
		}
		var written Quantization
		if err := json.Unmarshal([]byte(m.Metadata()[QuantizationKey]), &written); err != nil || written.Layers != wantLayers || *written.Accuracy != *r.Accuracy {
			t.Errorf("metadata %q, %v", m.Metadata()[QuantizationKey], err)
		}
		g := m.Graph()
		if g.Inits["transformer.wte.weight"] == nil || g.Inits["transformer.h.0.attn.c_attn.weight"] != nil || g.Input("input_ids") == nil || g.Output("logits") == nil {
			t.Error("the graph is not the model with other linear layers")
		}
		if _, err := Quantize(t.Context(), dst, dst+"-again", o); err == nil || !strings.Contains(err.Error(), "quantised") {
			t.Errorf("quantised again: %v", err)
		}
		if _, err := ToHF(t.Context(), dst, dst+"-hf", BackOptions{}); err == nil || !strings.Contains(err.Error(), "quantised") {
			t.Errorf("turned back: %v", err)
		}
	}
	for _, o := range []QuantizeOptions{{}, {Bits: 5}, {Bits: 4, Block: 8}, {Bits: 4, Block: 24}, {Bits: 8, Block: 512}} {
		if _, err := Quantize(t.Context(), onnx, filepath.Join(dir, "bad"), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// A weight that no code stands for is refused by name.
func TestQuantizeRefusesInfinity(t *testing.T) {
	g := &ir.Graph{Inits: map[string]*ir.Tensor{}}
	q := &quantizer{g: g, options: QuantizeOptions{Bits: 4, Block: 16}, coded: map[string][]*ir.Tensor{}}
	u := &paramUse{tensor: ir.NewFloat32("w", []int64{1, 2}, []float32{1, float32(math.Inf(1))}), role: roleLinear}
	if _, err := q.code(u, u.shape(), ir.Float32); err == nil || !strings.Contains(err.Error(), `"w"`) {
		t.Errorf("%v", err)
	}
}
