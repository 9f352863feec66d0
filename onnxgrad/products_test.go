package onnxgrad_test

import (
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// Attention as the converter writes it: no pass scales anything, and each of
// queries, keys, values and result is transposed once forward and once back.
func TestAttentionIsFolded(t *testing.T) {
	perm := func(p ...int64) ir.Attrs { return ir.Attrs{"perm": p} }
	g := irtest.New(18).Input("x", ir.Float32, "batch", "length", 6).Output("y").
		Fill("wq", 6, 6).Fill("wk", 6, 6).Fill("wv", 6, 6).Const("s", nil, .3).Ints("h", nil, 0, 0, 2, 3).Ints("j", nil, 0, 0, 6).
		Node("q = MatMul(x,wq)").Node("k = MatMul(x,wk)").Node("v = MatMul(x,wv)").
		Node("q1 = Reshape(q,h)").Node("k1 = Reshape(k,h)").Node("v1 = Reshape(v,h)").
		Node("q2 = Transpose(q1)", perm(0, 2, 1, 3)).Node("k2 = Transpose(k1)", perm(0, 2, 1, 3)).Node("v2 = Transpose(v1)", perm(0, 2, 1, 3)).
		Node("q3 = Mul(q2,s)").Node("k3 = Transpose(k2)", perm(0, 1, 3, 2)).Node("z = MatMul(q3,k3)").Node("w = Softmax(z)").
		Node("o = MatMul(w,v2)").Node("o1 = Transpose(o)", perm(0, 2, 1, 3)).Node("y = Reshape(o1,j)").Graph()
	values, err := infer.Graph(g, infer.Declared)
	if err != nil {
		t.Fatal(err)
	}
	b := onnxgrad.NewBuilder(g, values)
	seed := b.Input("seed", ir.Float32, values.Of("y").Shape...)
	grads, err := onnxgrad.Gradients(b, onnxgrad.Request{Seeds: map[string]string{"y": seed.Name}, Trainable: []string{"wq", "wk", "wv"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range grads {
		b.Output("gradient of "+name, value)
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	count := map[string]int{}
	for _, n := range g.Nodes {
		count[n.Op]++
		if perm, ok := n.Ints("perm"); n.Op == "Transpose" && (!ok || !slices.Equal(perm, []int64{0, 2, 1, 3})) {
			t.Errorf("%v by %v is left", n, perm)
		}
	}
	if count["Transpose"] != 8 || count["Mul"] != 2 || count["MatMul"]+count["FusedMatMul"]+count["Gemm"] != 3+2+4+3 {
		t.Errorf("operators: %v, want 8 transpositions, the 2 products of the softmax's gradient and 12 of matrices", count)
	}
}
