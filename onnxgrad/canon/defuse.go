package canon

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// expansions write fused operators as the primitives they stand for, by domain
// and operator. The definitions are those of onnxruntime's contrib operators and
// of ONNX's functions; the formula of each stands above its function.
//
// Only the working copy changes: the model that is written back keeps its fused
// nodes, because nothing of it is touched but the numbers of its initializers.
var expansions = map[string]func(*expander) error{
	".Attention":                                     (*expander).attention23,
	".RotaryEmbedding":                               (*expander).rotary23,
	".Tile":                                          (*expander).tile,
	".Resize":                                        (*expander).resize,
	"com.microsoft.Attention":                        (*expander).packedAttention,
	"com.microsoft.MultiHeadAttention":               (*expander).multiHeadAttention,
	"com.microsoft.GroupQueryAttention":              (*expander).groupQueryAttention,
	"com.microsoft.RotaryEmbedding":                  (*expander).rotaryContrib,
	"com.microsoft.SkipLayerNormalization":           (*expander).skipLayerNorm,
	"com.microsoft.SkipSimplifiedLayerNormalization": (*expander).skipSimplifiedLayerNorm,
	".SkipSimplifiedLayerNormalization":              (*expander).skipSimplifiedLayerNorm,
	"com.microsoft.SimplifiedLayerNormalization":     (*expander).simplifiedLayerNorm,
	"com.microsoft.EmbedLayerNormalization":          (*expander).embedLayerNorm,
	"com.microsoft.FusedMatMul":                      (*expander).fusedMatMul,
	"com.microsoft.TransposeMatMul":                  (*expander).fusedMatMul,
	"com.microsoft.FusedGemm":                        (*expander).fusedGemm,
	"com.microsoft.FusedConv":                        (*expander).fusedConv,
	"com.microsoft.BiasSoftmax":                      (*expander).biasSoftmax,
	"com.microsoft.RelativePositionBias":             (*expander).relativePositionBias,
}

// An expander writes one fused node.
type expander struct {
	emitter
	n      *ir.Node
	values *infer.Values
}

// defuse expands every fused operator of the table.
func defuse(c *Graph) error {
	fused := func(n *ir.Node) bool { return expansions[n.Domain+"."+n.Op] != nil }
	return c.rewrite(fused, func(n *ir.Node, values *infer.Values) ([]*ir.Node, error) {
		if !fused(n) {
			return []*ir.Node{n}, values.Node(n) // shapes that a fused node hid
		}
		x := &expander{emitter: emitter{graph: c, from: n, values: values}, n: n, values: values}
		if err := expansions[n.Domain+"."+n.Op](x); err != nil {
			return nil, fmt.Errorf("%w: %v: %v", ir.ErrUnsupported, n, err)
		}
		if x.failed != nil {
			return nil, fmt.Errorf("%w: %v: %v", ir.ErrUnsupported, n, x.failed)
		}
		return x.nodes, nil
	})
}

// info describes operand i.
func (x *expander) info(i int) infer.Info { return x.values.Of(x.n.Input(i)) }

// extent returns extent k of operand i when it is known.
func (x *expander) extent(i, k int) (int64, bool) {
	info := x.info(i)
	if !info.Ranked || k >= info.Rank() {
		return 0, false
	}
	return info.Shape[k].Const()
}

// absent refuses operands that have no expansion here.
func (x *expander) absent(operands map[int]string) error {
	for i, what := range operands {
		if x.n.Input(i) != "" {
			return fmt.Errorf("it reads %s (%q); export the model without it", what, x.n.Input(i))
		}
	}
	return nil
}

// onlyOutputs refuses results beyond the given ones that a node reads, and takes
// them from the graph's outputs: a cache of keys that the graph only returns is
// nothing that a loss depends on.
func (x *expander) onlyOutputs(known ...int) error {
	for i, o := range x.n.Outputs {
		if o == "" || slices.Contains(known, i) {
			continue
		}
		if x.graph.isRead(o) {
			return fmt.Errorf("its result %d (%q) is used and has no expansion", i, o)
		}
		x.graph.Outputs = slices.DeleteFunc(x.graph.Outputs, func(v *ir.ValueInfo) bool { return v.Name == o })
	}
	return nil
}

// isRead reports whether a node reads a value.
func (c *Graph) isRead(value string) bool {
	return slices.ContainsFunc(c.Nodes, func(n *ir.Node) bool { return slices.Contains(n.Reads(), value) })
}
