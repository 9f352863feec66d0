package onnxgrad

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// reductionRules: sums, means, extremes and norms over axes.
var reductionRules = map[string]func(*VJP) error{
	// y = Σx:  g, repeated
	"ReduceSum": reduction(func(_ *VJP, g, _ string, _ []int) string { return g }),
	// y = Σx/n:  g/n, repeated
	"ReduceMean": reduction(func(v *VJP, g, _ string, axes []int) string { return v.divideByCount(g, axes) }),
	// y = Σx²:  2x·g
	"ReduceSumSquare": reduction(func(v *VJP, g, _ string, _ []int) string { return v.Mul(v.Scale(v.X(0), 2), g) }),
	// y = √Σx²:  x·g/y, and 0 where y = 0
	"ReduceL2": reduction(func(v *VJP, g, y string, _ []int) string {
		zero := v.Op("Equal", nil, y, v.Scalar(0))
		return v.Mul(v.X(0), v.Where(zero, v.Scalar(0), v.Div(g, y)))
	}),
	// y = Σ|x|:  sign(x)·g
	"ReduceL1": reduction(func(v *VJP, g, _ string, _ []int) string { return v.Mul(v.Op("Sign", nil, v.X(0)), g) }),
	// y = ln Σx:  g·e⁻ʸ, repeated
	"ReduceLogSum": reduction(func(v *VJP, g, y string, _ []int) string {
		return v.Mul(g, v.Op("Exp", nil, v.Op("Neg", nil, y)))
	}),
	// y = Πx:  see othersProduct
	"ReduceProd": reduction(func(v *VJP, g, _ string, axes []int) string { return v.Mul(g, v.othersProduct(axes)) }),
	// y = ln Σeˣ:  e^(x−y)·g
	"ReduceLogSumExp": reduction(func(v *VJP, g, y string, _ []int) string {
		return v.Mul(v.Op("Exp", nil, v.Sub(v.X(0), y)), g)
	}),
	// y = max x or min x:  g shared equally among the elements that attain it
	"ReduceMax": reduction(shareTies), "ReduceMin": reduction(shareTies),
}

// othersProduct is for each element the product of the others along the axes.
// With p the product of all that are not 0, it is p/x where no element is 0, p
// at the only one that is, and otherwise 0.
func (v *VJP) othersProduct(axes []int) string {
	x, one := v.X(0), v.Scalar(1)
	zero := v.Op("Equal", nil, x, v.Scalar(0))
	filled := v.Where(zero, one, x)
	list := make([]int64, len(axes))
	for i, a := range axes {
		list[i] = int64(a)
	}
	p := v.Op("ReduceProd", ir.Attrs{"noop_with_empty_axes": int64(1)}, filled, v.Ints(list...))
	zeros := v.ReduceSum(v.Cast(zero, ir.Float32), true, axes...)
	alone := v.Where(v.Op("Equal", nil, zeros, one), p, v.Scalar(0))
	none := v.Where(v.Op("Equal", nil, zeros, v.Scalar(0)), v.Div(p, filled), v.Scalar(0))
	return v.Where(zero, alone, none)
}

func shareTies(v *VJP, g, y string, axes []int) string {
	hits := v.Cast(v.Op("Equal", nil, v.X(0), y), ir.Float32)
	return v.Mul(hits, v.Div(g, v.ReduceSum(hits, true, axes...)))
}

// reduction makes a rule of a function that is given g and y with the reduced
// axes kept at extent 1, and returns a gradient that may still have extent 1
// there. axes are those of x, without the leading batch axis of a lifted g.
func reduction(f func(v *VJP, g, y string, axes []int) string) func(*VJP) error {
	return func(v *VJP) error {
		if !v.Want(0) {
			return nil
		}
		axes, err := v.axes()
		if err != nil {
			return err
		}
		kept := slices.Clone(v.Shape(v.X(0)))
		for _, a := range axes {
			kept[a] = sym.Const(1)
		}
		g, y := v.Reshape(v.GY(0), v.WithLead(kept)), v.Reshape(v.Y(0), kept)
		d := f(v, g, y, axes)
		if sym.EqualShape(v.Shape(d), v.WithLead(v.Shape(v.X(0)))) {
			v.Set(0, d)
		} else {
			v.SetRepeated(0, d)
		}
		return nil
	}
}

// divideByCount divides by the number of elements reduced, at run time where
// an extent is dynamic.
func (v *VJP) divideByCount(g string, axes []int) string {
	shape := v.Shape(v.X(0))
	count := sym.Const(1)
	for _, a := range axes {
		count = sym.Mul(count, shape[a])
	}
	if n, ok := count.Const(); ok && n > 0 {
		return v.Scale(g, 1/float32(n))
	}
	return v.Div(g, v.Cast(v.Extent(count), ir.Float32))
}
