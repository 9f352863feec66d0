package infer

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// contentRules compute the elements of short integer tensors: the arithmetic
// that exporters do on shapes. A rule returns nil where it can't say.
var contentRules = map[string]func(*call) []sym.Dim{
	"Shape": func(c *call) []sym.Dim { return ranked(c.in(0), func(x Info) []sym.Dim { return shapeSlice(c, x) }) },
	"Size": func(c *call) []sym.Dim {
		return ranked(c.in(0), func(x Info) []sym.Dim { return []sym.Dim{sym.Product(x.Shape...)} })
	},
	"Identity": firstContent, "Squeeze": firstContent, "Unsqueeze": firstContent, "Reshape": firstContent, "Flatten": firstContent,
	"Cast": castContent, "Floor": firstContent, "Ceil": firstContent, "Round": firstContent,
	"Neg": func(c *call) []sym.Dim {
		return each(c.in(0).Content, func(d sym.Dim) sym.Dim { return sym.Mul(d, sym.Const(-1)) })
	},
	"Add": binary(sym.Add), "Sub": binary(sym.Sub), "Mul": binary(sym.Mul), "Min": binary(sym.Min), "Max": binary(sym.Max),
	"Mod": modContent, "Div": divContent,
	"Transpose": transposeContent,
	"Gather":    gatherContent, "Slice": sliceContent, "Concat": concatContent, "Expand": expandContent,
	"ConstantOfShape": fillContent, "ReduceProd": reduceContent(sym.Const(1), sym.Mul), "ReduceSum": reduceContent(sym.Const(0), sym.Add),
	"ReduceMax": extremeContent(sym.Max), "ReduceMin": extremeContent(sym.Min),
	"Equal": equalContent, "Not": notContent,
	"Less": orderContent(false, false), "LessOrEqual": orderContent(true, false),
	"Greater": orderContent(false, true), "GreaterOrEqual": orderContent(true, true),
	"And": logicContent(func(a, b bool) bool { return a && b }), "Or": logicContent(func(a, b bool) bool { return a || b }),
	"Xor":   logicContent(func(a, b bool) bool { return a != b }),
	"Where": whereContent, "Range": rangeContent,
}

func ranked(x Info, f func(Info) []sym.Dim) []sym.Dim {
	if !x.Ranked {
		return nil
	}
	return nonNil(f(x))
}

func nonNil(d []sym.Dim) []sym.Dim {
	if d == nil {
		return []sym.Dim{}
	}
	return d
}

func firstContent(c *call) []sym.Dim { return c.in(0).Content }

// castContent keeps elements through integer and floating types: shapes taken
// through float and back. A cast to bool maps constants to 0 and 1.
func castContent(c *call) []sym.Dim {
	in := c.in(0).Content
	if ir.DType(c.node.Int("to", 1)) != ir.Bool {
		return in
	}
	ints, ok := c.in(0).Ints()
	if !ok {
		return nil
	}
	for i, n := range ints {
		if n != 0 {
			ints[i] = 1
		}
	}
	return constants(ints)
}

func each(in []sym.Dim, f func(sym.Dim) sym.Dim) []sym.Dim {
	if in == nil {
		return nil
	}
	out := make([]sym.Dim, len(in))
	for i, d := range in {
		out[i] = f(d)
	}
	return out
}

// pair aligns two contents of equal length, or one of length 1.
func pair(c *call) (a, b []sym.Dim) {
	a, b = c.in(0).Content, c.in(1).Content
	if a == nil || b == nil || len(c.node.Inputs) != 2 || !aligned(c.in(0), c.in(1)) {
		return nil, nil
	}
	if len(a) == 1 && len(b) > 1 {
		a = slices.Repeat(a, len(b))
	}
	if len(b) == 1 && len(a) > 1 {
		b = slices.Repeat(b, len(a))
	}
	if len(a) != len(b) {
		return nil, nil
	}
	return a, b
}

// aligned reports that equal places of two contents meet: vectors and scalars, or
// tensors of one shape.
func aligned(a, b Info) bool {
	if a.Rank() <= 1 && b.Rank() <= 1 || len(a.Content) == 1 || len(b.Content) == 1 {
		return true
	}
	return slices.EqualFunc(a.Shape, b.Shape, sym.Equal)
}

func binary(f func(a, b sym.Dim) sym.Dim) func(*call) []sym.Dim {
	return func(c *call) []sym.Dim {
		a, b := pair(c)
		if a == nil {
			return nil
		}
		out := make([]sym.Dim, len(a))
		for i := range a {
			out[i] = f(a[i], b[i])
		}
		return out
	}
}

// divContent: integer division truncates; a floating quotient is content only
// when it is exact. What is certainly not positive is divided by its opposite; a
// difference of extents (a convolution's positions) is taken not to be negative.
func divContent(c *call) []sym.Dim {
	a, b := pair(c)
	if a == nil {
		return nil
	}
	out := make([]sym.Dim, len(a))
	for i := range a {
		q, ok := sym.DivExact(a[i], b[i])
		if !ok {
			minus := sym.Mul(a[i], sym.Const(-1))
			if !c.in(0).DType.IsInt() || b[i].Is(0) || !extent(b[i]) {
				return nil
			}
			if q = sym.FloorDiv(a[i], b[i]); extent(minus) {
				q = sym.Mul(sym.FloorDiv(minus, b[i]), sym.Const(-1))
			}
		}
		out[i] = q
	}
	return out
}

// modContent has the sign of the divisor, which is positive here; with fmod the
// sign is the dividend's.
func modContent(c *call) []sym.Dim {
	_, b := pair(c)
	if c.node.Int("fmod", 0) != 0 || slices.ContainsFunc(b, func(d sym.Dim) bool { return d.Is(0) || !extent(d) }) {
		return nil
	}
	return binary(sym.Mod)(c)
}

