package ghost

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// readsQuantised lists the operators that take integers for weights.
var readsQuantised = map[string]bool{
	"DequantizeLinear": true, "MatMulInteger": true, "ConvInteger": true, "QLinearMatMul": true, "QLinearConv": true,
	"MatMulNBits": true, "QGemm": true, "DynamicQuantizeMatMul": true, "MatMulIntegerToFloat": true, "GatherBlockQuantized": true,
}

// quantised lists the integer initializers of rank 1 and more that stand for
// weights. They have no gradient and stay as they are.
func quantised(g *ir.Graph) []Constant {
	ix := g.Index()
	var out []Constant
	for _, name := range g.InitOrder {
		t := g.Inits[name]
		if t.DType.IsFloat() || len(t.Dims) == 0 || g.Lifted[name] {
			continue
		}
		if slices.ContainsFunc(ix.Uses[name], func(u ir.Use) bool { return isWeight(ix, u) }) {
			out = append(out, Constant{name, t.Dims, fmt.Sprintf("quantised (%s): it stays as it is", t.DType)})
		}
	}
	return out
}

// isWeight reports that a use of integers makes numbers of them, directly or row by
// row.
func isWeight(ix *ir.Index, u ir.Use) bool {
	if readsQuantised[u.Node.Op] {
		return u.Index <= 1
	}
	return u.Node.Is("Gather") && u.Index == 0 &&
		slices.ContainsFunc(ix.Uses[u.Node.Output(0)], func(v ir.Use) bool { return readsQuantised[v.Node.Op] && v.Index == 0 })
}

// RefuseLeft is the error of training a whole model some of whose weights are
// quantised: training would leave them out. Patterns that name what is trained or
// frozen say that this is meant.
func (p *Prepared) RefuseLeft(s *Selection) error {
	if len(s.Left) == 0 {
		return nil
	}
	q := s.Left[0]
	return fmt.Errorf("%w: %d weights are quantised and can't be trained, the first is %q (%s); train the others with --freeze kind:quantised, or export the model in floating point",
		ir.ErrUnsupported, len(s.Left), q.Name, p.Graph.Inits[q.Name].DType)
}
