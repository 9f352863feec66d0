package onnxgrad

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// Unbroadcast sums raw, a gradient in the broadcast shape of an elementwise
// operator, over the axes along which an operand of shape target was repeated.
// The first lead axes of raw are kept in front and do not take part; the result
// has them, then target.
//
// Which axes were repeated is decided here where symbols decide it, and at run
// time for the axes where they do not (two lengths that may be equal, or one of
// them 1).
func (b *Builder) Unbroadcast(raw string, target []sym.Dim, lead int) string {
	shape := b.Shape(raw)
	extra := len(shape) - lead - len(target)
	if extra < 0 {
		// raw is narrower than the operand only where the operand is repeated
		// by nothing: x of [3,4] against g of rank 1 broadcasts to x.
		return b.Expand(raw, append(append([]sym.Dim{}, shape[:lead]...), target...))
	}
	axes := seq(lead, lead+extra)
	undecided := false
	for i, t := range target {
		switch g := shape[lead+extra+i]; {
		case sym.SameOrFails(g, t):
		case t.Is(1):
			axes = append(axes, lead+extra+i)
		default:
			undecided = true
		}
	}
	want := append(append([]sym.Dim{}, shape[:lead]...), target...)
	if undecided {
		return b.unbroadcastAtRunTime(raw, want, lead, extra)
	}
	if len(axes) == extra {
		return b.Reshape(b.ReduceSum(raw, false, axes...), want)
	}
	return b.Reshape(b.ReduceSum(raw, true, axes...), want)
}

// unbroadcastAtRunTime sums over the axes where the operand's extent is 1 and
// raw's is not known to be, found when the graph runs:
//
//	axes = nonzero(shape(target) = 1);  ReduceSum(raw, axes);  Reshape(target)
func (b *Builder) unbroadcastAtRunTime(raw string, want []sym.Dim, lead, extra int) string {
	padded := append([]sym.Dim{}, want[:lead]...)
	for range extra {
		padded = append(padded, sym.Const(1))
	}
	padded = append(padded, want[lead:]...)
	ones := b.Op("Equal", nil, b.Extents(padded), b.Ints(1))
	if lead > 0 { // the kept axes stay even where their extent is 1
		mask := make([]int64, len(padded))
		for i := lead; i < len(mask); i++ {
			mask[i] = 1
		}
		ones = b.Op("And", nil, ones, b.Cast(b.Ints(mask...), ir.Bool))
	}
	axes := b.Op("Squeeze", nil, b.Op("NonZero", nil, ones), b.Ints(0))
	sum := b.Op("ReduceSum", ir.Attrs{"keepdims": int64(1), "noop_with_empty_axes": int64(1)}, raw, axes)
	y := b.Op("Reshape", ir.Attrs{"allowzero": int64(1)}, sum, b.Extents(want))
	b.setShape(y, want)
	return y
}
