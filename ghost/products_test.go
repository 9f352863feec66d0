package ghost_test

import (
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// Products are counted by extents, whatever operator makes them; a product of two
// activations, and one that the chosen output does not need, are none.
func TestProducts(t *testing.T) {
	g := irtest.New(18).Input("x", ir.Float32, "batch", "frames", 6).Output("logits", "other").
		Fill("w", 6, 6).Fill("flipped", 5, 6).Fill("bias", 5).Fill("aside", 6, 9).Fill("head", 5, 3).
		Node("a = MatMul(x,w)").Node("b = MatMul(a,w)"). // one weight used twice is two products
		Node("bt = Transpose(b)", ir.Attrs{"perm": []int64{0, 2, 1}}).Node("scores = MatMul(a,bt)").Node("mixed = MatMul(scores,b)").
		Node("mean = ReduceMean(mixed,one)", ir.Attrs{"keepdims": int64(0)}).Ints("one", nil, 1).
		Node("g = Gemm(mean,flipped,bias)", ir.Attrs{"transB": int64(1)}).Node("logits = MatMul(g,head)").
		Node("other = MatMul(x,aside)")
	got := preparedGraph(t, g).Products(4, 7)
	want := []ghost.Product{{Rows: 28, In: 6, Out: 6, Times: 2}, {Rows: 4, In: 6, Out: 5, Times: 1}, {Rows: 4, In: 5, Out: 3, Times: 1}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if ops := want[0].Operations(); ops != 2*28*6*6*2 {
		t.Errorf("operations %g", ops)
	}
}
