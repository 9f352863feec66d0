package infer

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// slice computes extents for step 1 and constant bounds, and for bounds that
// are dimensions themselves (x[:T] of a table of N rows has min(N, T)).
func slice(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	spec, ok := c.sliceSpec(x.Rank())
	out := slices.Clone(x.Shape)
	if !ok {
		for i := range out {
			out[i] = c.values.unknownDim()
		}
		c.out(0, x.DType, out)
		return nil
	}
	for _, s := range spec {
		if s.axis < 0 || s.axis >= x.Rank() {
			return fmt.Errorf("slice along axis %d of rank %d", s.axis, x.Rank())
		}
		out[s.axis] = c.sliceExtent(x.Shape[s.axis], s)
	}
	c.out(0, x.DType, out)
	return nil
}

type sliceAxis struct {
	axis       int
	start, end sym.Dim
	step       int64
}

// sliceSpec reads starts, ends, axes and steps (opset ≥ 10) or the attributes
// (opset 9).
func (c *call) sliceSpec(rank int) ([]sliceAxis, bool) {
	starts, ends := c.in(1).Content, c.in(2).Content
	if s, ok := c.node.Ints("starts"); ok {
		starts = constants(s)
		e, _ := c.node.Ints("ends")
		ends = constants(e)
	}
	if starts == nil || ends == nil || len(starts) != len(ends) {
		return nil, false
	}
	axes, steps := make([]int64, len(starts)), make([]int64, len(starts))
	for i := range axes {
		axes[i], steps[i] = int64(i), 1
	}
	ok := true
	if a, has := c.node.Ints("axes"); has {
		axes = a
	} else if c.has(3) {
		axes, ok = c.in(3).Ints()
	}
	if ok && c.has(4) {
		steps, ok = c.in(4).Ints()
	}
	if !ok || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, false
	}
	out := make([]sliceAxis, len(starts))
	for i := range out {
		k, err := axis(axes[i], rank)
		if err != nil {
			k = -1
		}
		out[i] = sliceAxis{axis: k, start: starts[i], end: ends[i], step: steps[i]}
	}
	return out, true
}

func (c *call) sliceExtent(d sym.Dim, s sliceAxis) sym.Dim {
	if n, ok := d.Const(); ok {
		a, oka := s.start.Const()
		b, okb := s.end.Const()
		if oka && okb && s.step != 0 {
			start, end := sliceBounds(n, a, b, s.step)
			return sym.Const(sliceCount(start, end, s.step))
		}
	}
	if s.step == -1 && s.start.Is(-1) {
		if e, ok := s.end.Const(); ok && e <= -math.MaxInt32 {
			return d // the whole axis, reversed
		}
	}
	start, okStart := c.bound(s.start, d)
	end, okEnd := c.bound(s.end, d)
	if s.step < 1 || !okStart || !okEnd {
		return c.values.unknownDim()
	}
	from, a := s.start.Const()
	to, b := s.end.Const()
	if a && b && from >= 0 && (to < 0 || to >= math.MaxInt32) {
		start = s.start // assumes that the axis is at least that long, as bound does
	}
	if s.step > 1 {
		return ceilDiv(sym.Sub(end, start), s.step)
	}
	return sym.Sub(end, start)
}

// bound resolves one end of a slice that goes forward along an axis of extent d.
func (c *call) bound(b, d sym.Dim) (sym.Dim, bool) {
	n, isConst := b.Const()
	switch {
	case isConst && n == 0:
		return b, true
	case isConst && n >= math.MaxInt32:
		return d, true
	case isConst && n <= -math.MaxInt32:
		return sym.Const(0), true
	case isConst && n < 0:
		return sym.Add(d, b), true // assumes the axis is at least that long
	case sym.Equal(b, d):
		return d, true
	}
	if strings.HasPrefix(b.String(), "-") {
		return sym.Dim{}, false
	}
	return sym.Min(b, d), true
}

// sliceBounds clamps as ONNX does.
func sliceBounds(n, start, end, step int64) (int64, int64) {
	lo, hi := int64(0), n
	if step < 0 {
		lo, hi = -1, n-1
	}
	clamp := func(a int64) int64 {
		if a < 0 {
			a = max(a, -1<<60) + n
		}
		return min(max(a, lo), hi)
	}
	return clamp(start), clamp(end)
}

func sliceCount(start, end, step int64) int64 {
	if step > 0 {
		return max((end-start+step-1)/step, 0)
	}
	return max((start-end-step-1)/-step, 0)
}

func split(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		for i := range c.node.Outputs {
			c.outType(i, x.DType)
		}
		return nil
	}
	k, err := axis(c.node.Int("axis", 0), x.Rank())
	if err != nil {
		return err
	}
	sizes, err := c.splitSizes(x.Shape[k])
	if err != nil {
		return err
	}
	for i := range c.node.Outputs {
		out := slices.Clone(x.Shape)
		out[k] = sizes[i]
		c.out(i, x.DType, out)
	}
	c.splitContent(x, sizes)
	return nil
}

// splitContent hands a short vector's elements to its parts: transformer
// optimizers take shapes apart with Split.
func (c *call) splitContent(x Info, sizes []sym.Dim) {
	if x.Content == nil || x.Rank() != 1 {
		return
	}
	rest := x.Content
	for i, o := range c.node.Outputs {
		n, known := sizes[i].Const()
		if !known || n < 0 || n > int64(len(rest)) {
			return
		}
		if o != "" {
			part := c.values.Of(o)
			part.Content = nonNil(rest[:n:n])
			c.values.Set(o, part)
		}
		rest = rest[n:]
	}
}

func (c *call) splitSizes(d sym.Dim) ([]sym.Dim, error) {
	n := int64(len(c.node.Outputs))
	var given []sym.Dim
	if s, ok := c.node.Ints("split"); ok {
		given = constants(s)
	} else if c.has(1) {
		if given = c.in(1).Content; given == nil {
			given = make([]sym.Dim, n)
			for i := range given {
				given[i] = c.values.unknownDim()
			}
		}
	}
	if given != nil {
		if int64(len(given)) != n {
			return nil, fmt.Errorf("%d split sizes for %d outputs", len(given), n)
		}
		return given, nil
	}
	// Equal parts, the last one smaller where it does not divide (opset 18).
	out := make([]sym.Dim, n)
	part := sym.FloorDiv(sym.Add(d, sym.Const(n-1)), sym.Const(n))
	if q, ok := sym.DivExact(d, sym.Const(n)); ok {
		part = q
	}
	for i := range out {
		out[i] = part
	}
	out[n-1] = sym.Sub(d, sym.Mul(part, sym.Const(n-1)))
	return out, nil
}
