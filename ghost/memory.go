package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// PeakBytes estimates the memory that one run of the program takes above its
// weights and outputs, for a batch of that many records and that length: the
// largest sum of live values over the runtime's order of execution. Values of
// unknown extents count as nothing.
func (p *Program) PeakBytes(records, length int64) int64 {
	values, err := infer.Graph(p.Graph, infer.Declared)
	if err != nil {
		return 0
	}
	env := map[string]int64{separate.BatchSymbol: records, separate.SequenceSymbol: length, "label_words": 2}
	for _, in := range p.Graph.Inputs {
		for _, d := range in.Dims { // a decoder's length, for instance
			if _, known := env[d.Param]; !known && d.Param != "" {
				env[d.Param] = length
			}
		}
	}
	size := func(name string) int64 {
		if p.Graph.Output(name) != nil { // written where the caller says
			return 0
		}
		return bytesOf(values.Of(name), env)
	}
	order := executionOrder(p.Graph)
	last := map[string]int{}
	for i, n := range order {
		for _, in := range n.Reads() {
			last[in] = i
		}
	}
	var live, peak int64
	for i, n := range order {
		for _, o := range n.Outputs {
			live += size(o)
		}
		peak = max(peak, live)
		seen := map[string]bool{}
		for _, in := range n.Reads() {
			if last[in] == i && !seen[in] && p.Graph.Inits[in] == nil && p.Graph.Input(in) == nil {
				live -= size(in)
			}
			seen[in] = true
		}
	}
	return peak
}

func bytesOf(info infer.Info, env map[string]int64) int64 {
	if !info.Ranked {
		return 0
	}
	n := int64(4)
	if info.DType == ir.Int64 || info.DType == ir.Float64 {
		n = 8
	} else if info.DType == ir.Bool {
		n = 1
	}
	for _, d := range info.Shape {
		e, ok := d.Eval(env)
		if !ok {
			return 0
		}
		n *= e
	}
	return n
}

// executionOrder imitates onnxruntime: a depth-first walk from the leaves
// (nodes whose outputs nobody reads), the highest node index first, inputs of
// the highest index first, each node after its inputs.
func executionOrder(g *ir.Graph) []*ir.Node {
	producer, index := map[string]*ir.Node{}, map[*ir.Node]int{}
	for i, n := range g.Nodes {
		index[n] = i
		for _, o := range n.Outputs {
			producer[o] = n
		}
	}
	read := map[string]bool{}
	for _, n := range g.Nodes {
		for _, in := range n.Reads() {
			read[in] = true
		}
	}
	done := make([]bool, len(g.Nodes))
	order := make([]*ir.Node, 0, len(g.Nodes))
	var visit func(n *ir.Node)
	visit = func(n *ir.Node) {
		if done[index[n]] {
			return
		}
		done[index[n]] = true
		var before []*ir.Node
		for _, in := range n.Reads() {
			if p := producer[in]; p != nil && !done[index[p]] {
				before = append(before, p)
			}
		}
		for len(before) > 0 { // highest index first
			top := 0
			for i := range before {
				if index[before[i]] > index[before[top]] {
					top = i
				}
			}
			visit(before[top])
			before[top] = before[len(before)-1]
			before = before[:len(before)-1]
		}
		order = append(order, n)
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		leaf := true
		for _, o := range g.Nodes[i].Outputs {
			leaf = leaf && !read[o]
		}
		if leaf {
			visit(g.Nodes[i])
		}
	}
	return order
}
