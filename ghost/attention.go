package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// What a parameter does for attention. A packed projection does several things.
const (
	Query  = "q"   // makes queries
	Key    = "k"   // makes keys
	Value  = "v"   // makes values
	Output = "out" // takes what attention gives
)

// AttentionRoles lists them.
var AttentionRoles = []string{Query, Key, Value, Output}

// findAttention says of every parameter what it does for attention. Nothing is taken
// from names. Attention is two products of activations with a softmax between them:
//
//	context = softmax(scores(q·kᵀ))·v
//
// The operands are traced back to the products with weights that make them, and the
// context forward to the first product with a weight. What lies between (biases, norms
// of queries and keys) belongs to it.
func (f *finder) findAttention(params []Parameter) {
	roles := map[string]map[string]bool{}
	mark := func(value, role string) {
		for root := range f.views[value] {
			if roles[root] == nil {
				roles[root] = map[string]bool{}
			}
			roles[root][role] = true
		}
	}
	fromSoftmax := f.fromSoftmax()
	for _, n := range f.graph.Nodes {
		left, right := n.Input(0), n.Input(1)
		if !isProduct(n) || !f.activation[left] || !f.activation[right] {
			continue
		}
		switch {
		case fromSoftmax[left]:
			f.markBack(right, Value, mark)
			f.markForward(n.Output(0), mark)
		case fromSoftmax[right]:
			f.markBack(left, Value, mark)
			f.markForward(n.Output(0), mark)
		case f.towardsSoftmax[n.Output(0)]:
			f.markBack(left, Query, mark)
			f.markBack(right, Key, mark)
		}
	}
	for i := range params {
		for _, role := range AttentionRoles {
			if roles[params[i].Name][role] {
				params[i].Attention = append(params[i].Attention, role)
			}
		}
	}
}

func isProduct(n *ir.Node) bool {
	return n.Is("MatMul") || n.Is("Gemm") || n.Is("Einsum") || n.Op == "FusedMatMul"
}

// fromSoftmax marks what elementwise and rearranging operators make of attention
// weights.
func (f *finder) fromSoftmax() map[string]bool {
	out := map[string]bool{}
	for _, n := range f.graph.Nodes {
		softmax := n.Is("Softmax") && f.activation[n.Input(0)]
		if softmax || passesOn[n.Op] && slices.ContainsFunc(n.Inputs, func(in string) bool { return out[in] }) {
			out[n.Output(0)] = true
		}
	}
	return out
}

// between lists operators that stand between a projection and attention.
var between = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Neg": true, "Where": true, "Cast": true, "Identity": true,
	"Reshape": true, "Transpose": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true, "Expand": true, "Tile": true,
	"Slice": true, "Split": true, "Concat": true, "Gather": true,
	"LayerNormalization": true, "RMSNormalization": true, "SimplifiedLayerNormalization": true,
	"Pow": true, "Sqrt": true, "Reciprocal": true, "ReduceMean": true, "ReduceL2": true, "Clip": true, "Max": true,
}

// markBack marks the parameters between a value and the products with weights that
// it is made by, those included.
func (f *finder) markBack(value, role string, mark func(value, role string)) {
	seen := map[string]bool{}
	var visit func(v string)
	visit = func(v string) {
		n := f.ix.Producer[v]
		if n == nil || seen[v] {
			return
		}
		seen[v] = true
		weighed := isProduct(n) && !(f.activation[n.Input(0)] && f.activation[n.Input(1)])
		if !weighed && !between[n.Op] {
			return
		}
		for _, in := range n.Inputs {
			if f.activation[in] && !weighed {
				visit(in)
			} else if !f.activation[in] {
				mark(in, role)
			}
		}
	}
	visit(value)
}

// rearranges lists operators that only move what attention gives.
var rearranges = map[string]bool{
	"Reshape": true, "Transpose": true, "Identity": true, "Cast": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true,
	"LayerNormalization": true, "Mul": true,
}

// markForward marks the weight, and the bias, of the first product that takes the
// context.
func (f *finder) markForward(value string, mark func(value, role string)) {
	for _, u := range f.ix.Uses[value] {
		switch n := u.Node; {
		case u.Index < 0:
		case isProduct(n) && f.views[n.Input(1-min(u.Index, 1))] != nil:
			for i, in := range n.Inputs {
				if i != u.Index {
					mark(in, Output)
				}
			}
			f.markBias(n.Output(0), mark)
		case rearranges[n.Op]:
			f.markForward(n.Output(0), mark)
		}
	}
}

// markBias marks what is added to the direct result of a product.
func (f *finder) markBias(value string, mark func(value, role string)) {
	for _, u := range f.ix.Uses[value] {
		switch n := u.Node; {
		case n.Is("Reshape") && u.Index == 0:
			f.markBias(n.Output(0), mark)
		case n.Is("Add") && u.Index >= 0 && f.views[n.Input(1-u.Index)] != nil:
			mark(n.Input(1-u.Index), Output)
		}
	}
}
