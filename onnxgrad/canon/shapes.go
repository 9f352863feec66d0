package canon

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// FoldShapes replaces what exporters compute of shapes by what inference knows
// of them: integer values that are constant become constants, reshapes get
// targets written with copies (0) and one remainder (−1), and the arithmetic
// that nothing reads any more goes. A 12-layer GPT-2 with all its Shape, Gather,
// Unsqueeze and Concat nodes takes the runtime seconds to load; nine tenths of
// them go here. values must be of g as it is.
func FoldShapes(g *ir.Graph, values *infer.Values) {
	f := &shapeFolder{graph: g, values: values}
	for _, n := range g.Nodes {
		switch {
		case n.Is("Reshape"):
			f.reshape(n)
		case n.Is("Concat"):
			f.concat(n)
			f.constantResult(n)
		default:
			f.constantResult(n)
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *ir.Node) bool { return f.folded[n] })
	(&Graph{Graph: g}).foldNumbers()
	g.Prune()
	f.dropEmptyInputs()
}

// constantResult replaces a node by its result where that is known.
func (f *shapeFolder) constantResult(n *ir.Node) {
	if len(n.Outputs) == 1 && n.Domain == "" && f.graph.Output(n.Outputs[0]) == nil {
		f.constant(n)
	}
}

// concat leaves out operands without elements: caches of length 0.
func (f *shapeFolder) concat(n *ir.Node) {
	kept := slices.DeleteFunc(slices.Clone(n.Inputs), func(in string) bool { return f.empty(in) })
	if len(kept) == len(n.Inputs) || len(kept) == 0 {
		return
	}
	if n.Inputs = kept; len(kept) == 1 {
		n.Op, n.Attrs = "Identity", ir.Attrs{}
	}
}

// empty reports a value that holds no element whatever the batch.
func (f *shapeFolder) empty(value string) bool {
	info := f.values.Of(value)
	return info.Ranked && slices.ContainsFunc(info.Shape, func(d sym.Dim) bool { return d.Is(0) })
}

// dropEmptyInputs takes caches of length 0 that nothing reads any more from the
// graph's inputs.
func (f *shapeFolder) dropEmptyInputs() {
	ix := f.graph.Index()
	f.graph.Inputs = slices.DeleteFunc(f.graph.Inputs, func(in *ir.ValueInfo) bool {
		return len(ix.Uses[in.Name]) == 0 && f.graph.Output(in.Name) == nil && f.empty(in.Name)
	})
}

type shapeFolder struct {
	graph  *ir.Graph
	values *infer.Values
	folded map[*ir.Node]bool
}

// constant replaces an int64 node whose elements are known by an initializer of
// the same name.
func (f *shapeFolder) constant(n *ir.Node) {
	info := f.values.Of(n.Outputs[0])
	ints, ok := info.Ints()
	if !ok || info.DType != ir.Int64 || !info.Ranked || info.Rank() > 1 {
		return
	}
	dims := []int64{}
	if info.Rank() == 1 {
		dims = []int64{int64(len(ints))}
	}
	if info.Rank() == 0 && len(ints) != 1 {
		return
	}
	f.graph.AddInit(ir.NewInt64(n.Outputs[0], dims, ints))
	f.graph.Lifted[n.Outputs[0]] = true
	if f.folded == nil {
		f.folded = map[*ir.Node]bool{}
	}
	f.folded[n] = true
}

// reshape writes the target as constants where every extent is a constant, a
// copy of the input's at the same place, or the one remainder.
func (f *shapeFolder) reshape(n *ir.Node) {
	if _, isConst := f.graph.Inits[n.Input(1)]; isConst {
		return
	}
	x, y := f.values.Of(n.Input(0)), f.values.Of(n.Output(0))
	if !x.Ranked || !y.Ranked {
		return
	}
	target := make([]int64, y.Rank())
	rest := 0
	for i, d := range y.Shape {
		c, isConst := d.Const()
		switch {
		case isConst && c == 0:
			return
		case isConst:
			target[i] = c
		case i < x.Rank() && sym.Equal(d, x.Shape[i]):
			target[i] = 0
		default:
			target[i], rest = -1, rest+1
		}
	}
	if rest > 1 {
		return
	}
	e := &emitter{graph: &Graph{Graph: f.graph}, from: n}
	n.Inputs = []string{n.Inputs[0], e.ints("shape", target...)}
	delete(n.Attrs, "allowzero")
}
