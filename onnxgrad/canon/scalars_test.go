package canon_test

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// The side of a grid of positions, 9.0 to the power 0.5, ends as a constant extent.
func TestScalarsAreFolded(t *testing.T) {
	g := irtest.New(17).Input("x", ir.Float32, "batch", 9, 4).Output("y").
		Const("nine", nil, 9).Const("half", nil, .5).Ints("zero", nil, 0).Ints("copy", nil, 0).Ints("rest", nil, 4).
		Node("root = Pow(nine,half)").Node("side = Cast(root)", attrs{"to": int64(ir.Int64)}).Node("s = Unsqueeze(side,zero)").
		Node("to = Concat(copy,s,s,rest)", attrs{"axis": int64(0)}).Node("y = Reshape(x,to)").Graph()
	c, err := canon.Canonical(g)
	if err != nil {
		t.Fatal(err)
	}
	values, err := infer.Graph(c.Graph, infer.Declared)
	if err != nil {
		t.Fatal(err)
	}
	if shape := values.Of("y").String(); shape != "float32[batch 3 3 4]" {
		t.Errorf("y is %s", shape)
	}
	for _, n := range c.Nodes {
		if n.Op == "Pow" {
			t.Errorf("%v is still there", n)
		}
	}
}

// The scale of attention, the root of a constant extent, becomes a number.
func TestScaleFromAnExtentIsFolded(t *testing.T) {
	g := irtest.New(17).Input("x", ir.Float32, "batch", "sequence", 2, 64).Output("y").Ints("from", nil, -1).Ints("to", nil, 1<<62).Const("one", nil, 1).
		Node("s = Shape(x)").Node("w = Slice(s,from,to)").Node("f = Cast(w)", attrs{"to": int64(ir.Float32)}).Node("r = Sqrt(f)").Node("i = Div(one,r)").
		Node("y = Mul(x,i)").Graph()
	c, err := canon.Canonical(g)
	if err != nil {
		t.Fatal(err)
	}
	values, err := infer.Graph(c.Graph, infer.Declared)
	if err != nil {
		t.Fatal(err)
	}
	canon.FoldShapes(c.Graph, values)
	scale := c.Inits["i"]
	if len(c.Nodes) != 1 || scale == nil {
		t.Fatalf("nodes %v, scale %v", c.Nodes, scale)
	}
	if v, err := scale.Float32s(); err != nil || len(v) != 1 || v[0] != 0.125 {
		t.Errorf("the scale is %v (%v), want 1/8", v, err)
	}
}
