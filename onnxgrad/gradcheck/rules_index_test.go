package gradcheck

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

func einsum(equation, call string) (string, ir.Attrs) {
	return "y = Einsum(" + call + ")", attrs{"equation": equation}
}

// indexCases move numbers: Einsum, padding, scattering, repeating, selecting.
var indexCases = map[string]*irtest.Builder{
	"Einsum product":          p(3, 4).Fill("b", 4, 2).Node(einsum("ij,jk->ik", "a,b")),
	"Einsum implicit":         p(3, 4).Fill("b", 4, 2).Node(einsum("ij,jk", "a,b")),
	"Einsum attention":        p(2, 3, 5, 4).Fill("b", 2, 3, 6, 4).Node(einsum("bhqd, bhkd -> bhqk", "a,b")),
	"Einsum three":            p(3, 4).Fill("b", 4, 2).Fill("c", 3, 2).Node(einsum("ij,jk,ik->j", "a,b,c")),
	"Einsum sum":              p(3, 4).Node(einsum("ij->i", "a")),
	"Einsum free letter":      p(3, 4).Fill("b", 3, 2).Node(einsum("ij,ik->k", "a,b")),
	"Einsum transpose":        p(3, 4, 2).Node(einsum("ijk->kij", "a")),
	"Einsum diagonal":         p(3, 3).Node(einsum("ii->i", "a")),
	"Einsum trace":            p(3, 3).Fill("b", 2).Node(einsum("ii,j->j", "a,b")),
	"Einsum diagonal shared":  p(3, 3, 2).Fill("b", 3, 2).Node(einsum("iij,ik->jk", "a,b")),
	"Einsum ellipsis":         p(2, 3, 4).Fill("b", 4, 5).Node(einsum("...i,ij->...j", "a,b")),
	"Einsum ellipses repeat":  p(1, 3, 4).Fill("b", 5, 3, 4).Node(einsum("...i,...i->...i", "a,b")),
	"Einsum, contracted ones": p(3, 4).Fill("b", 1, 2).Node(einsum("ij,jk->ik", "a,b")),

	"Pad axes":         p(2, 3, 4).Ints("s", nil, 1, -1, 0, 2).Ints("ax", nil, 2, 1).Node("r = Pad(a,s,,ax)").Node("y = Exp(r)"),
	"Pad value":        p().Ints("s", nil, 0, 1, 2, -1).Floats("c", []int64{}, .7).Node("r = Pad(a,s,c)").Node("y = Exp(r)"),
	"Pad reflect":      p(4, 5).Ints("s", nil, 2, 1, 3, 4).Node("r = Pad(a,s)", attrs{"mode": "reflect"}).Node("y = Exp(r)"),
	"Pad edge":         p(2, 3).Ints("s", nil, 2, 0, 3, 4).Node("r = Pad(a,s)", attrs{"mode": "edge"}).Node("y = Exp(r)"),
	"Pad reflect axes": p(2, 5).Ints("s", nil, 2, 3).Ints("ax", nil, -1).Node("r = Pad(a,s,,ax)", attrs{"mode": "reflect"}).Node("y = Exp(r)"),
	"Pad around": irtest.New(19).Output("y").Fill("a", 3, 4).Ints("s", nil, 1, 2, 2, 3).Node("r = Pad(a,s)", attrs{"mode": "wrap"}).
		Node("y = Exp(r)"),

	"Tile":          p().Ints("r", nil, 2, 3).Node("t = Tile(a,r)").Fill("b", 4, 9).Node("y = Mul(t,b)"),
	"Tile nothing":  p().Ints("r", nil, 1, 1).Node("t = Tile(a,r)").Node("y = Exp(t)"),
	"Tile to empty": p().Ints("r", nil, 1, 2).Node("t = Tile(a,r)").Node("y = Exp(t)"),

	"GatherND with batch": p(2, 3, 4).Ints("i", []int64{2, 2, 1}, 1, 2, 0, 0).Node("r = GatherND(a,i)", attrs{"batch_dims": int64(1)}).Node("y = Exp(r)"),
	"GatherND with two batch axes": p(2, 3, 4, 2).Ints("i", []int64{2, 3, 1}, 1, 2, 0, -1, 3, 3).
		Node("r = GatherND(a,i)", attrs{"batch_dims": int64(2)}).Node("y = Exp(r)"),
	"ScatterND":           p(4, 3).Fill("u", 2, 3).Ints("i", []int64{2, 1}, 3, 1).Node("r = ScatterND(a,i,u)").Node("y = Exp(r)"),
	"ScatterND add":       p(4, 3).Fill("u", 3).Ints("i", []int64{3, 2}, 3, 1, 0, 2, 3, 1).Node("r = ScatterND(a,i,u)", attrs{"reduction": "add"}).Node("y = Exp(r)"),
	"ScatterElements":     p(3, 4).Fill("u", 3, 2).Ints("i", []int64{3, 2}, 0, 3, 1, 2, -1, 0).Node("r = ScatterElements(a,i,u)", attrs{"axis": int64(1)}).Node("y = Exp(r)"),
	"ScatterElements add": p(3, 4).Fill("u", 2, 4).Ints("i", []int64{2, 4}, 0, 2, 1, 1, 0, 0, 1, 2).Node("r = ScatterElements(a,i,u)", attrs{"reduction": "add"}).Node("y = Exp(r)"),
	"TopK":                p(3, 5).Ints("k", nil, 2).Node("r,i = TopK(a,k)").Node("y = Exp(r)"),
	"TopK smallest":       p(5, 3).Ints("k", nil, 2).Node("r,i = TopK(a,k)", attrs{"axis": int64(0), "largest": int64(0)}).Node("y = Exp(r)"),
	"Slice by computed bounds": p(4, 6).Ints("one", nil, 1).Node("s0 = Shape(a)", attrs{"end": int64(1)}).Node("s = Sub(s0,one)").Node("z = Sub(s,s)").
		Node("r = Slice(a,z,s,z)").Node("y = Exp(r)"),
	"Compared and rounded stop": p().Const("k", nil, .1).Node("c = Greater(a,k)").Node("f = Cast(c)", attrs{"to": int64(1)}).Node("y = Mul(f,a)"),
}

func TestIndexRules(t *testing.T) {
	checkAll(t, indexCases, Double, 1e-6)
}

// singleIndexCases have no double kernel in the runtime.
var singleIndexCases = map[string]*irtest.Builder{
	"ReverseSequence": p(4, 2, 3).Ints("n", nil, 3, 2).Node("r = ReverseSequence(a,n)").Node("y = Exp(r)"),
	"ReverseSequence by rows": p(2, 4, 3).Ints("n", nil, 3, 2).
		Node("r = ReverseSequence(a,n)", attrs{"time_axis": int64(1), "batch_axis": int64(0)}).Node("y = Exp(r)"),
	"OneHot": p(2).Ints("i", nil, 2, 0).Ints("d", []int64{}, 4).Node("r = OneHot(i,d,a)").Node("y = Exp(r)"),
}

func TestIndexRulesInSinglePrecision(t *testing.T) {
	checkAll(t, singleIndexCases, Single, 2e-3)
}
