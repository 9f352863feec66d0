package canon

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// An emitter collects the nodes that replace one node, named after it.
type emitter struct {
	graph *Graph
	from  *ir.Node
	nodes []*ir.Node
}

// op emits a node with one new output and returns its name.
func (e *emitter) op(op, suffix string, attrs ir.Attrs, inputs ...string) string {
	out := e.graph.FreshName(e.from.Name + "/" + suffix)
	e.into(out, op, attrs, inputs...)
	return out
}

// into emits a node that makes an existing value.
func (e *emitter) into(output, op string, attrs ir.Attrs, inputs ...string) {
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	e.nodes = append(e.nodes, &ir.Node{
		Name: e.from.Name + "/" + op + "/" + output, Op: op, Inputs: inputs, Outputs: []string{output}, Attrs: attrs, Scope: e.from.Scope,
	})
}

// ints adds a constant vector and returns its name.
func (e *emitter) ints(suffix string, v ...int64) string {
	t := ir.NewInt64(e.graph.FreshName(e.from.Name+"/"+suffix), []int64{int64(len(v))}, v)
	e.constant(t)
	return t.Name
}

// scalar adds a constant of rank 0 and returns its name.
func (e *emitter) scalar(suffix string, v float32) string {
	t := ir.NewFloat32(e.graph.FreshName(e.from.Name+"/"+suffix), nil, []float32{v})
	e.constant(t)
	return t.Name
}

func (e *emitter) constant(t *ir.Tensor) {
	e.graph.AddInit(t)
	e.graph.Lifted[t.Name] = true
}
