package canon

import (
	"maps"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// fuseActivations turns activation functions that are written out into the one
// operator that the runtime has of each, whose gradient costs fewer passes over
// the widest activations of a model than that of the pieces:
//
//	½x(1 + erf(x/√2))                        com.microsoft.Gelu
//	½x(1 + tanh(√(2/π)(x + 0.044715x³)))     com.microsoft.FastGelu
//	x·σ(2√(2/π)(x + 0.044715x³))             the same: ½(1 + tanh u) = σ(2u)
//	x·σ(αx)                                  com.microsoft.QuickGelu; SiLU is α = 1
//
// Exporters write the same polynomial in many ways (x³ as Pow or as products, ½ at
// the front or at the end, division by √2 or multiplication with its inverse), so
// the argument and the result are multiplied out and compared by coefficients.
func fuseActivations(c *Graph) error {
	isFor := func(n *ir.Node) bool { return n.Domain == "" && gates[n.Op] != nil }
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
		if !isFor(n) {
			continue
		}
		if r, ok := m.activation(n); ok {
			found = append(found, r)
		}
	}
	c.replaced(found)
	return nil
}

// A gate is the non-linear part t of an activation y = result(x, t), t = Op(u(x)).
type gate struct {
	op     string // of com.microsoft
	result polynomial
	// argument checks u, given by its coefficients of x and x³ alone, and returns
	// the fused node's attributes.
	argument func(linear, cubic float64) (ir.Attrs, bool)
}

// gates by the operator that makes t.
var gates = map[string][]gate{
	"Erf": {{"Gelu", halves, func(linear, cubic float64) (ir.Attrs, bool) {
		return ir.Attrs{}, cubic == 0 && near(linear, math.Sqrt2/2)
	}}},
	"Tanh": {{"FastGelu", halves, func(linear, cubic float64) (ir.Attrs, bool) {
		return ir.Attrs{}, near(linear, tanhSlope) && near(cubic, tanhSlope*tanhCube)
	}}},
	"Sigmoid": {{"FastGelu", gated, func(linear, cubic float64) (ir.Attrs, bool) {
		return ir.Attrs{}, near(linear, 2*tanhSlope) && near(cubic, 2*tanhSlope*tanhCube)
	}}, {"QuickGelu", gated, func(linear, cubic float64) (ir.Attrs, bool) {
		return ir.Attrs{"alpha": float32(linear)}, cubic == 0 && linear != 0
	}}},
}

// The constants of GELU's tanh form (Hendrycks and Gimpel 2016), √(2/π) and the
// coefficient of the cube.
const (
	tanhSlope = 0.7978845608028654
	tanhCube  = 0.044715
)

var (
	halves = polynomial{{1, 0}: 0.5, {1, 1}: 0.5} // ½x + ½xt
	gated  = polynomial{{1, 1}: 1}                // xt
)

// activation matches the activation function whose gate is the node n.
func (m *matcher) activation(n *ir.Node) (replacement, bool) {
	for _, x := range m.bases(n.Input(0)) {
		rank := m.values.Of(x).Rank()
		e := m.expand(rank, map[string]polynomial{x: {{1, 0}: 1}})
		u, ok := e.of(n.Input(0))
		linear, cubic := u[monomial{x: 1}], u[monomial{x: 3}]
		if !ok || !u.is(odd(linear, cubic)) {
			continue
		}
		for _, g := range gates[n.Op] {
			attrs, fits := g.argument(linear, cubic)
			if !fits {
				continue
			}
			if r, found := m.result(n, x, g, e.used); found {
				r.node.Attrs = attrs
				return r, true
			}
		}
	}
	return replacement{}, false
}

// odd is the polynomial of those terms.
func odd(linear, cubic float64) polynomial {
	p := polynomial{{1, 0}: linear}
	if cubic != 0 {
		p[monomial{x: 3}] = cubic
	}
	return p
}

// bases lists the values that u may be a polynomial of: those it is made of.
func (m *matcher) bases(u string) []string {
	var out []string
	next := []string{u}
	for len(next) > 0 && len(out) < maxNodes {
		v := next[0]
		next = next[1:]
		if _, isNumber := m.number(v); v == "" || isNumber || slices.Contains(out, v) {
			continue
		}
		if info := m.values.Of(v); info.Ranked && info.DType == ir.Float32 {
			out = append(out, v)
		}
		if n := m.ix.Producer[v]; n != nil && n.Domain == "" && (polynomialOps[n.Op] || m.passes(n)) {
			next = append(next, n.Inputs...)
		}
	}
	return out
}

var polynomialOps = map[string]bool{"Add": true, "Sub": true, "Mul": true, "Div": true, "Pow": true, "Neg": true}

// result walks from the gate's value t towards the value that is the activation's
// result, and matches it if nothing else reads what lies between.
func (m *matcher) result(n *ir.Node, x string, g gate, below map[*ir.Node]bool) (replacement, bool) {
	t := n.Output(0)
	seen := map[string]bool{}
	next := []string{t}
	for len(next) > 0 && len(seen) < maxNodes {
		v := next[0]
		next = next[1:]
		for _, u := range m.ix.Uses[v] {
			if u.Index < 0 || u.Node.Domain != "" || !polynomialOps[u.Node.Op] && !m.passes(u.Node) || seen[u.Node.Output(0)] {
				continue
			}
			y := u.Node.Output(0)
			seen[y] = true
			e := m.expand(m.values.Of(x).Rank(), map[string]polynomial{x: {{1, 0}: 1}, t: {{0, 1}: 1}})
			p, ok := e.of(y)
			if !ok {
				continue
			}
			if p.is(g.result) {
				if r, private := m.fused(n, x, g, u.Node, below, e.used); private {
					return r, true
				}
			}
			next = append(next, y)
		}
	}
	return replacement{}, false
}

// fused makes the replacement of the nodes between x and the result of last.
func (m *matcher) fused(n *ir.Node, x string, g gate, last *ir.Node, sets ...map[*ir.Node]bool) (replacement, bool) {
	all := map[*ir.Node]bool{n: true}
	for _, s := range sets {
		maps.Copy(all, s)
	}
	drop := slices.Collect(maps.Keys(all))
	fused := &ir.Node{
		Name: last.Name, Op: g.op, Domain: "com.microsoft", Inputs: []string{x}, Outputs: slices.Clone(last.Outputs), Attrs: ir.Attrs{}, Scope: last.Scope,
	}
	return replacement{drop: drop, last: last, node: fused}, m.private(drop, last)
}
