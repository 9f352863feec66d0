package infer

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// dequantize has the scale's type.
func dequantize(c *call) error { return withType(c, c.in(1).DType, sameAsFirst) }

// quantize has the zero point's type, uint8 where there is none.
func quantize(c *call) error {
	d := ir.Uint8
	if c.has(2) {
		d = c.in(2).DType
	}
	return withType(c, ir.DType(c.node.Int("output_dtype", int64(d))), sameAsFirst)
}

// dynamicQuantize gives integers, one scale and one zero point.
func dynamicQuantize(c *call) error {
	err := withType(c, ir.Uint8, sameAsFirst)
	c.out(1, ir.Float32, []sym.Dim{})
	c.out(2, ir.Uint8, []sym.Dim{})
	return err
}

// integerProduct is MatMul with 32-bit sums.
func integerProduct(c *call) error { return withType(c, ir.Int32, matMul) }

func integerConv(c *call) error { return withType(c, ir.Int32, conv) }

// matMulNBits: [.., K] by packed weights [K, N].
func matMulNBits(c *call) error {
	x := c.in(0)
	k, n := c.node.Int("K", -1), c.node.Int("N", -1)
	if !x.Ranked || k < 1 || n < 1 {
		c.outType(0, x.DType)
		return nil
	}
	if have, ok := x.Shape[x.Rank()-1].Const(); ok && have != k {
		return fmt.Errorf("operand of shape %v, want a last extent of %d", x.Shape, k)
	}
	out := slices.Clone(x.Shape)
	out[len(out)-1] = sym.Const(n)
	c.out(0, x.DType, out)
	return nil
}

// gatherQuantised is Gather from a table whose rows may be packed: 8 bits hold
// 8/bits numbers of a table of uint8.
func gatherQuantised(c *call) error {
	data, idx := c.in(0), c.in(1)
	d := c.in(2).DType
	if !data.Ranked || !idx.Ranked {
		c.outType(0, d)
		return nil
	}
	k, err := axis(c.node.Int("gather_axis", 0), data.Rank())
	if err != nil {
		return err
	}
	shape := slices.Clone(data.Shape)
	if data.DType == ir.Uint8 {
		last := len(shape) - 1
		shape[last] = sym.Mul(shape[last], sym.Const(8/max(c.node.Int("bits", 4), 1)))
	}
	c.out(0, d, slices.Concat(shape[:k], idx.Shape, shape[k+1:]))
	return nil
}
