package canon

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// tile writes a repetition whose count is computed (DeBERTa repeats its position
// scores for every record) as one in which the copies have an axis of their own,
// so that they can be told apart:
//
//	x [a,b] tiled by [r,s] = reshape(expand(x as [1,a,1,b] to [r,a,s,b]), [r·a, s·b])
//
// Repetitions whose counts are all known stay.
func (x *expander) tile() error {
	shape, repeats := x.info(0), x.info(1).Content
	computed := slices.ContainsFunc(repeats, func(d sym.Dim) bool { _, known := d.Const(); return !known })
	if !computed || !shape.Ranked || len(repeats) != shape.Rank() {
		x.nodes = append(x.nodes, x.n)
		return x.values.Node(x.n)
	}
	counts := x.n.Input(1)
	var axes []int64
	var target []string
	for k, r := range repeats {
		if !r.Is(1) {
			axes = append(axes, int64(k+len(axes)))
			target = append(target, x.op("Slice", "count", nil, counts, x.ints("from", int64(k)), x.ints("to", int64(k+1))))
		}
		target = append(target, x.ints("kept", 1))
	}
	to := x.op("Concat", "copies_shape", ir.Attrs{"axis": int64(0)}, target...)
	copies := x.op("Expand", "copies", nil, x.op("Unsqueeze", "apart", nil, x.n.Input(0), x.ints("apart_axes", axes...)), to)
	extents := x.op("Mul", "tiled_shape", nil, x.op("Shape", "shape", nil, x.n.Input(0)), counts)
	x.into(x.n.Output(0), "Reshape", nil, copies, extents)
	return nil
}
