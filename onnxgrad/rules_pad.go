package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// Pad by a constant c:  x: g without the padding    c: Σg over the padding.
// Pad by reflection, by the edge or around:  g added into zeros at the positions
// that were copied.
func vjpPad(v *VJP) error {
	axes, err := v.padAxes()
	if err != nil {
		return err
	}
	if v.Node.Str("mode", "constant") != "constant" {
		return v.padByCopies(axes)
	}
	x, g := v.X(0), v.GY(0)
	list := make([]int64, len(axes))
	for i, a := range axes {
		list[i] = int64(a + v.Lead)
	}
	back := v.Op("Pad", nil, g, v.Op("Neg", nil, v.X(1)), "", v.Ints(list...))
	v.setShape(back, v.WithLead(v.Shape(x)))
	if v.Want(2) {
		if v.Lead > 0 || v.perRecord(2) {
			return fmt.Errorf("the padding value depends on a trained parameter")
		}
		total := v.ReduceSum(g, false, seq(0, v.Rank(g))...)
		v.Set(2, v.Reshape(v.Sub(total, v.ReduceSum(back, false, seq(0, v.Rank(back))...)), v.Shape(v.X(2))))
	}
	if v.Want(0) {
		v.Set(0, back)
	}
	return nil
}

// padAxes returns the padded axes of x: all of them where none are given.
func (v *VJP) padAxes() ([]int, error) {
	rank := v.Rank(v.X(0))
	if v.X(3) == "" {
		return seq(0, rank), nil
	}
	list, ok := v.constInts(3)
	if !ok {
		return nil, fmt.Errorf("its axes are computed at run time")
	}
	axes := make([]int, len(list))
	for i, a := range list {
		axes[i] = v.Axis(a, rank) - v.Lead
	}
	return axes, nil
}

// padByCopies pads the positions 0, …, n−1 of each axis as the operator did and
// adds g in at what comes out.
func (v *VJP) padByCopies(axes []int) error {
	if !v.Want(0) {
		return nil
	}
	g, shape, n := v.GY(0), v.WithLead(v.Shape(v.X(0))), int64(len(axes))
	pads, known := v.constInts(1)
	for i, a := range axes {
		if known && pads[i] == 0 && pads[int64(i)+n] == 0 {
			continue
		}
		k := a + v.Lead
		both := v.Op("Gather", nil, v.X(1), v.Ints(int64(i), int64(i)+n))
		at := v.Op("Pad", ir.Attrs{"mode": v.Node.Str("mode", "constant")}, v.positions(shape[k]), both)
		v.setShape(at, []sym.Dim{v.Shape(g)[k]})
		partial := slices.Clone(v.Shape(g))
		partial[k] = shape[k]
		g = v.scatterAdd(g, at, partial, k)
	}
	v.Set(0, v.Reshape(g, shape))
	return nil
}

// positions is the int64 vector 0, …, n−1.
func (b *Builder) positions(n sym.Dim) string {
	p := b.Op("Range", nil, b.Int(0), b.Op("Squeeze", nil, b.Extent(n), b.Ints(0)), b.Int(1))
	b.setShape(p, []sym.Dim{n})
	return p
}
