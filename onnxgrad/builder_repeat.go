package onnxgrad

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// Repeat appends a copy of n that reads inputs instead of n's, and returns it. What it
// makes has names of its own, and the shapes of what n makes.
func (b *Builder) Repeat(n *ir.Node, inputs []string) *ir.Node {
	c := n.Clone()
	c.Name, c.Inputs = b.fresh(n.Name), inputs
	for i, o := range n.Outputs {
		if o != "" {
			c.Outputs[i] = b.fresh(o)
		}
	}
	b.append(c)
	for i, o := range n.Outputs {
		if o != "" {
			b.Values.Set(c.Outputs[i], b.Values.Of(o))
		}
	}
	return c
}

// Pending are the nodes of a section that are not in the graph yet.
func (b *Builder) Pending(section string) []*ir.Node { return b.sections[section] }

// Extend moves what was appended after Finish into the graph.
func (b *Builder) Extend() error {
	if b.err != nil {
		return b.err
	}
	b.flush()
	b.declareShapes()
	return b.Graph.Sort()
}
