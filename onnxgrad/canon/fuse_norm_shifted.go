package canon

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// shiftedProduct matches x·s + (β − μ·s) with s = γ·r, r the inverse deviation.
func (m *matcher) shiftedProduct(p *normalised, r string) (replacement, bool) {
	none := replacement{}
	scaled, ok := m.onlyReader(p, r, "Mul")
	if !ok {
		return none, false
	}
	gamma := scaled.Input(0)
	if gamma == r {
		gamma = scaled.Input(1)
	}
	width, known := m.width(p.x)
	s := scaled.Output(0)
	uses := m.ix.Uses[s]
	if !known || !m.isVector(gamma, width) || len(uses) != 2 {
		return none, false
	}
	for i := range 2 {
		xs, ms := uses[i].Node, uses[1-i].Node
		if !xs.Is("Mul") || !ms.Is("Mul") || xs.Input(1-uses[i].Index) != p.x || !m.isMeanOf(ms.Input(1-uses[1-i].Index), p.x) {
			continue
		}
		shift, isShift := m.onlyReader(p, ms.Output(0), "Sub")
		sum, isSum := m.onlyReader(p, xs.Output(0), "Add")
		if !isShift || !isSum || shift.Input(1) != ms.Output(0) || !m.isVector(shift.Input(0), width) || !slices.Contains(sum.Inputs, shift.Output(0)) {
			return none, false
		}
		p.last, p.nodes = sum, unique(append(p.nodes, xs, ms, m.ix.Producer[ms.Input(1-uses[1-i].Index)]))
		node := p.node("LayerNormalization", p.x, gamma, shift.Input(0))
		return replacement{drop: p.nodes, last: sum, node: node}, m.private(p.nodes, sum)
	}
	return none, false
}

// isMeanOf reports the mean of x over the last axis.
func (m *matcher) isMeanOf(value, x string) bool {
	n := m.producer(value, "ReduceMean")
	return n != nil && m.meanOfLast(n) && n.Input(0) == x
}

// isVector reports a vector of the model, or one made of it and a number: Gemma
// keeps γ − 1.
func (m *matcher) isVector(value string, width int64) bool {
	t, ok := m.graph.Inits[value]
	if ok {
		return t.DType.IsFloat() && len(t.Dims) == 1 && t.Dims[0] == width
	}
	n := m.ix.Producer[value]
	if n == nil || !n.Is("Add") && !n.Is("Mul") && !m.passes(n) {
		return false
	}
	vectors, numbers := 0, 0
	for _, in := range n.Inputs {
		if _, isNumber := m.number(in); isNumber {
			numbers++
		} else if _, isInit := m.graph.Inits[in]; isInit && m.isVector(in, width) {
			vectors++
		}
	}
	return vectors == 1 && vectors+numbers == len(n.Inputs)
}

// ones adds a vector of ones.
func (m *matcher) ones(n *ir.Node, width int64) string {
	v := make([]float32, width)
	for i := range v {
		v[i] = 1
	}
	t := ir.NewFloat32(m.graph.FreshName(n.Name+"/ones"), []int64{width}, v)
	m.graph.AddInit(t)
	m.graph.Lifted[t.Name] = true
	return t.Name
}
