package infer

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// conv has a result position wherever the kernel fits.
func conv(c *call) error {
	x, w := c.in(0), c.in(1)
	if !x.Ranked || !w.Ranked || x.Rank() != w.Rank() || x.Rank() < 3 {
		c.outType(0, x.DType)
		return nil
	}
	out := []sym.Dim{x.Shape[0], w.Shape[0]}
	for i := 2; i < x.Rank(); i++ {
		out = append(out, c.slid(x.Shape[i], w.Shape[i], i-2, x.Rank()-2))
	}
	c.out(0, x.DType, out)
	return nil
}

// pool is conv with the kernel in an attribute and as many channels as before.
// The second result of MaxPool holds indices.
func pool(c *call) error {
	x := c.in(0)
	kernel, ok := c.node.Ints("kernel_shape")
	if !x.Ranked || !ok || x.Rank() != len(kernel)+2 {
		c.outType(0, x.DType)
		return nil
	}
	out := slices.Clone(x.Shape[:2])
	for i, k := range kernel {
		out = append(out, c.slid(x.Shape[2+i], sym.Const(k), i, len(kernel)))
	}
	c.out(0, x.DType, out)
	c.out(1, ir.Int64, out)
	return nil
}

// globalPool leaves one place of each channel.
func globalPool(c *call) error {
	x := c.in(0)
	if !x.Ranked || x.Rank() < 2 {
		c.outType(0, x.DType)
		return nil
	}
	c.out(0, x.DType, slices.Concat(x.Shape[:2], ones(x.Rank()-2)))
	return nil
}

// attrAt is element i of a list attribute.
func (c *call) attrAt(name string, i int, def int64) int64 {
	if v, ok := c.node.Ints(name); ok && i < len(v) {
		return v[i]
	}
	return def
}

// slid counts the positions of a window of k cells that slides over x of them:
//
//	⌊(x + pads − field)/stride⌋ + 1,  field = dilation·(k − 1) + 1
//
// ⌈x/stride⌉ with auto_pad SAME. With ceil_mode a last window may hang over the
// end, but not begin in the padding behind it.
func (c *call) slid(x, k sym.Dim, i, spatial int) sym.Dim {
	stride := c.attrAt("strides", i, 1)
	pads := c.attrAt("pads", i, 0) + c.attrAt("pads", i+spatial, 0)
	switch c.node.Str("auto_pad", "NOTSET") {
	case "NOTSET":
	case "VALID":
		pads = 0
	default:
		return ceilDiv(x, stride)
	}
	field := sym.Add(sym.Mul(sym.Sub(k, sym.Const(1)), sym.Const(c.attrAt("dilations", i, 1))), sym.Const(1))
	room := sym.Sub(sym.Add(x, sym.Const(pads)), field)
	if c.node.Int("ceil_mode", 0) == 0 {
		return sym.Add(sym.FloorDiv(room, sym.Const(stride)), sym.Const(1))
	}
	n, okRoom := room.Const()
	extent, okExtent := x.Const()
	if !okRoom || !okExtent {
		return c.values.unknownDim()
	}
	count := (n+stride-1)/stride + 1
	if (count-1)*stride >= extent+c.attrAt("pads", i, 0) {
		count--
	}
	return sym.Const(count)
}

func ceilDiv(x sym.Dim, by int64) sym.Dim {
	return sym.FloorDiv(sym.Add(x, sym.Const(by-1)), sym.Const(by))
}

// convTranspose: stride·(x − 1) + output_padding + field − pads, or what
// output_shape says, or x·stride with auto_pad SAME.
func convTranspose(c *call) error {
	x, w := c.in(0), c.in(1)
	if !x.Ranked || !w.Ranked || x.Rank() != w.Rank() || x.Rank() < 3 {
		c.outType(0, x.DType)
		return nil
	}
	spatial := x.Rank() - 2
	out := []sym.Dim{x.Shape[0], sym.Mul(w.Shape[1], sym.Const(c.node.Int("group", 1)))}
	given, _ := c.node.Ints("output_shape")
	for i := range spatial {
		if len(given) >= spatial {
			out = append(out, sym.Const(given[len(given)-spatial+i]))
			continue
		}
		out = append(out, c.spread(x.Shape[2+i], w.Shape[2+i], i, spatial))
	}
	c.out(0, x.DType, out)
	return nil
}

func (c *call) spread(x, k sym.Dim, i, spatial int) sym.Dim {
	stride := sym.Const(c.attrAt("strides", i, 1))
	pads := c.attrAt("pads", i, 0) + c.attrAt("pads", i+spatial, 0)
	switch c.node.Str("auto_pad", "NOTSET") {
	case "NOTSET":
	case "VALID":
		pads = 0
	default:
		return sym.Mul(x, stride)
	}
	field := sym.Add(sym.Mul(sym.Sub(k, sym.Const(1)), sym.Const(c.attrAt("dilations", i, 1))), sym.Const(1))
	steps := sym.Mul(sym.Sub(x, sym.Const(1)), stride)
	return sym.Add(sym.Add(steps, field), sym.Const(c.attrAt("output_padding", i, 0)-pads))
}

// depthToSpace and spaceToDepth trade channels for places.
func depthToSpace(c *call) error {
	b := sym.Const(c.node.Int("blocksize", 1))
	return c.image(func(s []sym.Dim) []sym.Dim {
		return []sym.Dim{s[0], sym.FloorDiv(s[1], sym.Mul(b, b)), sym.Mul(s[2], b), sym.Mul(s[3], b)}
	})
}

func spaceToDepth(c *call) error {
	b := sym.Const(c.node.Int("blocksize", 1))
	return c.image(func(s []sym.Dim) []sym.Dim {
		return []sym.Dim{s[0], sym.Mul(s[1], sym.Mul(b, b)), sym.FloorDiv(s[2], b), sym.FloorDiv(s[3], b)}
	})
}

func (c *call) image(f func([]sym.Dim) []sym.Dim) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	if x.Rank() != 4 || c.node.Int("blocksize", 1) < 1 {
		return fmt.Errorf("blocks of %d in a tensor of rank %d; it works on images, rank 4", c.node.Int("blocksize", 1), x.Rank())
	}
	c.out(0, x.DType, f(x.Shape))
	return nil
}

// resize keeps the rank; extents that sizes give are taken from there.
func resize(c *call) error {
	x, sizes := c.in(0), c.in(3).Content
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	_, some := c.node.Ints("axes")
	out := make([]sym.Dim, x.Rank())
	for i := range out {
		if len(sizes) == x.Rank() && !some && c.node.Str("keep_aspect_ratio_policy", "stretch") == "stretch" {
			out[i] = sizes[i]
		} else {
			out[i] = c.values.unknownDim()
		}
	}
	c.out(0, x.DType, out)
	return nil
}
