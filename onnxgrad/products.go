package onnxgrad

import (
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// foldProducts puts transpositions and constant factors into the products that
// read or make them, as com.microsoft.FusedMatMul: α·A′·B′, A′ = A or Aᵀ, B′ = B
// or Bᵀ. Of attention that takes away three copies of a layer's activations and
// the passes that scale queries or scores, forward and backward:
//
//	A·(cB) = cA·B = c(A·B)     the factor becomes α
//	A·transpose(B)             becomes a flag, as does the left operand's
//	transpose(A·B)             Bᵀ·Aᵀ, where neither operand is shared by a batch
//
// The runtime has such fusions, but only for the transpositions that it has not
// yet moved, and factors that it has not moved past them.
func (b *Builder) foldProducts() {
	f := &productFolder{graph: b.Graph, values: b.Values}
	for _, step := range []func(*ir.Node) bool{f.factor, f.operands, f.result} {
		f.ix, f.gone = b.Graph.Index(), map[*ir.Node]bool{}
		for _, n := range b.Graph.Nodes {
			if !f.gone[n] && step(n) {
				f.gone[n] = true
			}
		}
		b.Graph.Nodes = slices.DeleteFunc(b.Graph.Nodes, func(n *ir.Node) bool { return f.gone[n] })
	}
}

const fusedProduct = "com.microsoft"

type productFolder struct {
	graph  *ir.Graph
	values *infer.Values
	ix     *ir.Index
	gone   map[*ir.Node]bool
}

// isProduct reports α·A′·B′ of matrices.
func (f *productFolder) isProduct(n *ir.Node) bool {
	if n == nil || f.gone[n] || !(n.Is("MatMul") || n.Op == "FusedMatMul" && n.Domain == fusedProduct) {
		return false
	}
	a, b := f.values.Of(n.Input(0)), f.values.Of(n.Input(1))
	batches := n.Int("transBatchA", 0) + n.Int("transBatchB", 0)
	return a.DType == ir.Float32 && a.Ranked && b.Ranked && a.Rank() >= 2 && b.Rank() >= 2 && batches == 0
}

// fuse makes n a FusedMatMul.
func (f *productFolder) fuse(n *ir.Node) {
	if n.Domain == fusedProduct {
		return
	}
	n.Op, n.Domain = "FusedMatMul", fusedProduct
	n.Attrs = ir.Attrs{"alpha": float32(1), "transA": int64(0), "transB": int64(0)}
	if _, imported := f.graph.Opset[fusedProduct]; !imported {
		f.graph.Opset[fusedProduct] = 1
	}
}

func (f *productFolder) scale(n *ir.Node, by float64) {
	f.fuse(n)
	n.Attrs["alpha"] = float32(float64(n.Float("alpha", 1)) * by)
}

func (f *productFolder) flip(n *ir.Node, operand int) {
	f.fuse(n)
	name := [...]string{"transA", "transB"}[operand]
	n.Attrs[name] = 1 - n.Int(name, 0)
}

// single returns the only use of a value that nothing outside reads.
func (f *productFolder) single(value string) (ir.Use, bool) {
	uses := f.ix.Uses[value]
	if len(uses) != 1 || uses[0].Index < 0 || f.graph.Output(value) != nil {
		return ir.Use{}, false
	}
	return uses[0], true
}

// factor folds n = x·c into the product that x is, or into the products that are
// all that reads n.
func (f *productFolder) factor(n *ir.Node) bool {
	x, c, ok := f.scaled(n)
	if !ok {
		return false
	}
	if p := f.ix.Producer[x]; f.isProduct(p) {
		if _, only := f.single(x); only {
			f.scale(p, c)
			p.Outputs = []string{n.Outputs[0]}
			f.ix.Producer[n.Outputs[0]] = p
			return true
		}
	}
	readers, ok := f.products(n.Outputs[0], 0)
	if !ok {
		return false
	}
	for _, p := range readers {
		f.scale(p, c)
	}
	for _, u := range f.ix.Uses[n.Outputs[0]] {
		u.Node.Inputs[u.Index] = x
		f.ix.Uses[x] = append(f.ix.Uses[x], u)
	}
	return true
}

// scaled matches n = x·c or x/c with a constant c of one element.
func (f *productFolder) scaled(n *ir.Node) (x string, c float64, ok bool) {
	if !n.Is("Mul") && !n.Is("Div") || f.graph.Output(n.Output(0)) != nil {
		return "", 0, false
	}
	for i := range 2 {
		if n.Is("Div") && i == 1 {
			break
		}
		x = n.Input(i)
		if c, ok = f.number(n.Input(1-i), f.values.Of(x)); ok {
			break
		}
	}
	if ok && n.Is("Div") {
		c = 1 / c
	}
	return x, c, ok && c != 0 && !math.IsInf(c, 0) && !math.IsNaN(c)
}

// number returns a constant of one element that gives x no further axes.
func (f *productFolder) number(value string, x infer.Info) (float64, bool) {
	t, ok := f.graph.Inits[value]
	if !ok || t.Len() != 1 || t.DType != ir.Float32 || f.graph.Overridable[value] != nil || !f.graph.Lifted[value] && len(t.Dims) > 0 {
		return 0, false
	}
	if !x.Ranked || x.DType != ir.Float32 || len(t.Dims) > x.Rank() {
		return 0, false
	}
	v, err := t.Float32s()
	if err != nil {
		return 0, false
	}
	return float64(v[0]), true
}

// products returns the products that are all that reads value, directly or
// through operators that move its elements; one that reads it twice is listed
// twice.
func (f *productFolder) products(value string, depth int) (readers []*ir.Node, ok bool) {
	if f.graph.Output(value) != nil || len(f.ix.Uses[value]) == 0 || depth > 4 {
		return nil, false
	}
	for _, u := range f.ix.Uses[value] {
		switch {
		case u.Index < 0 || f.gone[u.Node]:
			return nil, false
		case f.isProduct(u.Node):
			readers = append(readers, u.Node)
		case u.Index == 0 && u.Node.Domain == "" && moves[u.Node.Op]:
			more, ok := f.products(u.Node.Outputs[0], depth+1)
			if !ok {
				return nil, false
			}
			readers = append(readers, more...)
		default:
			return nil, false
		}
	}
	return readers, true
}

var moves = map[string]bool{"Reshape": true, "Transpose": true, "Unsqueeze": true, "Squeeze": true, "Expand": true}

// operands turns the transposed operands of a product into flags.
func (f *productFolder) operands(n *ir.Node) bool {
	for i := range 2 {
		for f.isProduct(n) {
			t := f.ix.Producer[n.Input(i)]
			if t == nil || !f.swapsLast(t) {
				break
			}
			n.Inputs[i] = t.Inputs[0]
			f.flip(n, i)
		}
	}
	return false
}

// swapsLast reports a transposition of the last two axes.
func (f *productFolder) swapsLast(t *ir.Node) bool {
	if t == nil || !t.Is("Transpose") {
		return false
	}
	info := f.values.Of(t.Input(0))
	if !info.Ranked || info.Rank() < 2 {
		return false
	}
	r := int64(info.Rank())
	perm, given := t.Ints("perm")
	if !given {
		return r == 2
	}
	want := make([]int64, r)
	for i := range want {
		want[i] = int64(i)
	}
	want[r-1], want[r-2] = r-2, r-1
	return slices.Equal(perm, want)
}

// result folds t = transpose(A·B) into Bᵀ·Aᵀ, where both have batches of their
// own: a matrix that a batch shares is best multiplied with all its rows at once.
func (f *productFolder) result(t *ir.Node) bool {
	if !f.swapsLast(t) || f.graph.Output(t.Output(0)) != nil {
		return false
	}
	p := f.ix.Producer[t.Input(0)]
	if _, only := f.single(t.Input(0)); !only || !f.isProduct(p) {
		return false
	}
	a, b := f.values.Of(p.Input(0)).Rank(), f.values.Of(p.Input(1)).Rank()
	if a != b || a < 3 {
		return false
	}
	f.fuse(p)
	transA, transB := p.Int("transA", 0), p.Int("transB", 0)
	p.Inputs = []string{p.Inputs[1], p.Inputs[0]}
	p.Attrs["transA"], p.Attrs["transB"] = 1-transB, 1-transA
	p.Outputs = []string{t.Outputs[0]}
	return true
}
