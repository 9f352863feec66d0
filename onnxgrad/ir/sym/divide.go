package sym

import (
	"slices"
	"strings"
)

// DivExact returns a/b when b divides a as polynomials, by long division in the
// order of termLess. False means that no proof was found; b = 0 is never exact.
func DivExact(a, b Dim) (Dim, bool) {
	if len(b.terms) == 0 {
		return Dim{}, false
	}
	var quotient []term
	rest := a
	// Each round removes the leading term of rest; a polynomial has few.
	for range 64 {
		if len(rest.terms) == 0 {
			return normal(quotient)
		}
		q, ok := divTerm(rest.terms[0], b.terms[0])
		if !ok {
			return Dim{}, false
		}
		quotient = append(quotient, q)
		rest = Sub(rest, Mul(Dim{terms: []term{q}}, b))
	}
	return Dim{}, false
}

func divTerm(a, b term) (term, bool) {
	if a.coef%b.coef != 0 {
		return term{}, false
	}
	vars := slices.Clone(a.vars)
	for _, v := range b.vars {
		i := slices.IndexFunc(vars, func(w *Symbol) bool { return w.Name == v.Name })
		if i < 0 {
			return term{}, false
		}
		vars = slices.Delete(vars, i, i+1)
	}
	return term{coef: a.coef / b.coef, vars: vars}, true
}

// FloorDiv returns ⌊a/b⌋: exact when it can be proven exact, else opaque, without
// the symbols that all terms of both share: ⌊batch·x/(batch·y)⌋ = ⌊x/y⌋.
func FloorDiv(a, b Dim) Dim {
	if q, ok := DivExact(a, b); ok {
		return q
	}
	a, b = withoutCommon(a, b)
	x, okx := a.Const()
	y, oky := b.Const()
	if okx && oky && y != 0 {
		q := x / y
		if x%y != 0 && (x < 0) != (y < 0) {
			q--
		}
		return Const(q)
	}
	return opaque("floordiv", a, b)
}

// withoutCommon divides a and b by the symbols that occur in all their terms.
func withoutCommon(a, b Dim) (Dim, Dim) {
	if len(a.terms) == 0 || len(b.terms) == 0 {
		return a, b
	}
	for _, v := range a.terms[0].vars {
		factor := term{coef: 1, vars: []*Symbol{v}}
		x, okx := DivExact(a, Dim{terms: []term{factor}})
		y, oky := DivExact(b, Dim{terms: []term{factor}})
		if okx && oky {
			a, b = x, y
		}
	}
	return a, b
}

// Mod returns a mod b with the sign of b, as ONNX's Mod on integers.
func Mod(a, b Dim) Dim { return Sub(a, Mul(b, FloorDiv(a, b))) }

// Min returns the smaller of a and b; the operands of an unresolved minimum
// stay readable through Symbol.Args.
func Min(a, b Dim) Dim {
	if x, y, ok := bothConst(a, b); ok {
		return Const(min(x, y))
	}
	if Equal(a, b) {
		return a
	}
	ops := []Dim{a, b}
	slices.SortFunc(ops, func(p, q Dim) int { return strings.Compare(p.String(), q.String()) })
	return opaque("min", ops...)
}

// Max returns the larger of a and b.
func Max(a, b Dim) Dim {
	if x, y, ok := bothConst(a, b); ok {
		return Const(max(x, y))
	}
	if Equal(a, b) {
		return a
	}
	return opaque("max", a, b)
}

func bothConst(a, b Dim) (x, y int64, ok bool) {
	x, okx := a.Const()
	y, oky := b.Const()
	return x, y, okx && oky
}

// Eval returns the value of d where every symbol has one in env.
func (d Dim) Eval(env map[string]int64) (int64, bool) {
	var sum int64
	for _, t := range d.terms {
		p := t.coef
		for _, v := range t.vars {
			x, ok := v.eval(env)
			if !ok {
				return 0, false
			}
			if p, ok = mulInt(p, x); !ok {
				return 0, false
			}
		}
		var ok bool
		if sum, ok = addSigned(sum, p); !ok {
			return 0, false
		}
	}
	return sum, true
}

