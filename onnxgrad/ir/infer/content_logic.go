package infer

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// equalContent decides what constants decide: Expand's "−1 means keep" dance
// compares a shape with −1.
func equalContent(c *call) []sym.Dim {
	a, b := pair(c)
	if a == nil {
		return nil
	}
	out := make([]sym.Dim, len(a))
	for i := range a {
		x, okx := a[i].Const()
		y, oky := b[i].Const()
		switch {
		case sym.Equal(a[i], b[i]):
			out[i] = sym.Const(1)
		case okx && oky, okx && x < 0 && extent(b[i]), oky && y < 0 && extent(a[i]):
			out[i] = sym.Const(0)
		default:
			return nil
		}
	}
	return out
}

// extent reports that d is made of dimensions in a way that can't be negative.
func extent(d sym.Dim) bool {
	for _, t := range d.Terms() {
		if t.Coef < 0 || slices.ContainsFunc(t.Symbols, mayBeNegative) {
			return false
		}
	}
	return true
}

// mayBeNegative: a dimension is never negative, nor is what integer division,
// minimum and the like make of numbers that are not.
func mayBeNegative(s *sym.Symbol) bool {
	return slices.ContainsFunc(s.Args, func(d sym.Dim) bool { return !extent(d) })
}

// logicContent computes with truth values that are known.
func logicContent(f func(a, b bool) bool) func(*call) []sym.Dim {
	return func(c *call) []sym.Dim {
		a, b := pair(c)
		x, okx := Info{Content: a}.Ints()
		y, oky := Info{Content: b}.Ints()
		if !okx || !oky {
			return nil
		}
		out := make([]int64, len(x))
		for i := range x {
			if f(x[i] != 0, y[i] != 0) {
				out[i] = 1
			}
		}
		return constants(out)
	}
}

func notContent(c *call) []sym.Dim {
	in, ok := c.in(0).Ints()
	if !ok {
		return nil
	}
	out := make([]int64, len(in))
	for i, n := range in {
		if n == 0 {
			out[i] = 1
		}
	}
	return constants(out)
}

// orderContent compares numbers whose difference is known, or is an extent plus
// something.
func orderContent(orEqual, flip bool) func(*call) []sym.Dim {
	return func(c *call) []sym.Dim {
		a, b := pair(c) // decides a < b, or a ≤ b
		if a == nil {
			return nil
		}
		if flip {
			a, b = b, a
		}
		out := make([]sym.Dim, len(a))
		for i := range a {
			gap := sym.Sub(b[i], a[i])
			n, known := gap.Const()
			switch {
			case known:
				out[i] = truth(n > 0 || orEqual && n == 0)
			case extent(sym.Sub(gap, sym.Const(1))), orEqual && extent(gap):
				out[i] = truth(true)
			case extent(sym.Mul(gap, sym.Const(-1))) && !orEqual, extent(sym.Sub(sym.Const(-1), gap)):
				out[i] = truth(false)
			default:
				return nil
			}
		}
		return out
	}
}

func truth(b bool) sym.Dim {
	if b {
		return sym.Const(1)
	}
	return sym.Const(0)
}

func whereContent(c *call) []sym.Dim {
	cond, ok := c.in(0).Ints()
	a, b := c.in(1).Content, c.in(2).Content
	if !ok || a == nil || b == nil {
		return nil
	}
	if !aligned(c.in(0), c.in(1)) || !aligned(c.in(0), c.in(2)) || !aligned(c.in(1), c.in(2)) {
		return nil
	}
	n := max(len(cond), len(a), len(b))
	at := func(s []sym.Dim, i int) sym.Dim { return s[min(i, len(s)-1)] }
	for _, l := range []int{len(cond), len(a), len(b)} {
		if l != n && l != 1 {
			return nil
		}
	}
	out := make([]sym.Dim, n)
	for i := range out {
		if cond[min(i, len(cond)-1)] != 0 {
			out[i] = at(a, i)
		} else {
			out[i] = at(b, i)
		}
	}
	return out
}
