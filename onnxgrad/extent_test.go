package onnxgrad_test

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// Extents that the graph computes are those of the symbols, rounded down where the
// runtime's Div rounds to zero: LongT5 pads a length to ⌈length/4⌉ blocks of 4.
func TestExtentsAtRunTime(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	n := sym.Var("length")
	for _, d := range []sym.Dim{
		sym.FloorDiv(n, sym.Const(4)), sym.FloorDiv(sym.Mul(n, sym.Const(-1)), sym.Const(4)),
		sym.Mul(sym.FloorDiv(sym.Mul(n, sym.Const(-1)), sym.Const(4)), sym.Const(-4)), sym.Min(n, sym.Const(6)), sym.Max(n, sym.Const(6)),
		sym.Sub(n, sym.Const(20)),
	} {
		g := irtest.New(18).Input("x", ir.Float32, "length").Output("y").Node("y = Identity(x)").Graph()
		values, err := infer.Graph(g, infer.Declared)
		if err != nil {
			t.Fatal(err)
		}
		b := onnxgrad.NewBuilder(g, values)
		b.Output("extent", b.Extent(d))
		if err := b.Finish(); err != nil {
			t.Fatal(err)
		}
		if err := g.Sort(); err != nil {
			t.Fatal(err)
		}
		data, err := g.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s, err := env.NewSession(data, ort.Options{Name: "extents", Threads: 1})
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		for length := int64(1); length < 14; length++ {
			x, err := ort.NewTensor([]int64{length}, make([]float32, length))
			if err != nil {
				t.Fatal(err)
			}
			out, err := s.Run(t.Context(), map[string]*ort.Tensor{"x": x}, ort.Outputs("extent")...)
			if err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			got, err := ort.Data[int64](out["extent"])
			want, known := d.Eval(map[string]int64{"length": length})
			if err != nil || !known || len(got) != 1 || got[0] != want {
				t.Errorf("%s at %d: %v, want %d (%v)", d, length, got, want, err)
			}
		}
		s.Close()
	}
}
