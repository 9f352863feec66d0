// Package sym holds symbolic tensor dimensions: polynomials with integer
// coefficients over named symbols such as "batch" and "sequence".
//
// Exporters compute shapes inside the graph (Shape, Gather, Mul, Concat,
// Reshape). Carrying those computations as polynomials lets the rewriter decide
// at compile time that a reshape keeps one record's numbers together, or that
// two operands have equal extents, for every batch size and length at once.
// What a polynomial can't express (a quotient that is not exact, a minimum)
// becomes an opaque symbol named after its operands, so that the same
// computation done twice still compares equal.
package sym

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// A Dim is an immutable polynomial. The zero Dim is the constant 0.
type Dim struct {
	terms []term // sorted by key, no zero coefficients
}

// A term is coef · Π vars, the variables sorted by name and repeated for powers.
type term struct {
	coef int64
	vars []*Symbol
}

// A Symbol is a named unknown. Two symbols are the same when their names are.
// One that stands for an operation no polynomial can express (a quotient that
// is not exact, a minimum, …) carries the operation and its operands.
type Symbol struct {
	Name string
	Op   string
	Args []Dim
}

// Const returns the constant n.
func Const(n int64) Dim {
	if n == 0 {
		return Dim{}
	}
	return Dim{terms: []term{{coef: n}}}
}

// Var returns the symbol of that name.
func Var(name string) Dim { return ofSymbol(&Symbol{Name: name}) }

func ofSymbol(s *Symbol) Dim {
	return Dim{terms: []term{{coef: 1, vars: []*Symbol{s}}}}
}

func (t term) key() string {
	names := make([]string, len(t.vars))
	for i, v := range t.vars {
		names[i] = v.Name
	}
	return strings.Join(names, "*")
}

// normal sorts and merges terms. It reports false on int64 overflow.
func normal(terms []term) (Dim, bool) {
	byKey := make(map[string]int, len(terms))
	var out []term
	for _, t := range terms {
		k := t.key()
		if i, ok := byKey[k]; ok {
			sum, ok := addInt(out[i].coef, t.coef)
			if !ok {
				return Dim{}, false
			}
			out[i].coef = sum
			continue
		}
		byKey[k] = len(out)
		out = append(out, t)
	}
	out = slices.DeleteFunc(out, func(t term) bool { return t.coef == 0 })
	sort.Slice(out, func(i, j int) bool { return termLess(out[i], out[j]) })
	return Dim{terms: out}, true
}

// termLess orders by degree (highest first), then by name: a monomial order,
// so that the first term can lead a division.
func termLess(a, b term) bool {
	if len(a.vars) != len(b.vars) {
		return len(a.vars) > len(b.vars)
	}
	return a.key() < b.key()
}

func addInt(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

func mulInt(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	if a == math.MinInt64 || b == math.MinInt64 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(abs(a)), uint64(abs(b)))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	return a * b, true
}

func abs(a int64) int64 {
	if a < 0 {
		return -a
	}
	return a
}

// opaque is a symbol for an expression that no polynomial holds.
func opaque(op string, args ...Dim) Dim {
	parts := make([]string, len(args))
	for i, a := range args {
		parts[i] = a.String()
	}
	return ofSymbol(&Symbol{Name: op + "(" + strings.Join(parts, ",") + ")", Op: op, Args: args})
}

// Add returns a+b.
func Add(a, b Dim) Dim {
	d, ok := normal(append(slices.Clone(a.terms), b.terms...))
	if !ok {
		return opaque("add", a, b)
	}
	return d
}

// Sub returns a−b.
func Sub(a, b Dim) Dim { return Add(a, Mul(b, Const(-1))) }

// Mul returns a·b.
func Mul(a, b Dim) Dim {
	terms := make([]term, 0, len(a.terms)*len(b.terms))
	for _, s := range a.terms {
		for _, t := range b.terms {
			c, ok := mulInt(s.coef, t.coef)
			if !ok {
				return opaque("mul", a, b)
			}
			vars := append(slices.Clone(s.vars), t.vars...)
			sort.Slice(vars, func(i, j int) bool { return vars[i].Name < vars[j].Name })
			terms = append(terms, term{coef: c, vars: vars})
		}
	}
	d, ok := normal(terms)
	if !ok {
		return opaque("mul", a, b)
	}
	return d
}

// Product returns the product of ds, 1 for none.
func Product(ds ...Dim) Dim {
	p := Const(1)
	for _, d := range ds {
		p = Mul(p, d)
	}
	return p
}

// Const reports the value of a constant.
func (d Dim) Const() (int64, bool) {
	switch {
	case len(d.terms) == 0:
		return 0, true
	case len(d.terms) == 1 && len(d.terms[0].vars) == 0:
		return d.terms[0].coef, true
	}
	return 0, false
}

// Is reports whether d is the constant n.
func (d Dim) Is(n int64) bool {
	c, ok := d.Const()
	return ok && c == n
}

// Equal reports whether a and b are the same polynomial: equal for every value
// of the symbols. False means not proven equal.
func Equal(a, b Dim) bool {
	if len(a.terms) != len(b.terms) {
		return false
	}
	for i := range a.terms {
		if a.terms[i].coef != b.terms[i].coef || a.terms[i].key() != b.terms[i].key() {
			return false
		}
	}
	return true
}

// EqualShape reports whether two shapes are equal dimension by dimension.
func EqualShape(a, b []Dim) bool { return slices.EqualFunc(a, b, Equal) }

// Contains reports whether the symbol occurs in d, inside an opaque symbol's
// operands included.
func (d Dim) Contains(symbol string) bool {
	return d.Any(func(name string) bool { return name == symbol })
}

// Any reports whether match holds for a symbol of d, the operands of opaque
// symbols included.
func (d Dim) Any(match func(name string) bool) bool {
	for _, t := range d.terms {
		for _, v := range t.vars {
			if match(v.Name) || slices.ContainsFunc(v.Args, func(a Dim) bool { return a.Any(match) }) {
				return true
			}
		}
	}
	return false
}

// Symbol reports the symbol when d is exactly one.
func (d Dim) Symbol() (*Symbol, bool) {
	if len(d.terms) == 1 && d.terms[0].coef == 1 && len(d.terms[0].vars) == 1 {
		return d.terms[0].vars[0], true
	}
	return nil, false
}

// String writes d as ONNX dim_param text, such as "2*batch*sequence+1".
func (d Dim) String() string {
	if len(d.terms) == 0 {
		return "0"
	}
	var b strings.Builder
	for i, t := range d.terms {
		if t.coef >= 0 && i > 0 {
			b.WriteByte('+')
		}
		switch {
		case len(t.vars) == 0:
			b.WriteString(strconv.FormatInt(t.coef, 10))
		case t.coef == 1:
			b.WriteString(t.key())
		case t.coef == -1:
			b.WriteString("-" + t.key())
		default:
			fmt.Fprintf(&b, "%d*%s", t.coef, t.key())
		}
	}
	return b.String()
}

// A Monomial is one term of a Dim: Coef times the product of Symbols.
type Monomial struct {
	Coef    int64
	Symbols []*Symbol
}

// Terms returns the monomials of d, none for 0.
func (d Dim) Terms() []Monomial {
	out := make([]Monomial, len(d.terms))
	for i, t := range d.terms {
		out[i] = Monomial{t.coef, t.vars}
	}
	return out
}