func gatherContent(c *call) []sym.Dim {
	data := c.in(0).Content
	idx, ok := c.in(1).Ints()
	if data == nil || !ok || c.in(0).Rank() != 1 {
		return nil
	}
	out := make([]sym.Dim, len(idx))
	for i, k := range idx {
		if k < 0 {
			k += int64(len(data))
		}
		if k < 0 || k >= int64(len(data)) {
			return nil
		}
		out[i] = data[k]
	}
	return out
}

func sliceContent(c *call) []sym.Dim {
	x := c.in(0)
	dims, known := x.extents()
	spec, ok := c.sliceSpec(len(dims))
	if len(x.Content) == 0 || !known || !ok {
		return nil
	}
	taken := make([][]int, len(dims)) // by axis
	for k, n := range dims {
		taken[k] = count(n)
	}
	for _, s := range spec {
		a, oka := s.start.Const()
		b, okb := s.end.Const()
		if !oka || !okb || s.step == 0 || s.axis < 0 || s.axis >= len(dims) {
			return nil
		}
		start, end := sliceBounds(int64(dims[s.axis]), a, b, s.step)
		taken[s.axis] = nil
		for i := start; s.step > 0 && i < end || s.step < 0 && i > end; i += s.step {
			taken[s.axis] = append(taken[s.axis], int(i))
		}
	}
	return pick(x.Content, dims, taken)
}

// count is 0, 1, …, n−1.
func count(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// pick takes the elements at the given places of every axis, row-major.
func pick(data []sym.Dim, dims []int, taken [][]int) []sym.Dim {
	at := []int{0}
	for k, n := range dims {
		var next []int
		for _, base := range at {
			for _, i := range taken[k] {
				next = append(next, base*n+i)
			}
		}
		at = next
	}
	out := make([]sym.Dim, len(at))
	for i, k := range at {
		out[i] = data[k]
	}
	return out
}

// transposeContent: TorchScript writes the pads of F.pad as a reversed, transposed
// table of pairs.
func transposeContent(c *call) []sym.Dim {
	x := c.in(0)
	dims, known := x.extents()
	perm, given := c.node.Ints("perm")
	if x.Content == nil || !known || given && len(perm) != len(dims) {
		return nil
	}
	strides, sizes := make([]int, len(dims)), make([]int, len(dims))
	for k := range dims {
		from := len(dims) - 1 - k
		if given {
			from = int(perm[k])
		}
		if from < 0 || from >= len(dims) {
			return nil
		}
		sizes[k], strides[k] = dims[from], 1
		for _, n := range dims[from+1:] {
			strides[k] *= n
		}
	}
	out := make([]sym.Dim, len(x.Content))
	for i := range out {
		rest, at := i, 0
		for k := len(sizes) - 1; k >= 0; k-- {
			at += rest % sizes[k] * strides[k]
			rest /= sizes[k]
		}
		out[i] = x.Content[at]
	}
	return out
}

func concatContent(c *call) []sym.Dim {
	out := []sym.Dim{}
	for i := range c.node.Inputs {
		part := c.in(i).Content
		if part == nil || c.in(i).Rank() > 1 && c.node.Int("axis", 0) != 0 {
			return nil
		}
		out = append(out, part...)
	}
	return out
}

func expandContent(c *call) []sym.Dim {
	target, ok := c.in(1).Ints()
	x := c.in(0).Content
	if !ok || len(target) != 1 || len(x) != 1 || target[0] < 1 || target[0] > maxContent {
		return nil
	}
	return slices.Repeat(x, int(target[0]))
}

func fillContent(c *call) []sym.Dim {
	target, ok := c.in(0).Ints()
	if !ok || len(target) > 1 || len(target) == 1 && (target[0] < 0 || target[0] > maxContent) {
		return nil
	}
	n := 1
	if len(target) == 1 {
		n = int(target[0])
	}
	value := sym.Const(0)
	if t, has := c.node.Attrs["value"].(*ir.Tensor); has {
		info := OfTensor(t)
		if len(info.Content) != 1 {
			return nil
		}
		value = info.Content[0]
	}
	return slices.Repeat([]sym.Dim{value}, n)
}

func reduceContent(unit sym.Dim, f func(a, b sym.Dim) sym.Dim) func(*call) []sym.Dim {
	return func(c *call) []sym.Dim {
		x := c.in(0)
		if x.Content == nil || x.Rank() != 1 {
			return nil
		}
		acc := unit
		for _, d := range x.Content {
			acc = f(acc, d)
		}
		return []sym.Dim{acc}
	}
}

// extremeContent: TorchScript takes the count of repeat_interleave as the largest of
// equal numbers.
func extremeContent(f func(a, b sym.Dim) sym.Dim) func(*call) []sym.Dim {
	return func(c *call) []sym.Dim {
		x := c.in(0).Content
		if len(x) == 0 {
			return nil
		}
		return reduceContent(x[0], f)(c)
	}
}

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

func rangeContent(c *call) []sym.Dim {
	args := [3]int64{}
	for i := range args {
		v, ok := c.in(i).Ints()
		if !ok || len(v) != 1 {
			return nil
		}
		args[i] = v[0]
	}
	if args[2] == 0 {
		return nil
	}
	n := sliceCount(args[0], args[1], args[2])
	if n > maxContent {
		return nil
	}
	out := []sym.Dim{}
	for i := range n {
		out = append(out, sym.Const(args[0]+i*args[2]))
	}
	return out
}
