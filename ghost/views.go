package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// viewOf returns the initializers that n's result depends on if it depends on
// initializers and constants alone, and whether it does more than rearrange them
// or change them by constants. DeBERTa normalises its table of relative positions
// and multiplies it with the weights of keys and queries before it meets an
// activation; a low-rank update adds the product of two matrices to a weight.
func (f *finder) viewOf(n *ir.Node) (roots map[string]bool, worked bool) {
	if readsQuantised[n.Op] || onnxgrad.Supported(n) != "rule" || !f.values.Of(n.Output(0)).DType.IsFloat() {
		return nil, false
	}
	plain, views := structural[n.Op] && n.Domain == "", 0
	roots = map[string]bool{}
	for _, in := range n.Reads() {
		switch view := f.views[in]; {
		case in == "":
		case view != nil:
			views++
			worked = worked || f.worked[in]
			for r := range view {
				roots[r] = true
			}
		case !plain && !f.constant(in):
			return nil, false
		}
	}
	if len(roots) == 0 {
		return nil, false
	}
	arithmetic := slices.Contains([]string{"Add", "Mul", "Sub", "Div"}, n.Op) && views == 1
	return roots, worked || !plain && !arithmetic
}

// constant reports a number of the graph: one that was written into a node, is
// made of integers, or has rank 0.
func (f *finder) constant(value string) bool {
	t, isInit := f.graph.Inits[value]
	return f.graph.Lifted[value] || isInit && !t.DType.IsFloat() || f.values.Of(value).Ranked && f.values.Of(value).Rank() == 0
}

// role says what an initializer is where it enters a computation on initializers.
func (f *finder) role(name string) Kind {
	for _, n := range f.graph.Nodes {
		for i, in := range n.Inputs {
			if !f.views[in][name] || f.worked[in] || !f.worked[n.Output(0)] {
				continue
			}
			vector := f.wide(in) <= 1
			switch {
			case (n.Is("LayerNormalization") || n.Is("RMSNormalization")) && i > 0:
				return [...]Kind{"", Scale, Shift}[min(i, 2)]
			case vector && (n.Is("Mul") || n.Is("Div")):
				return Scale
			case vector && (n.Is("Add") || n.Is("Sub")), n.Is("Gemm") && i == 2:
				return Bias
			}
			return Linear
		}
	}
	return Other
}
