package gradcheck

import (
	"math"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// heads starts a graph of queries, keys and values [2,3,4,5] as projections of
// trained vectors.
func heads() *irtest.Builder {
	return p(2, 3, 4, 5).Fill("k", 2, 3, 4, 5).Fill("vv", 2, 3, 4, 5).Const("s", nil, .4).Const("s1", []int64{1}, 1.7).
		Const("mask", []int64{4, 4}, 0, -1e9, -1e9, -1e9, 0, 0, -1e9, -1e9, 0, 0, 0, -1e9, 0, 0, 0, 0)
}

func permute(perm ...int64) attrs { return attrs{"perm": perm} }

// attentionCases hold what is folded into products (factors, transpositions) and
// softmaxes that only weigh, in double.
var attentionCases = map[string]*irtest.Builder{
	"scaled queries": heads().Node("q = Mul(a,s)").Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(q,t)").Node("m = Add(z,mask)").
		Node("w = Softmax(m)").Node("y = MatMul(w,vv)"),
	"scaled scores": heads().Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("d = Div(z,s1)").Node("m = Add(mask,d)").
		Node("w = Softmax(m)").Node("y = MatMul(w,vv)"),
	"both scaled": heads().Node("q = Mul(s,a)").Node("u = Mul(k,s)").Node("t = Transpose(u)", permute(0, 1, 3, 2)).Node("z = MatMul(q,t)").
		Node("w = Softmax(z)").Node("y = MatMul(w,vv)"),
	"scaled queries read twice": heads().Node("q = Mul(a,s)").Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(q,t)").
		Node("w = Softmax(z)").Node("o = MatMul(w,vv)").Node("y = Add(o,q)"),
	"one scale for both": heads().Node("q = Mul(a,s)").Node("t = Transpose(q)", permute(0, 1, 3, 2)).Node("z = MatMul(q,t)").Node("y = Tanh(z)"),
	"scores read twice":  heads().Node("z = MatMul(a,k2)").Node("k2 = Transpose(k)", permute(0, 1, 3, 2)).Node("d = Mul(z,s)").Node("y = Add(d,z)"),
	"weights read twice": heads().Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("w = Softmax(z)").Node("o = MatMul(w,vv)").
		Ints("ax", nil, -1).Node("l = ReduceSumSquare(w,ax)").Node("y = Mul(o,l)"),
	"softmax of another axis": heads().Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("w = Softmax(z)", attrs{"axis": int64(-2)}).
		Node("y = MatMul(w,vv)"),
	"weights on the right": heads().Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("w = Softmax(z)").Node("y = MatMul(w2,w)").
		Node("w2 = Transpose(vv)", permute(0, 1, 3, 2)),
	"one head of values for all": heads().Fill("v1", 2, 1, 4, 5).Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("w = Softmax(z)").Node("y = MatMul(w,v1)"),
	"values without a batch":     heads().Fill("v2", 4, 5).Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("w = Softmax(z)").Node("y = MatMul(w,v2)"),
	"weights that are repeated":  p(1, 3, 4, 4).Fill("vv", 2, 3, 4, 5).Node("w = Softmax(a)").Node("y = MatMul(w,vv)"),
	"a row that is forbidden": heads().Const("none", []int64{4, 4}, append(make([]float32, 12), float32(math.Inf(-1)), float32(math.Inf(-1)), float32(math.Inf(-1)), float32(math.Inf(-1)))...).
		Node("t = Transpose(k)", permute(0, 1, 3, 2)).Node("z = MatMul(a,t)").Node("m = Add(z,none)").Node("w = Softmax(m)").Node("n = IsNaN(w)").
		Const("zero", nil, 0).Node("w0 = Where(n,zero,w)").Node("y = MatMul(w0,vv)"),
	"split heads": p(2, 4, 6).Fill("k", 2, 4, 6).Ints("h", nil, 0, 0, 2, 3).Node("q = Reshape(a,h)").Node("q1 = Transpose(q)", permute(0, 2, 1, 3)).Const("s", nil, .3).
		Node("q2 = Mul(q1,s)").Node("u = Reshape(k,h)").Node("u1 = Transpose(u)", permute(0, 2, 1, 3)).Node("u2 = Transpose(u1)", permute(0, 1, 3, 2)).
		Node("z = MatMul(q2,u2)").Node("w = Softmax(z)").Node("o = MatMul(w,u1)").Node("y = Transpose(o)", permute(0, 2, 1, 3)),
}

func TestAttentionRules(t *testing.T) { checkAll(t, attentionCases, Double, 1e-6) }

// The same with the fused products that a program runs.
func TestAttentionRulesInSinglePrecision(t *testing.T) { checkAll(t, attentionCases, Single, 2e-3) }
