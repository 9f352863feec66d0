package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A LinearHead is how a graph makes logits [B,T,V] of its last hidden states, seen
// as X [B·T,d]: a product with one matrix and operators on single numbers behind it,
//
//	z = f(α·X·W)      W [d,V], or its transpose [V,d]
//
// where f adds vectors over the vocabulary, scales and bends (tanh). Every logit
// depends on one row of X and one column of W, so that any rows and any words can be
// computed by themselves.
type LinearHead struct {
	Product         *ir.Node
	Input           string // X, [B,T,d] or [B·T,d]
	Weight          string // W or its transpose
	VocabularyFirst bool   // it is the transpose, [V,d]
	Width, Words    int64  // d and V
	Scale           float32
	steps           []headStep // of f, from the product on
}

// A headStep is one operator of f.
type headStep struct {
	op     string  // "Add", "Sub" (z − v), "Mul" or "Tanh"
	vector string  // of Add and Sub: V numbers; "" of others
	factor float32 // of Mul
}

// FindLinearHead reads how output is made. The error says what is in the way.
func FindLinearHead(b *Builder, output string) (*LinearHead, error) {
	f := &headFinder{Builder: b, ix: b.Graph.Index(), head: &LinearHead{Scale: 1}}
	shape := b.Shape(output)
	words, ok := shape[len(shape)-1].Const()
	if len(shape) != 3 || !ok {
		return nil, fmt.Errorf("%w: %q of shape %v holds no logits over a vocabulary", ir.ErrUnsupported, output, shape)
	}
	f.head.Words = words
	for value := output; f.head.Product == nil; {
		n := f.ix.Producer[value]
		if n == nil || n.Domain != "" && !(n.Domain == fusedProduct && n.Op == "FusedMatMul") {
			return nil, fmt.Errorf("%w: %q is not made by a product with a matrix", ir.ErrUnsupported, output)
		}
		if value, ok = f.step(n); !ok {
			return nil, fmt.Errorf("%w: %v stands between the logits and a product with a matrix", ir.ErrUnsupported, n)
		}
	}
	slices.Reverse(f.head.steps)
	f.foldScales()
	return f.head, nil
}

// A headFinder walks from logits back to their product.
type headFinder struct {
	*Builder
	ix   *ir.Index
	head *LinearHead
}

// step takes n into the head and returns what comes before it.
func (f *headFinder) step(n *ir.Node) (before string, ok bool) {
	switch n.Op {
	case "Identity", "Cast":
		return n.Input(0), f.Values.Of(n.Input(0)).DType == ir.Float32
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		return n.Input(0), f.keepsRows(n.Input(0))
	case "Tanh":
		f.head.steps = append(f.head.steps, headStep{op: "Tanh"})
		return n.Input(0), true
	case "Add", "Sub", "Mul", "Div":
		return f.arithmetic(n)
	case "MatMul", "FusedMatMul", "Gemm":
		return "", f.product(n)
	}
	return "", false
}

// keepsRows reports a value whose last axis is the vocabulary: joining and parting
// the others moves no logit.
func (f *headFinder) keepsRows(value string) bool {
	info := f.Values.Of(value)
	return info.Ranked && info.Rank() >= 2 && info.Shape[info.Rank()-1].Is(f.head.Words)
}

// arithmetic takes an operator with a number or a vector over the vocabulary.
func (f *headFinder) arithmetic(n *ir.Node) (before string, ok bool) {
	for i := range 2 {
		x, v := n.Input(i), n.Input(1-i)
		if !f.keepsRows(x) || i == 1 && (n.Op == "Sub" || n.Op == "Div") {
			continue
		}
		number, isNumber := f.number(v)
		switch {
		case isNumber && n.Op == "Mul":
			f.head.steps = append(f.head.steps, headStep{op: "Mul", factor: number})
		case isNumber && n.Op == "Div" && number != 0:
			f.head.steps = append(f.head.steps, headStep{op: "Mul", factor: 1 / number})
		case (n.Op == "Add" || n.Op == "Sub") && f.isVector(v):
			f.head.steps = append(f.head.steps, headStep{op: n.Op, vector: v})
		default:
			continue
		}
		return x, true
	}
	return "", false
}

// number reads a constant of the graph that has one element.
func (f *headFinder) number(value string) (float32, bool) {
	t := f.Graph.Inits[value]
	if t == nil || t.Len() != 1 || !t.DType.IsFloat() || f.Graph.Overridable[value] != nil || !f.Graph.Lifted[value] && len(t.Dims) > 0 {
		return 0, false
	}
	v, err := t.Float32s()
	if err != nil {
		return 0, false
	}
	return v[0], true
}

// isVector reports one number for each word, the same for every row.
func (f *headFinder) isVector(value string) bool {
	info := f.Values.Of(value)
	if !info.Ranked || info.DType != ir.Float32 || info.Rank() == 0 || info.Rank() > 3 {
		return false
	}
	return sym.Product(info.Shape...).Is(f.head.Words) && info.Shape[info.Rank()-1].Is(f.head.Words)
}

// product takes the product itself, and its C as a step.
func (f *headFinder) product(n *ir.Node) bool {
	turned := n.Op != "MatMul" && n.Int("transB", 0) != 0
	if n.Op != "MatMul" {
		f.head.Scale = n.Float("alpha", 1)
		if n.Int("transA", 0)+n.Int("transBatchA", 0)+n.Int("transBatchB", 0) != 0 {
			return false
		}
	}
	if c := n.Input(2); n.Op == "Gemm" && c != "" {
		if n.Float("beta", 1) != 1 || !f.isVector(c) {
			return false
		}
		f.head.steps = append(f.head.steps, headStep{op: "Add", vector: c})
	}
	h := f.head
	h.Product, h.Input, h.Weight = n, n.Input(0), n.Input(1)
	for p := f.ix.Producer[h.Weight]; p != nil && (p.Is("Identity") || f.swaps(p)); p = f.ix.Producer[h.Weight] {
		h.Weight = p.Input(0)
		turned = turned != p.Is("Transpose")
	}
	h.VocabularyFirst = turned
	w, x := f.Values.Of(h.Weight), f.Values.Of(h.Input)
	if !w.Ranked || w.Rank() != 2 || w.DType != ir.Float32 || !x.Ranked || x.Rank() < 2 || x.Rank() > 3 {
		return false
	}
	words, width := w.Shape[1], w.Shape[0]
	if turned {
		words, width = width, words
	}
	var ok bool
	h.Width, ok = width.Const()
	return ok && words.Is(h.Words)
}

// swaps reports the transposition of a matrix.
func (f *headFinder) swaps(n *ir.Node) bool {
	perm, given := n.Ints("perm")
	return n.Is("Transpose") && f.Values.Of(n.Input(0)).Rank() == 2 && (!given || slices.Equal(perm, []int64{1, 0}))
}

// foldScales takes the factors right behind the product into its own.
func (f *headFinder) foldScales() {
	h := f.head
	for len(h.steps) > 0 && h.steps[0].op == "Mul" {
		h.Scale *= h.steps[0].factor
		h.steps = h.steps[1:]
	}
}

// Vectors are the values over the vocabulary that the head adds or subtracts.
func (h *LinearHead) Vectors() []string {
	var out []string
	for _, s := range h.steps {
		if s.vector != "" && !slices.Contains(out, s.vector) {
			out = append(out, s.vector)
		}
	}
	return out
}
