package canon

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// fuseNormalizations turns normalisations over the last axis that are written out
// into one operator, which gives the gradient their statistics:
//
//	(x − μ)/√(mean (x − μ)² + ε) · γ + β    LayerNormalization
//	x/√(mean x² + ε) · γ                    SimplifiedLayerNormalization (RMS)
//
// Exporters square with Pow or Mul, divide by the root or multiply with its
// inverse, and subtract the mean once or twice; TensorFlow writes x·s + (β − μ·s),
// s = γ/√(…). γ and β are vectors of the model's own; without γ it is 1.
func fuseNormalizations(c *Graph) error {
	isFor := func(n *ir.Node) bool { return n.Is("ReduceMean") }
	if !slices.ContainsFunc(c.Nodes, isFor) {
		return nil
	}
	values, err := c.values()
	if err != nil {
		return err
	}
	m := &matcher{graph: c, ix: c.Index(), values: values}
	var found []replacement
	for _, n := range c.Nodes {
		if isFor(n) {
			if r, ok := m.normalization(n); ok {
				found = append(found, r)
			}
		}
	}
	c.replaced(found)
	return nil
}

// A normalised is x̂ = z·r with what it was matched from.
type normalised struct {
	x       string // what is normalised
	centred bool
	// reversed: what is squared is μ − x, so that x̂ must be made of another z.
	reversed bool
	epsilon  float64
	last     *ir.Node // makes x̂, later x̂·γ and x̂·γ + β
	nodes    []*ir.Node
}

// normalization matches the normalisation whose mean of squares is the node v.
func (m *matcher) normalization(v *ir.Node) (replacement, bool) {
	if !m.meanOfLast(v) {
		return replacement{}, false
	}
	z, square, ok := m.squared(v.Input(0))
	if !ok {
		return replacement{}, false
	}
	p := &normalised{x: z, nodes: append(square, v)}
	x, nodes, centred := m.centred(z)
	if !centred { // TensorFlow squares μ − x
		x, nodes, centred = m.difference(z, 0)
		p.reversed = centred
	}
	if centred {
		p.x, p.centred, p.nodes = x, true, append(p.nodes, nodes...)
	}
	s, inverted, ok := m.root(p, v.Output(0))
	if !ok {
		return replacement{}, false
	}
	if m.quotient(p, s, z, inverted) {
		return m.normalizationNode(p)
	}
	if centred && inverted {
		return m.shiftedProduct(p, s)
	}
	return replacement{}, false
}

// meanOfLast reports a mean over the last axis that keeps it.
func (m *matcher) meanOfLast(n *ir.Node) bool {
	info := m.values.Of(n.Input(0))
	if !n.Is("ReduceMean") || !info.Ranked || info.DType != ir.Float32 || n.Int("keepdims", 1) != 1 || n.Input(1) == "" {
		return false
	}
	axes, ok := m.values.Of(n.Input(1)).Ints()
	return ok && len(axes) == 1 && (axes[0] == -1 || axes[0] == int64(info.Rank())-1)
}

// squared matches z² as Pow or as a product.
func (m *matcher) squared(value string) (z string, nodes []*ir.Node, ok bool) {
	value, nodes = m.through(value)
	if n := m.producer(value, "Pow"); n != nil {
		e, isNumber := m.number(n.Input(1))
		return n.Input(0), append(nodes, n), isNumber && e == 2 && len(m.graph.Inits[n.Input(1)].Dims) <= m.values.Of(n.Input(0)).Rank()
	}
	n := m.producer(value, "Mul")
	if n == nil || n.Input(0) != n.Input(1) {
		return "", nil, false
	}
	return n.Input(0), append(nodes, n), true
}

// centred matches z = x − mean x.
func (m *matcher) centred(z string) (x string, nodes []*ir.Node, ok bool) { return m.difference(z, 1) }

// difference matches the difference z of x and its mean, which is operand i.
func (m *matcher) difference(z string, i int) (x string, nodes []*ir.Node, ok bool) {
	z, nodes = m.through(z)
	n := m.producer(z, "Sub")
	if n == nil {
		return "", nil, false
	}
	at, passed := m.through(n.Input(i))
	mean := m.producer(at, "ReduceMean")
	if mean == nil || !m.meanOfLast(mean) || mean.Input(0) != n.Input(1-i) {
		return "", nil, false
	}
	return n.Input(1 - i), append(append(nodes, n, mean), passed...), true
}

// root follows the mean of squares v to s = √(v + ε), or its inverse.
func (m *matcher) root(p *normalised, v string) (s string, inverted, ok bool) {
	add, ok := m.onlyReader(p, v, "Add")
	if !ok {
		return "", false, false
	}
	if p.epsilon, ok = m.addend(add, v); !ok || p.epsilon < 0 {
		return "", false, false
	}
	s = add.Output(0)
	if n, isPow := m.onlyReader(p, s, "Pow"); isPow { // (v + ε)^−½, or ^½
		e, isNumber := m.number(n.Input(1))
		s, inverted = n.Output(0), e < 0
		ok = isNumber && (e == 0.5 || e == -0.5) && n.Input(0) != n.Input(1)
	} else if n, isRoot := m.onlyReader(p, s, "Sqrt"); isRoot {
		s = n.Output(0)
	} else {
		ok = false
	}
	if !ok || inverted {
		return s, inverted, ok
	}
	if n, isInverse := m.onlyReader(p, s, "Reciprocal"); isInverse {
		return n.Output(0), true, true
	}
	before := len(p.nodes)
	if n, isInverse := m.onlyReader(p, s, "Div"); isInverse {
		if one, isNumber := m.number(n.Input(0)); isNumber && one == 1 {
			return n.Output(0), true, true
		}
	}
	p.nodes = p.nodes[:before]
	return s, false, true
}

