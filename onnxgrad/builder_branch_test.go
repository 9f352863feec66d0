package onnxgrad_test

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// The shape of a choice is known again after the graph was written and read, and the
// values that its branches read count as read.
func TestIf(t *testing.T) {
	g := irtest.New(18).Input("x", ir.Float32, "batch", 3).Input("c", ir.Bool, 1).Output("y").Node("y = Neg(x)").Graph()
	values, err := infer.Graph(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := onnxgrad.NewBuilder(g, values)
	b.Output("z", b.If("c", func() string { return b.Add("y", b.Scalar(1)) }, func() string { return "y" }))
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	data, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := ir.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	back := m.Graph()
	again, err := infer.Graph(back, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Of("z").String(); got != "float32[batch 3]" {
		t.Errorf("z is %s", got)
	}
	uses := 0
	for _, u := range back.Index().Uses["y"] {
		if u.Node.Is("If") {
			uses++
		}
	}
	if uses == 0 {
		t.Error("the branches' reading of y is not a use")
	}
	back.Outputs = back.Outputs[1:]
	back.Prune()
	if back.Index().Producer["y"] == nil {
		t.Error("y was dropped, which a branch reads")
	}
}

// Branches of different types or ranks are an error.
func TestIfMismatch(t *testing.T) {
	g := irtest.New(18).Input("x", ir.Float32, "batch", 3).Input("c", ir.Bool, 1).Output("y").Node("y = Neg(x)").Graph()
	values, err := infer.Graph(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := onnxgrad.NewBuilder(g, values)
	b.If("c", func() string { return b.Unsqueeze("y", 0) }, func() string { return "y" })
	if b.Err() == nil {
		t.Error("branches of ranks 3 and 2 were accepted")
	}
}
