package onnxgrad

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A WordRange is a part of the vocabulary, From ≤ word < To.
type WordRange struct{ From, To int64 }

// Len counts the words.
func (r WordRange) Len() int64 { return r.To - r.From }

// AllWords is the whole vocabulary as one range.
func (h *LinearHead) AllWords() WordRange { return WordRange{0, h.Words} }

// WeightOf returns the part of the head's matrix that makes the logits of these
// words: [n,d] where the vocabulary is its first axis, else [d,n]. again makes the
// node differ from that of a first call, so that the runtime does not keep the part
// for both.
func (h *LinearHead) WeightOf(b *Builder, r WordRange, again bool) string {
	if r == h.AllWords() {
		return h.Weight
	}
	axis := int64(1)
	if h.VocabularyFirst {
		axis = 0
	}
	if again {
		axis -= 2
	}
	return b.Op("Slice", nil, h.Weight, b.Ints(r.From), b.Ints(r.To), b.Ints(axis))
}

// Logits emits z [b,T,n] of x [b,T,d] for the words of r, with weight as WeightOf
// gives it.
func (h *LinearHead) Logits(b *Builder, x, weight string, r WordRange) *Logits {
	z := h.times(b, x, weight, h.VocabularyFirst, h.Scale)
	l := &Logits{head: h, of: make([]string, len(h.steps)), words: r}
	for i, s := range h.steps {
		switch s.op {
		case "Add", "Sub":
			z = b.Op(s.op, nil, z, h.part(b, s.vector, r))
		case "Mul":
			z = b.Scale(z, s.factor)
		case "Tanh":
			z = b.Op("Tanh", nil, z)
		}
		l.of[i] = z
	}
	l.Value = z
	return l
}

// times is scale·x·w, or scale·x·wᵀ. It is written as one operator, for inside of a
// branch nothing is folded afterwards.
func (h *LinearHead) times(b *Builder, x, w string, turned bool, scale float32) string {
	if !turned && scale == 1 {
		return b.MatMul(x, w)
	}
	flag := int64(0)
	if turned {
		flag = 1
	}
	if _, imported := b.Graph.Opset[fusedProduct]; !imported {
		b.Graph.Opset[fusedProduct] = 1
	}
	return b.Op(fusedProduct+".FusedMatMul", ir.Attrs{"alpha": scale, "transA": int64(0), "transB": flag}, x, w)
}

// part cuts a vector over the vocabulary.
func (h *LinearHead) part(b *Builder, vector string, r WordRange) string {
	if r == h.AllWords() {
		return vector
	}
	return b.Op("Slice", nil, vector, b.Ints(r.From), b.Ints(r.To), b.Ints(-1))
}

// Logits are those of some rows and some words.
type Logits struct {
	Value string // [b,T,n]
	head  *LinearHead
	of    []string // by step: its result
	words WordRange
}

// Back takes a gradient g of the logits back to that of α·X·W. at is told, for each
// vector of the head, the gradient where it is added, and whether it is subtracted.
func (l *Logits) Back(b *Builder, g string, at func(vector, g string, minus bool)) string {
	for i := len(l.of) - 1; i >= 0; i-- {
		switch s := l.head.steps[i]; s.op {
		case "Add", "Sub":
			if at != nil {
				at(s.vector, g, s.op == "Sub")
			}
		case "Mul":
			g = b.Scale(g, s.factor)
		case "Tanh":
			y := l.of[i]
			g = b.Mul(g, b.Sub(b.Scalar(1), b.Mul(y, y)))
		}
	}
	return g
}

// InputGradient is α·g·Wᵀ [b,T,d] of g [b,T,n], a gradient of α·X·W.
func (h *LinearHead) InputGradient(b *Builder, g, weight string) string {
	return h.times(b, g, weight, !h.VocabularyFirst, h.Scale)
}

// MinusOne adds −1 to g [b,T,n] at each row's word, index [b,T,1], where it is one
// of r's.
func (r WordRange) MinusOne(b *Builder, h *LinearHead, g, index string) string {
	attrs := ir.Attrs{"axis": int64(2), "reduction": "add"}
	minus := b.Op("Expand", nil, b.Scalar(-1), b.Extents(b.Shape(index)))
	b.setShape(minus, b.Shape(index))
	if r == h.AllWords() {
		return b.Op("ScatterElements", attrs, g, index, minus)
	}
	at, inside := r.Place(b, index)
	return b.Op("ScatterElements", attrs, g, at, b.Where(inside, minus, b.Scalar(0)))
}

// Place turns words into places within r, any place for a word outside, and says
// which are inside.
func (r WordRange) Place(b *Builder, index string) (at, inside string) {
	at = b.Op("Sub", nil, index, b.Int(r.From))
	in := b.Op("Clip", nil, at, b.Int(0), b.Int(r.Len()-1))
	return in, b.Op("Equal", nil, at, in)
}

// At reads x [b,T,n] at words [b,T,k]: 0 for a word outside of r.
func (r WordRange) At(b *Builder, h *LinearHead, x, words string) string {
	if r == h.AllWords() {
		return b.Op("GatherElements", ir.Attrs{"axis": int64(2)}, x, words)
	}
	at, inside := r.Place(b, words)
	return b.whereOrZero(inside, b.Op("GatherElements", ir.Attrs{"axis": int64(2)}, x, at))
}

// SplitAt cuts x along an axis into parts of these extents, which may be 0.
func (b *Builder) SplitAt(x string, axis int, extents []sym.Dim) []string {
	if len(extents) == 1 {
		return []string{x}
	}
	out := b.Ops("Split", len(extents), ir.Attrs{"axis": int64(axis)}, x, b.Extents(extents))
	for i, y := range out {
		shape := append([]sym.Dim(nil), b.Shape(x)...)
		shape[axis] = extents[i]
		b.setShape(y, shape)
	}
	return out
}

// ReshapeAll is Reshape with every extent given, for a value that may be empty.
func (b *Builder) ReshapeAll(x string, shape []sym.Dim) string {
	if sym.EqualShape(b.Shape(x), shape) {
		return x
	}
	y := b.Op("Reshape", ir.Attrs{"allowzero": int64(1)}, x, b.Extents(shape))
	b.setShape(y, shape)
	return y
}
