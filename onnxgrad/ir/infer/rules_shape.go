package infer

import (
	"fmt"
	"math"
	"slices"
	"strings"

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

// reshape resolves 0 (copy) and −1 (the rest) symbolically.
func reshape(c *call) error {
	x, target := c.in(0), c.in(1)
	if target.Content == nil {
		c.unknownRank(x.DType, target)
		return nil
	}
	out := slices.Clone(target.Content)
	rest := -1
	for i, d := range out {
		n, isConst := d.Const()
		switch {
		case isConst && n == 0 && c.node.Int("allowzero", 0) == 0:
			if !x.Ranked { // the result of an operator that is not expanded yet
				out[i] = c.values.unknownDim()
				continue
			}
			if i >= x.Rank() {
				return fmt.Errorf("reshape copies dimension %d of a tensor of shape %v", i, x.Shape)
			}
			out[i] = x.Shape[i]
		case isConst && n == -1:
			if rest >= 0 {
				return fmt.Errorf("reshape to %v has two −1", target.Content)
			}
			rest = i
		case isConst && n < -1:
			return fmt.Errorf("reshape to %v", target.Content)
		}
	}
	if rest >= 0 {
		if !x.Ranked {
			out[rest] = c.values.unknownDim()
		} else {
			out[rest] = sym.Const(1)
			out[rest] = sym.FloorDiv(sym.Product(x.Shape...), sym.Product(out...))
		}
	} else if x.Ranked {
		from, ok1 := sym.Product(x.Shape...).Const()
		to, ok2 := sym.Product(out...).Const()
		if ok1 && ok2 && from != to {
			return fmt.Errorf("reshape of %v to %v", x.Shape, out)
		}
	}
	c.out(0, x.DType, out)
	return nil
}

// unknownRank handles a target shape whose content is unknown: its length may
// still give the rank.
func (c *call) unknownRank(d ir.DType, target Info) {
	if target.Ranked && target.Rank() == 1 {
		if n, ok := target.Shape[0].Const(); ok && n <= maxContent {
			out := make([]sym.Dim, n)
			for i := range out {
				out[i] = c.values.unknownDim()
			}
			c.out(0, d, out)
			return
		}
	}
	c.outType(0, d)
}

func flatten(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.out(0, x.DType, []sym.Dim{c.values.unknownDim(), c.values.unknownDim()})
		return nil
	}
	a := c.node.Int("axis", 1)
	if a < 0 {
		a += int64(x.Rank())
	}
	if a < 0 || a > int64(x.Rank()) {
		return fmt.Errorf("axis %d of rank %d", a, x.Rank())
	}
	c.out(0, x.DType, []sym.Dim{sym.Product(x.Shape[:a]...), sym.Product(x.Shape[a:]...)})
	return nil
}

func transpose(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	perm, err := Perm(c.node, x.Rank())
	if err != nil {
		return err
	}
	out := make([]sym.Dim, x.Rank())
	for i, p := range perm {
		out[i] = x.Shape[p]
	}
	c.out(0, x.DType, out)
	return nil
}

// Perm returns a Transpose node's permutation for that rank, checked.
func Perm(n *ir.Node, rank int) ([]int, error) {
	attr, ok := n.Ints("perm")
	out := make([]int, rank)
	if !ok {
		for i := range out {
			out[i] = rank - 1 - i
		}
		return out, nil
	}
	seen := make([]bool, rank)
	if len(attr) != rank {
		return nil, fmt.Errorf("perm %v for rank %d", attr, rank)
	}
	for i, p := range attr {
		if p < 0 || p >= int64(rank) || seen[p] {
			return nil, fmt.Errorf("perm %v for rank %d", attr, rank)
		}
		seen[p], out[i] = true, int(p)
	}
	return out, nil
}

func squeeze(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	set, present, known, err := c.axes(1, x.Rank())
	if err != nil {
		return err
	}
	if !known {
		c.outType(0, x.DType)
		return nil
	}
	if !present {
		for i, d := range x.Shape {
			if n, ok := d.Const(); !ok {
				c.outType(0, x.DType) // which axes go depends on the input
				return nil
			} else if n == 1 {
				set[i] = true
			}
		}
	}
	for i := range set {
		if n, ok := x.Shape[i].Const(); ok && n != 1 {
			return fmt.Errorf("squeezes axis %d of extent %d", i, n)
		}
	}
	c.out(0, x.DType, dropAxes(x.Shape, set, false))
	return nil
}

func unsqueeze(c *call) error {
	x := c.in(0)
	list, ok := c.node.Ints("axes")
	if c.has(1) {
		list, ok = c.in(1).Ints()
	}
	if !x.Ranked || !ok {
		c.outType(0, x.DType)
		return nil
	}
	rank := x.Rank() + len(list)
	out := make([]sym.Dim, rank)
	set := map[int]bool{}
	for _, a := range list {
		k, err := axis(a, rank)
		if err != nil {
			return err
		}
		if set[k] {
			return fmt.Errorf("axes %v repeat", list)
		}
		set[k] = true
	}
	next := 0
	for i := range out {
		if set[i] {
			out[i] = sym.Const(1)
			continue
		}
		out[i] = x.Shape[next]
		next++
	}
	c.out(0, x.DType, out)
	return nil
}

func expand(c *call) error {
	x, target := c.in(0), c.in(1)
	if !x.Ranked || target.Content == nil {
		c.unknownRank(x.DType, target)
		return nil
	}
	out, err := BroadcastShapes(x.Shape, target.Content)
	if err != nil {
		return err
	}
	c.out(0, x.DType, out)
	return nil
}

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
