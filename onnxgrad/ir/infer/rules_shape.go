package infer

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

func shapeOf(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.out(0, ir.Int64, []sym.Dim{c.values.unknownDim()})
		return nil
	}
	c.out(0, ir.Int64, []sym.Dim{sym.Const(int64(len(shapeSlice(c, x))))})
	return nil
}

// shapeSlice applies Shape's start and end attributes (opset 15).
func shapeSlice(c *call, x Info) []sym.Dim {
	r := int64(x.Rank())
	clip := func(a int64) int64 {
		if a < 0 {
			a += r
		}
		return min(max(a, 0), r)
	}
	start, end := clip(c.node.Int("start", 0)), clip(c.node.Int("end", r))
	if end < start {
		return []sym.Dim{}
	}
	return x.Shape[start:end]
}

func sizeOf(c *call) error {
	c.out(0, ir.Int64, []sym.Dim{})
	return nil
}

func gather(c *call) error {
	data, idx := c.in(0), c.in(1)
	if !data.Ranked || !idx.Ranked {
		c.outType(0, data.DType)
		return nil
	}
	k, err := axis(c.node.Int("axis", 0), data.Rank())
	if err != nil {
		return err
	}
	c.out(0, data.DType, slices.Concat(data.Shape[:k], idx.Shape, data.Shape[k+1:]))
	return nil
}

func gatherElements(c *call) error {
	if idx := c.in(1); idx.Ranked {
		c.out(0, c.in(0).DType, idx.Shape)
	}
	return nil
}

func gatherND(c *call) error {
	data, idx := c.in(0), c.in(1)
	if !data.Ranked || !idx.Ranked || idx.Rank() == 0 {
		c.outType(0, data.DType)
		return nil
	}
	width, ok := idx.Shape[idx.Rank()-1].Const()
	batch := c.node.Int("batch_dims", 0)
	if !ok {
		c.outType(0, data.DType)
		return nil
	}
	if batch+width > int64(data.Rank()) || batch < 0 || batch >= int64(idx.Rank()) {
		return fmt.Errorf("index width %d with batch_dims %d into rank %d", width, batch, data.Rank())
	}
	c.out(0, data.DType, slices.Concat(idx.Shape[:idx.Rank()-1], data.Shape[batch+width:]))
	return nil
}

// atLeastVector reads a scalar as a vector of one element: what exporters mean
// that concatenate scalars, which ONNX does not allow (canon repairs it).
func atLeastVector(x Info) Info {
	if x.Ranked && x.Rank() == 0 {
		x.Shape = ones(1)
	}
	return x
}

func concat(c *call) error {
	first := atLeastVector(c.in(0))
	if !first.Ranked {
		c.outType(0, first.DType)
		return nil
	}
	k, err := axis(c.node.Int("axis", 0), first.Rank())
	if err != nil {
		return err
	}
	out := slices.Clone(first.Shape)
	sum := sym.Const(0)
	for i := range c.node.Inputs {
		x := atLeastVector(c.in(i))
		if !x.Ranked {
			c.outType(0, first.DType)
			return nil
		}
		if x.Rank() != first.Rank() {
			return fmt.Errorf("concatenates ranks %d and %d", first.Rank(), x.Rank())
		}
		sum = sym.Add(sum, x.Shape[k])
	}
	out[k] = sum
	c.out(0, first.DType, out)
	return nil
}

func tile(c *call) error {
	x, reps := c.in(0), c.in(1)
	if !x.Ranked || reps.Content == nil || len(reps.Content) != x.Rank() {
		c.unknownRank(x.DType, reps)
		return nil
	}
	out := make([]sym.Dim, x.Rank())
	for i := range out {
		out[i] = sym.Mul(x.Shape[i], reps.Content[i])
	}
	c.out(0, x.DType, out)
	return nil
}

// pad adds what pads say at both ends of the axes, of all axes where none are
// given.
func pad(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	pads := c.in(1).Content
	if p, ok := c.node.Ints("pads"); ok {
		pads = constants(p)
	}
	out := slices.Clone(x.Shape)
	list, known := c.in(3).Ints()
	if !c.has(3) {
		known, list = true, make([]int64, x.Rank())
		for i := range list {
			list[i] = int64(i)
		}
	}
	if !known || len(pads) != 2*len(list) {
		for i := range out {
			out[i] = c.values.unknownDim()
		}
		c.out(0, x.DType, out)
		return nil
	}
	for i, a := range list {
		k, err := axis(a, x.Rank())
		if err != nil {
			return err
		}
		out[k] = sym.Add(out[k], sym.Add(pads[i], pads[i+len(list)]))
	}
	c.out(0, x.DType, out)
	return nil
}

func constantOfShape(c *call) error {
	d := ir.Float32
	if t, ok := c.node.Attrs["value"].(*ir.Tensor); ok {
		d = t.DType
	}
	target := c.in(0)
	if target.Content == nil {
		c.unknownRank(d, target)
		return nil
	}
	c.out(0, d, target.Content)
	return nil
}

func rangeRule(c *call) error {
	n := c.values.unknownDim()
	start, limit, delta := c.in(0).Content, c.in(1).Content, c.in(2).Content
	if len(start) == 1 && len(limit) == 1 && len(delta) == 1 && delta[0].Is(1) {
		n = sym.Sub(limit[0], start[0])
	}
	c.out(0, c.in(0).DType, []sym.Dim{n})
	return nil
}

func oneHot(c *call) error {
	idx, depth := c.in(0), c.in(1)
	if !idx.Ranked {
		c.outType(0, c.in(2).DType)
		return nil
	}
	n := c.values.unknownDim()
	if len(depth.Content) == 1 {
		n = depth.Content[0]
	}
	a := c.node.Int("axis", -1)
	if a < 0 {
		a += int64(idx.Rank()) + 1
	}
	if a < 0 || a > int64(idx.Rank()) {
		return fmt.Errorf("axis %d", a)
	}
	c.out(0, c.in(2).DType, slices.Insert(slices.Clone(idx.Shape), int(a), n))
	return nil
}

func nonZero(c *call) error {
	if x := c.in(0); x.Ranked {
		c.out(0, ir.Int64, []sym.Dim{sym.Const(int64(x.Rank())), c.values.unknownDim()})
	}
	return nil
}

func topK(c *call) error {
	x, k := c.in(0), c.in(1)
	if !x.Ranked {
		return nil
	}
	a, err := axis(c.node.Int("axis", -1), x.Rank())
	if err != nil {
		return err
	}
	out := slices.Clone(x.Shape)
	out[a] = c.values.unknownDim()
	if len(k.Content) == 1 {
		out[a] = k.Content[0]
	}
	c.out(0, x.DType, out)
	c.out(1, ir.Int64, out)
	return nil
}

// einsum names the extent of each axis of its result.
func einsum(c *call) error {
	n := len(c.node.Inputs)
	ranks, shapes := make([]int, n), make([][]sym.Dim, n)
	for i := range n {
		x := c.in(i)
		if !x.Ranked {
			c.outType(0, c.in(0).DType)
			return nil
		}
		ranks[i], shapes[i] = x.Rank(), x.Shape
	}
	e, err := ParseEquation(c.node.Str("equation", ""), ranks)
	if err != nil {
		return err
	}
	extents, err := e.Extents(shapes)
	if err != nil {
		return err
	}
	out := []sym.Dim{}
	for _, letter := range e.Out {
		out = append(out, extents[letter])
	}
	c.out(0, c.in(0).DType, out)
	return nil
}
