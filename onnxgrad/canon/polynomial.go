package canon

import (
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A monomial is xⁱtʲ.
type monomial struct{ x, t int }

// A polynomial in x and t, by monomial.
type polynomial map[monomial]float64

// maxDegree bounds the powers of x that are multiplied out.
const maxDegree = 3

func (p polynomial) plus(q polynomial, sign float64) polynomial {
	out := polynomial{}
	for m, c := range p {
		out[m] += c
	}
	for m, c := range q {
		out[m] += sign * c
	}
	return out
}

// times is the product; ok is false beyond maxDegree in x or 1 in t.
func (p polynomial) times(q polynomial) (out polynomial, ok bool) {
	out = polynomial{}
	for a, ca := range p {
		for b, cb := range q {
			m := monomial{a.x + b.x, a.t + b.t}
			if m.x > maxDegree || m.t > 1 {
				return nil, false
			}
			out[m] += ca * cb
		}
	}
	return out, true
}

// constant returns the polynomial's value if it has no x and no t.
func (p polynomial) constant() (float64, bool) {
	for m, c := range p {
		if m != (monomial{}) && c != 0 {
			return 0, false
		}
	}
	return p[monomial{}], true
}

// is compares coefficients up to rounding.
func (p polynomial) is(q polynomial) bool {
	scale := 0.0
	for _, c := range q {
		scale = math.Max(scale, math.Abs(c))
	}
	for m, c := range p {
		if w, there := q[m]; there && !near(c, w) || !there && math.Abs(c) > 1e-9*scale {
			return false
		}
	}
	for m := range q {
		if _, there := p[m]; !there {
			return false
		}
	}
	return true
}

// An expansion multiplies out what a value is as a polynomial of given leaves.
type expansion struct {
	*matcher
	leaves map[string]polynomial
	rank   int               // of the leaves
	used   map[*ir.Node]bool // nodes that were multiplied out
	memo   map[string]polynomial
}

func (m *matcher) expand(rank int, leaves map[string]polynomial) *expansion {
	return &expansion{matcher: m, leaves: leaves, rank: rank, used: map[*ir.Node]bool{}, memo: map[string]polynomial{}}
}

// maxNodes bounds the operators of one activation function.
const maxNodes = 24

// of returns value as a polynomial; ok is false if it is none, or depends on
// something other than the leaves and constants of one element.
func (e *expansion) of(value string) (p polynomial, ok bool) {
	if p, ok = e.leaves[value]; ok {
		return p, true
	}
	if p, ok = e.memo[value]; ok {
		return p, p != nil
	}
	if c, isNumber := e.number(value); isNumber {
		if len(e.graph.Inits[value].Dims) > e.rank {
			return nil, false // it would add axes
		}
		return polynomial{{}: c}, true
	}
	e.memo[value] = nil
	n := e.ix.Producer[value]
	if n == nil || n.Domain != "" || len(n.Outputs) != 1 || len(e.used) >= maxNodes {
		return nil, false
	}
	if p, ok = e.node(n); ok {
		e.used[n] = true
		e.memo[value] = p
	}
	return p, ok
}

func (e *expansion) node(n *ir.Node) (polynomial, bool) {
	if e.passes(n) {
		return e.of(n.Input(0))
	}
	switch n.Op {
	case "Neg":
		p, ok := e.of(n.Input(0))
		return polynomial{}.plus(p, -1), ok
	case "Add", "Sub", "Mul", "Div", "Pow":
	default:
		return nil, false
	}
	a, ok := e.of(n.Input(0))
	if !ok {
		return nil, false
	}
	b, ok := e.of(n.Input(1))
	if !ok {
		return nil, false
	}
	switch n.Op {
	case "Add":
		return a.plus(b, 1), true
	case "Sub":
		return a.plus(b, -1), true
	case "Mul":
		return a.times(b)
	}
	c, isConstant := b.constant()
	if !isConstant {
		return nil, false
	}
	if n.Op == "Div" {
		if c == 0 {
			return nil, false
		}
		return a.times(polynomial{{}: 1 / c})
	}
	return power(a, c)
}

// power is pⁿ for n = 1, 2, 3.
func power(p polynomial, n float64) (out polynomial, ok bool) {
	if n != 1 && n != 2 && n != 3 {
		return nil, false
	}
	out, ok = p, true
	for range int(n) - 1 {
		if out, ok = out.times(p); !ok {
			return nil, false
		}
	}
	return out, true
}
