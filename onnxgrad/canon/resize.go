package canon

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// resize drops a resampling to the size that its input has: vision transformers
// write their table of positions so when an image has the size they were made for.
// At scale 1 every place reads itself, whatever the interpolation, unless a region
// is cut out. Any other resampling stays, and is refused where a gradient would
// have to pass it.
func (x *expander) resize() error {
	if x.n.Str("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize" && x.sizeStays() {
		x.into(x.n.Output(0), "Identity", nil, x.n.Input(0))
		return nil
	}
	x.nodes = append(x.nodes, x.n)
	return x.values.Node(x.n)
}

// sizeStays: sizes are the input's own, or all scales are 1.
func (x *expander) sizeStays() bool {
	shape, scales, sizes := x.info(0), x.info(2).Content, x.info(3).Content
	if !shape.Ranked {
		return false
	}
	if axes, some := x.n.Ints("axes"); some {
		kept := make([]sym.Dim, len(axes))
		for i, a := range axes {
			if a < 0 {
				a += int64(shape.Rank())
			}
			if a < 0 || a >= int64(shape.Rank()) {
				return false
			}
			kept[i] = shape.Shape[a]
		}
		shape.Shape = kept
	}
	if x.n.Input(3) != "" {
		return len(sizes) > 0 && slices.EqualFunc(sizes, shape.Shape, sym.Equal)
	}
	return len(scales) > 0 && !slices.ContainsFunc(scales, func(d sym.Dim) bool { return !d.Is(1) })
}
