package canon

import (
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// A matcher finds what an exporter wrote in several operators and the runtime has
// as one. It believes nothing of names: a match holds for the numbers that the
// graph carries, and for values that nothing else reads.
type matcher struct {
	graph  *Graph
	ix     *ir.Index
	values *infer.Values
}

// producer returns the node that makes value if it is that operator.
func (m *matcher) producer(value, op string) *ir.Node {
	if n := m.ix.Producer[value]; n != nil && n.Is(op) {
		return n
	}
	return nil
}

// through follows a value back through operators that change nothing here:
// Identity, and casts from float32 to float32.
func (m *matcher) through(value string) (origin string, passed []*ir.Node) {
	for n := m.ix.Producer[value]; n != nil && m.passes(n); n = m.ix.Producer[value] {
		passed = append(passed, n)
		value = n.Input(0)
	}
	return value, passed
}

// number returns a constant of one element: one that the graph lifted from a
// Constant node, or of rank 0. Anything else may be a parameter that learns.
func (m *matcher) number(value string) (float64, bool) {
	t, ok := m.graph.Inits[value]
	if !ok || t.Len() != 1 || m.graph.Overridable[value] != nil || len(t.Dims) > 0 && !m.graph.Lifted[value] {
		return 0, false
	}
	if t.DType.IsInt() {
		v, err := t.Ints()
		if err != nil || len(v) != 1 {
			return 0, false
		}
		return float64(v[0]), true
	}
	v, err := t.Float32s()
	if err != nil || len(v) != 1 {
		return 0, false
	}
	return float64(v[0]), true
}

// passes reports an operator that hands its operand on.
func (m *matcher) passes(n *ir.Node) bool {
	switch {
	case n.Is("Identity"):
		return true
	case n.Is("Cast"):
		return ir.DType(n.Int("to", 0)) == ir.Float32 && m.values.Of(n.Input(0)).DType == ir.Float32
	}
	return false
}

// private reports that the results of the nodes are read by those nodes alone,
// but for the results of last, which stands for them all.
func (m *matcher) private(nodes []*ir.Node, last *ir.Node) bool {
	inside := map[*ir.Node]bool{}
	for _, n := range nodes {
		inside[n] = true
	}
	for _, n := range nodes {
		if n == last {
			continue
		}
		for _, o := range n.Outputs {
			outside := func(u ir.Use) bool { return u.Index < 0 || !inside[u.Node] }
			if o != "" && (m.graph.Output(o) != nil || slices.ContainsFunc(m.ix.Uses[o], outside)) {
				return false
			}
		}
	}
	return true
}

// near reports numbers that are equal up to the rounding of single precision:
// exporters write √(2/π) with as few as eight digits.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(math.Abs(a), math.Abs(b)) }

// A replacement puts one node in the place of several.
type replacement struct {
	drop []*ir.Node
	last *ir.Node // in whose place the node stands, and whose result it makes
	node *ir.Node
}

// replaced carries out replacements that share no node.
func (c *Graph) replaced(list []replacement) {
	for _, r := range list {
		if _, imported := c.Opset[r.node.Domain]; !imported {
			c.Opset[r.node.Domain] = 1
		}
	}
	gone, at := map[*ir.Node]bool{}, map[*ir.Node]*ir.Node{}
	for _, r := range list {
		if slices.ContainsFunc(r.drop, func(n *ir.Node) bool { return gone[n] }) {
			continue
		}
		for _, n := range r.drop {
			gone[n] = true
		}
		at[r.last] = r.node
	}
	out := make([]*ir.Node, 0, len(c.Nodes))
	for _, n := range c.Nodes {
		switch {
		case at[n] != nil:
			out = append(out, at[n])
		case !gone[n]:
			out = append(out, n)
		}
	}
	c.Nodes = out
}
