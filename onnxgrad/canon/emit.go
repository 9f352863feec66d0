package canon

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// rewrite puts in every node's place what replace makes of it, if the graph has a
// node that the pass is for: without one it is spared the shapes.
func (c *Graph) rewrite(isFor func(*ir.Node) bool, replace func(*ir.Node, *infer.Values) ([]*ir.Node, error)) error {
	if !slices.ContainsFunc(c.Nodes, isFor) {
		return nil
	}
	values, err := c.values()
	if err != nil {
		return err
	}
	var out []*ir.Node
	for _, n := range c.Nodes {
		made, err := replace(n, values)
		if err != nil {
			return err
		}
		out = append(out, made...)
	}
	c.Nodes = out
	return nil
}

// An emitter collects the nodes that replace one node, named after it.
type emitter struct {
	graph *Graph
	from  *ir.Node
	nodes []*ir.Node
	// values, where given, learns what is emitted; failed is its first error.
	values *infer.Values
	failed error
	made   map[string]bool // names taken by nodes that are not in the graph yet
}

// op emits a node with one new output and returns its name.
func (e *emitter) op(op, suffix string, attrs ir.Attrs, inputs ...string) string {
	out := e.fresh(suffix)
	e.into(out, op, attrs, inputs...)
	return out
}

// fresh returns a name that no value has.
func (e *emitter) fresh(suffix string) string {
	name := e.graph.FreshName(e.from.Name + "/" + suffix)
	for i := 2; e.made[name]; i++ {
		name = e.graph.FreshName(fmt.Sprintf("%s/%s.%d", e.from.Name, suffix, i))
	}
	if e.made == nil {
		e.made = map[string]bool{}
	}
	e.made[name] = true
	return name
}

// into emits a node that makes existing values.
func (e *emitter) into(output, op string, attrs ir.Attrs, inputs ...string) {
	e.add(op, attrs, inputs, output)
}

func (e *emitter) add(op string, attrs ir.Attrs, inputs []string, outputs ...string) {
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	n := &ir.Node{
		Name: e.from.Name + "/" + op + "/" + outputs[0], Op: op, Inputs: inputs, Outputs: outputs, Attrs: attrs, Scope: e.from.Scope,
	}
	e.nodes = append(e.nodes, n)
	if e.values != nil && e.failed == nil {
		e.failed = e.values.Node(n)
	}
}

// split emits a Split of x into parts along the last axis.
func (e *emitter) split(x, suffix string, sizes ...int64) []string {
	outs := make([]string, len(sizes))
	for i := range sizes {
		outs[i] = e.fresh(fmt.Sprintf("%s_%d", suffix, i))
	}
	e.add("Split", ir.Attrs{"axis": int64(-1)}, []string{x, e.ints(suffix+"_sizes", sizes...)}, outs...)
	return outs
}

// ints adds a constant vector and returns its name.
func (e *emitter) ints(suffix string, v ...int64) string {
	return e.constant(ir.NewInt64(e.fresh(suffix), []int64{int64(len(v))}, v))
}

// int adds an integer of rank 0 and returns its name.
func (e *emitter) int(suffix string, v int64) string {
	return e.constant(ir.NewInt64(e.fresh(suffix), nil, []int64{v}))
}

// scalar adds a constant of rank 0 and returns its name.
func (e *emitter) scalar(suffix string, v float32) string {
	return e.constant(ir.NewFloat32(e.fresh(suffix), nil, []float32{v}))
}

func (e *emitter) constant(t *ir.Tensor) string {
	e.graph.AddInit(t)
	e.graph.Lifted[t.Name] = true
	if e.values != nil {
		e.values.Set(t.Name, infer.OfTensor(t))
	}
	return t.Name
}

// cast emits a Cast.
func (e *emitter) cast(x, suffix string, to ir.DType) string {
	return e.op("Cast", suffix, ir.Attrs{"to": int64(to)}, x)
}

// count emits the extent of x along axis as an integer of rank 0.
func (e *emitter) count(x, suffix string, axis int64) string {
	n := e.op("Shape", suffix+"_extent", ir.Attrs{"start": axis, "end": axis + 1}, x)
	return e.op("Squeeze", suffix+"_count", nil, n, e.ints(suffix+"_axis", 0))
}

// positions emits 0, 1, …, n−1 with n the extent of x along axis.
func (e *emitter) positions(x, suffix string, axis int64) string {
	return e.op("Range", suffix+"_positions", nil, e.int(suffix+"_from", 0), e.count(x, suffix, axis), e.int(suffix+"_by", 1))
}
