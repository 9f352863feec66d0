package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// kind says what operand i of n, a view of the initializer root, is there.
func (f *finder) kind(n *ir.Node, i int, root string) (Kind, string) {
	rule, ok := kinds[n.Op]
	if !ok || n.Domain != "" && n.Domain != "com.microsoft" {
		return other(f, n, i, root)
	}
	return rule(f, n, i, root)
}

// kinds by operator.
var kinds = map[string]func(f *finder, n *ir.Node, i int, root string) (Kind, string){
	"MatMul":      func(f *finder, n *ir.Node, i int, _ string) (Kind, string) { return f.product(n, i) },
	"FusedMatMul": func(f *finder, n *ir.Node, i int, _ string) (Kind, string) { return f.product(n, i) },
	"Gemm": func(f *finder, n *ir.Node, i int, _ string) (Kind, string) {
		if i == 2 {
			return Bias, ""
		}
		return f.product(n, i)
	},
	"Conv": convolution, "ConvTranspose": convolution,
	"Einsum": func(f *finder, n *ir.Node, i int, _ string) (Kind, string) {
		if !f.activation[n.Input(i)] && f.activation[n.Output(0)] {
			return Linear, ""
		}
		return "", ""
	},
	"Gather": func(f *finder, n *ir.Node, i int, _ string) (Kind, string) {
		switch {
		case i == 0 && f.isTable(n):
			return Embedding, ""
		case i == 0 && f.scalesOnly[n.Output(0)]:
			return "", "a table of rotary positions"
		}
		return "", ""
	},
	"InstanceNormalization": normOperand, "GroupNormalization": normOperand,
	"BatchNormalization": func(f *finder, n *ir.Node, i int, root string) (Kind, string) {
		if i > 2 {
			return "", "a statistic that was fixed in training"
		}
		return normOperand(f, n, i, root)
	},
	"LayerNormalization": normOperand, "RMSNormalization": normOperand, "SimplifiedLayerNormalization": normOperand,
	"DequantizeLinear": quantisedOperand, "GatherBlockQuantized": quantisedOperand, "MatMulNBits": quantisedOperand,
	"Add": addend, "Sum": addend, "Sub": addend,
	"Mul": factor, "Div": factor, "PRelu": factor,
	"BiasGelu": addend, "FastGelu": addend,
	"Concat": func(f *finder, n *ir.Node, _ int, _ string) (Kind, string) {
		if f.activation[n.Output(0)] {
			return Token, ""
		}
		return "", ""
	},
	"Where": func(f *finder, n *ir.Node, i int, root string) (Kind, string) {
		if f.graph.Inits[root].Len() > 1 && i > 0 && f.activation[n.Input(3-i)] && !f.towardsSoftmax[n.Output(0)] {
			return Token, ""
		}
		return "", "a fill value"
	},
}

func (f *finder) product(n *ir.Node, i int) (Kind, string) {
	if i < 2 && f.activation[n.Input(1-i)] {
		return Linear, ""
	}
	return "", ""
}

func normOperand(f *finder, n *ir.Node, i int, _ string) (Kind, string) {
	if !f.activation[n.Input(0)] {
		return "", ""
	}
	return [...]Kind{"", Scale, Shift}[min(i, 2)], ""
}

// addend: a bias or table added to activations, but not a mask added to
// attention scores and not a lifted number such as an epsilon.
func addend(f *finder, n *ir.Node, i int, root string) (Kind, string) {
	if !f.activation[n.Output(0)] || f.activation[n.Input(i)] {
		return "", ""
	}
	switch {
	case f.graph.Inits[root].Len() == 1:
		if f.followsProduct(n, i) {
			return Bias, ""
		}
		return "", "a lifted number"
	case f.isMask(n, i):
		return "", "a mask added to attention scores"
	case n.Op == "Sub" && i == 0:
		return Shift, ""
	case n.Op == "Add" && f.followsScale(n, i):
		return Shift, ""
	}
	return Bias, ""
}

// factor: a vector multiplied with activations, but not a mask and not a lifted
// number.
func factor(f *finder, n *ir.Node, i int, root string) (Kind, string) {
	switch {
	case !f.activation[n.Output(0)] || f.activation[n.Input(i)]:
		return "", ""
	case f.graph.Inits[root].Len() == 1 && n.Op != "PRelu":
		return "", "a lifted number"
	case f.isMask(n, i):
		return "", "a mask multiplied with attention scores"
	case f.wide(n.Input(i)) >= 2:
		return "", "a table multiplied by position, such as rotary cosines"
	}
	return Scale, ""
}

// isMask reports a table over two axes whose result goes to a softmax.
func (f *finder) isMask(n *ir.Node, i int) bool {
	return f.wide(n.Input(i)) >= 2 && f.towardsSoftmax[n.Output(0)]
}

// wide counts the axes with more than one element.
func (f *finder) wide(value string) int {
	n := 0
	for _, d := range f.values.Of(value).Shape {
		if !d.Is(1) {
			n++
		}
	}
	return n
}

// followsProduct reports that n adds to the direct result of a product.
func (f *finder) followsProduct(n *ir.Node, i int) bool {
	if n.Op != "Add" {
		return false
	}
	p := f.ix.Producer[n.Input(1-i)]
	return p != nil && (p.Op == "MatMul" || p.Op == "Gemm" || p.Op == "Conv")
}

// followsScale reports that n adds to the direct result of a scaling by a
// parameter: the β of a normalisation written out.
func (f *finder) followsScale(n *ir.Node, i int) bool {
	p := f.ix.Producer[n.Input(1-i)]
	if p == nil || !p.Is("Mul") {
		return false
	}
	return slices.ContainsFunc(p.Inputs, func(in string) bool { return f.views[in] != nil && f.values.Of(in).Rank() == 1 })
}

// quantisedOperand: what stands beside quantised weights belongs to them, but for
// the bias of a product.
func quantisedOperand(f *finder, n *ir.Node, i int, _ string) (Kind, string) {
	if n.Op == "MatMulNBits" && i == 5 && f.activation[n.Input(0)] {
		return Bias, ""
	}
	return "", "a scale of quantised weights: it stays as it is"
}

func convolution(_ *finder, _ *ir.Node, i int, _ string) (Kind, string) {
	return [...]Kind{"", Linear, Bias}[min(i, 2)], ""
}

// other: whatever meets an activation and is differentiated with it, so that
// nothing is left out of training because its operator is rare.
func other(f *finder, n *ir.Node, i int, root string) (Kind, string) {
	switch {
	case structural[n.Op] || onnxgrad.Supported(n) != "rule" || !f.activation[n.Output(0)] || f.activation[n.Input(i)]:
		return "", ""
	case f.graph.Inits[root].Len() == 1:
		return "", "a lifted number"
	}
	return Other, ""
}