func addSigned(a, b int64) (int64, bool) {
	if b == 0 {
		return a, true
	}
	return addInt(a, b)
}

func (s *Symbol) eval(env map[string]int64) (int64, bool) {
	if x, ok := env[s.Name]; ok {
		return x, true
	}
	if len(s.Args) != 2 {
		return 0, false
	}
	a, oka := s.Args[0].Eval(env)
	b, okb := s.Args[1].Eval(env)
	if !oka || !okb {
		return 0, false
	}
	switch s.Op {
	case "min":
		return min(a, b), true
	case "max":
		return max(a, b), true
	case "floordiv":
		return FloorDiv(Const(a), Const(b)).Const()
	}
	return 0, false
}

// Broadcast returns the extent of an elementwise result whose operands have
// extents a and b, by ONNX's rule (equal, or one of them is 1). Where the
// operands can't be proven equal and neither is a constant the result is an
// opaque symbol: it may be either. ok is false only for two different
// constants, neither 1.
//
// A minimum of a and a constant of 2 or more counts as a: the graph only runs
// where they are equal.
func Broadcast(a, b Dim) (d Dim, ok bool) {
	switch {
	case Equal(a, b), b.Is(1):
		return a, true
	case a.Is(1):
		return b, true
	}
	_, ca := a.Const()
	_, cb := b.Const()
	switch {
	case ca && cb:
		return Dim{}, false
	case ca:
		return a, true
	case cb:
		return b, true
	case minOf(a, b):
		return b, true
	case minOf(b, a):
		return a, true
	}
	return opaque("broadcast", a, b), true
}

// SameOrFails reports that extents a and b of broadcast operands are equal
// wherever the graph runs at all.
func SameOrFails(a, b Dim) bool { return Equal(a, b) || minOf(a, b) || minOf(b, a) }

// minOf reports that m = min(c, d) for a constant c of 2 or more: then m = 1 only
// where d = 1. min(c, e) + k is min(c+k, e+k).
func minOf(m, d Dim) bool {
	s, k, ok := m.shifted()
	if !ok || s.Op != "min" {
		return false
	}
	for i, op := range s.Args {
		c, isConst := s.Args[1-i].Const()
		if isConst && c+k >= 2 && Equal(Add(op, Const(k)), d) {
			return true
		}
	}
	return false
}

// shifted reads d as a symbol plus a constant.
func (d Dim) shifted() (s *Symbol, k int64, ok bool) {
	for _, t := range d.terms {
		switch {
		case len(t.vars) == 0:
			k = t.coef
		case s == nil && len(t.vars) == 1 && t.coef == 1:
			s = t.vars[0]
		default:
			return nil, 0, false
		}
	}
	return s, k, s != nil
}

// operations rebuild an opaque symbol from new operands.
var operations = map[string]func(args []Dim) Dim{
	"add":      func(a []Dim) Dim { return Add(a[0], a[1]) },
	"mul":      func(a []Dim) Dim { return Mul(a[0], a[1]) },
	"floordiv": func(a []Dim) Dim { return FloorDiv(a[0], a[1]) },
	"min":      func(a []Dim) Dim { return Min(a[0], a[1]) },
	"max":      func(a []Dim) Dim { return Max(a[0], a[1]) },
}

// Replace returns d with the symbol of that name replaced by another dimension,
// inside the operands of opaque symbols too.
func (d Dim) Replace(name string, by Dim) Dim {
	if !d.Contains(name) {
		return d
	}
	sum := Dim{}
	for _, t := range d.terms {
		product := Const(t.coef)
		for _, s := range t.vars {
			product = Mul(product, s.replace(name, by))
		}
		sum = Add(sum, product)
	}
	return sum
}

func (s *Symbol) replace(name string, by Dim) Dim {
	if s.Name == name {
		return by
	}
	rebuild := operations[s.Op]
	if rebuild == nil {
		return ofSymbol(s)
	}
	args := make([]Dim, len(s.Args))
	for i, a := range s.Args {
		args[i] = a.Replace(name, by)
	}
	return rebuild(args)
}
