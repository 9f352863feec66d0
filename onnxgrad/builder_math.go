package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// Arithmetic with numpy's broadcasting.

func (b *Builder) Add(x, y string) string { return b.Op("Add", nil, x, y) }
func (b *Builder) Sub(x, y string) string { return b.Op("Sub", nil, x, y) }
func (b *Builder) Mul(x, y string) string { return b.Op("Mul", nil, x, y) }
func (b *Builder) Div(x, y string) string { return b.Op("Div", nil, x, y) }

// Scale multiplies by a constant; 1 costs nothing.
func (b *Builder) Scale(x string, by float32) string {
	if by == 1 {
		return x
	}
	return b.Mul(x, b.Scalar(by))
}

// Where selects x where cond holds and y elsewhere.
func (b *Builder) Where(cond, x, y string) string { return b.Op("Where", nil, cond, x, y) }

// MatMul is numpy.matmul.
func (b *Builder) MatMul(x, y string) string { return b.Op("MatMul", nil, x, y) }

// Transpose permutes axes. A transposition of a transposition reads the
// original, so that the transpose of a transposed tied weight is the weight.
func (b *Builder) Transpose(x string, perm ...int) string {
	if slices.IsSorted(perm) {
		return x
	}
	p := make([]int64, len(perm))
	for i, a := range perm {
		p[i] = int64(a)
	}
	if n := b.producer[x]; n != nil && n.Is("Transpose") {
		if inner, ok := n.Ints("perm"); ok && composesToIdentity(inner, p) {
			return n.Inputs[0]
		}
	}
	return b.Op("Transpose", ir.Attrs{"perm": p}, x)
}

func composesToIdentity(inner, outer []int64) bool {
	for i, o := range outer {
		if inner[o] != int64(i) {
			return false
		}
	}
	return true
}

// SwapLast transposes the last two axes; onnxruntime fuses it into the product
// that reads it.
func (b *Builder) SwapLast(x string) string {
	r := b.Rank(x)
	if r < 2 {
		b.fail(fmt.Errorf("%w: %q of rank %d is no matrix", ir.ErrUnsupported, x, r))
		return x
	}
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-1], perm[r-2] = r-2, r-1
	return b.Transpose(x, perm...)
}

// Reshape gives x another shape of as many elements. Extents are written as
// constants, copies (0) and one remainder (−1) where that says it all, and
// computed at run time otherwise.
func (b *Builder) Reshape(x string, shape []sym.Dim) string {
	have := b.Shape(x)
	if sym.EqualShape(have, shape) {
		return x
	}
	target := make([]int64, len(shape))
	rest := 0
	for i, d := range shape {
		n, isConst := d.Const()
		switch {
		case isConst:
			target[i] = n
		case i < len(have) && sym.Equal(d, have[i]):
			target[i] = 0
		default:
			target[i], rest = -1, rest+1
		}
	}
	y := ""
	if rest <= 1 && !slices.ContainsFunc(shape, func(d sym.Dim) bool { return d.Is(0) }) {
		y = b.Op("Reshape", nil, x, b.Ints(target...))
	} else { // an extent of 0 means 0 here, not a copy
		y = b.Op("Reshape", ir.Attrs{"allowzero": int64(1)}, x, b.Extents(shape))
	}
	b.setShape(y, shape)
	return y
}

// Unsqueeze inserts an axis of extent 1.
func (b *Builder) Unsqueeze(x string, axis int) string {
	return b.Op("Unsqueeze", nil, x, b.Ints(int64(axis)))
}

// Expand broadcasts x to the shape.
func (b *Builder) Expand(x string, shape []sym.Dim) string {
	if sym.EqualShape(b.Shape(x), shape) {
		return x
	}
	return b.Op("Expand", nil, x, b.Extents(shape))
}

// Zeros returns a float32 tensor of zeros.
func (b *Builder) Zeros(shape []sym.Dim) string {
	return b.Op("ConstantOfShape", ir.Attrs{"value": ir.NewFloat32("", []int64{1}, []float32{0})}, b.Extents(shape))
}

// ReduceSum sums over axes; with none it is x.
func (b *Builder) ReduceSum(x string, keep bool, axes ...int) string {
	return b.reduce("ReduceSum", x, keep, axes)
}

// ReduceSumSquare sums squares over axes.
func (b *Builder) ReduceSumSquare(x string, keep bool, axes ...int) string {
	if len(axes) == 0 {
		return b.Mul(x, x)
	}
	return b.reduce("ReduceSumSquare", x, keep, axes)
}

// ReduceMean averages over axes.
func (b *Builder) ReduceMean(x string, keep bool, axes ...int) string {
	return b.reduce("ReduceMean", x, keep, axes)
}

func (b *Builder) reduce(op, x string, keep bool, axes []int) string {
	if len(axes) == 0 {
		return x
	}
	list := make([]int64, len(axes))
	for i, a := range axes {
		list[i] = int64(a)
	}
	k := int64(0)
	if keep {
		k = 1
	}
	return b.Op(op, ir.Attrs{"keepdims": k}, x, b.Ints(list...))
}

// Cast converts element types.
func (b *Builder) Cast(x string, to ir.DType) string {
	if b.Values.Of(x).DType == to {
		return x
	}
	return b.Op("Cast", ir.Attrs{"to": int64(to)}, x)
}

// Sum adds values of one shape; the empty sum is "".
func (b *Builder) Sum(values []string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	case 2:
		return b.Add(values[0], values[1])
	}
	return b.Op("Sum", nil, values...)
}

// seq returns the axes from, …, to−1.
func seq(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}