// onlyReader returns the operator that alone reads a value, behind what hands it
// on, and adds what it passed to the match.
func (m *matcher) onlyReader(p *normalised, value, op string) (*ir.Node, bool) {
	var passed []*ir.Node
	for {
		uses := m.ix.Uses[value]
		if len(uses) != 1 || uses[0].Index < 0 || m.graph.Output(value) != nil {
			return nil, false
		}
		n := uses[0].Node
		passed = append(passed, n)
		if n.Is(op) {
			p.nodes = append(p.nodes, passed...)
			return n, true
		}
		if !m.passes(n) {
			return nil, false
		}
		value = n.Output(0)
	}
}

// addend returns the number that n adds to a value.
func (m *matcher) addend(n *ir.Node, to string) (float64, bool) {
	for i := range 2 {
		if from, _ := m.through(n.Input(i)); from == to {
			c, ok := m.number(n.Input(1 - i))
			return c, ok && len(m.graph.Inits[n.Input(1-i)].Dims) <= m.values.Of(to).Rank()
		}
	}
	return 0, false
}

// quotient matches x̂ = z/s, or z·s with the inverse.
func (m *matcher) quotient(p *normalised, s, z string, inverted bool) bool {
	op := "Div"
	if inverted {
		op = "Mul"
	}
	before := len(p.nodes)
	n, ok := m.onlyReader(p, s, op)
	if !ok {
		return false
	}
	for i := range 2 {
		if op == "Div" && i == 1 {
			break
		}
		if other, _ := m.through(n.Input(1 - i)); other != s {
			continue
		}
		if nodes, same := m.numerator(p, n.Input(i), z); same {
			p.last, p.nodes = n, append(p.nodes, nodes...)
			return true
		}
	}
	p.nodes = p.nodes[:before]
	return false
}

// width is the last extent of a value, where it is known.
func (m *matcher) width(value string) (int64, bool) {
	info := m.values.Of(value)
	if !info.Ranked || info.Rank() == 0 {
		return 0, false
	}
	w, known := info.Shape[info.Rank()-1].Const()
	return w, known && w > 0
}

// node is the operator in the place of p.last.
func (p *normalised) node(op string, inputs ...string) *ir.Node {
	return &ir.Node{
		Name: p.last.Name, Op: op, Inputs: inputs, Outputs: slices.Clone(p.last.Outputs), Scope: p.last.Scope,
		Attrs: ir.Attrs{"axis": int64(-1), "epsilon": float32(p.epsilon)},
	}
}

// numerator reports that a is what was squared, or x − mean x computed again.
func (m *matcher) numerator(p *normalised, a, z string) ([]*ir.Node, bool) {
	if a == z {
		return nil, !p.reversed
	}
	origin, passed := m.through(a)
	if target, _ := m.through(z); origin == target {
		return passed, !p.reversed
	}
	x, nodes, ok := m.centred(origin)
	return append(passed, nodes...), ok && p.centred && x == p.x
}

// normalizationNode makes the replacement, with γ and β where they follow.
func (m *matcher) normalizationNode(p *normalised) (replacement, bool) {
	width, known := m.width(p.x)
	if !known {
		return replacement{}, false
	}
	p.nodes = unique(p.nodes)
	if !m.private(p.nodes, p.last) {
		return replacement{}, false
	}
	inputs := []string{p.x, m.vectorBehind(p, "Mul", width)}
	op := "SimplifiedLayerNormalization"
	if p.centred {
		op = "LayerNormalization"
		if inputs[1] != "" {
			if shift := m.vectorBehind(p, "Add", width); shift != "" {
				inputs = append(inputs, shift)
			}
		}
	}
	if inputs[1] == "" {
		inputs[1] = m.ones(p.last, width)
	}
	return replacement{drop: unique(p.nodes), last: p.last, node: p.node(op, inputs...)}, true
}

// vectorBehind extends the match by x̂·γ or x̂·γ + β where that is all that reads
// it: γ and β are vectors of the model of that width.
func (m *matcher) vectorBehind(p *normalised, op string, width int64) string {
	before := len(p.nodes)
	value := p.last.Output(0)
	n, ok := m.onlyReader(p, value, op)
	if !ok {
		return ""
	}
	for i := range 2 {
		if from, _ := m.through(n.Input(i)); from == value && m.isVector(n.Input(1-i), width) {
			p.last = n
			return n.Input(1 - i)
		}
	}
	p.nodes = p.nodes[:before]
	return ""
}

func unique(nodes []*ir.Node) []*ir.Node {
	var out []*ir.Node
	for _, n := range nodes {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
