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
