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
	"Add": binary(sym.Add), "Sub": binary(sym.Sub), "Mul": mulContent, "Min": binary(sym.Min), "Max": binary(sym.Max),
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

// mulContent: an integer times 0 is 0, whatever it is.
func mulContent(c *call) []sym.Dim {
	if out := binary(sym.Mul)(c); out != nil || len(c.node.Inputs) != 2 {
		return out
	}
	for i := range 2 {
		zeros, known := c.in(i).Ints()
		other := c.in(1 - i)
		nothing := known && len(zeros) > 0 && !slices.ContainsFunc(zeros, func(n int64) bool { return n != 0 })
		if nothing && other.DType.IsInt() && other.Ranked && other.Rank() <= 1 && sym.Product(other.Shape...).Is(1) {
			return c.in(i).Content
		}
	}
	return nil
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
