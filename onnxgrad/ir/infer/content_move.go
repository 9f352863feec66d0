package infer

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

func gatherContent(c *call) []sym.Dim {
	data := c.in(0).Content
	idx, ok := c.in(1).Ints()
	if data == nil || !ok || c.in(0).Rank() != 1 {
		return nil
	}
	out := make([]sym.Dim, len(idx))
	for i, k := range idx {
		if k < 0 {
			k += int64(len(data))
		}
		if k < 0 || k >= int64(len(data)) {
			return nil
		}
		out[i] = data[k]
	}
	return out
}

func sliceContent(c *call) []sym.Dim {
	x := c.in(0)
	dims, known := x.extents()
	spec, ok := c.sliceSpec(len(dims))
	if len(x.Content) == 0 || !known || !ok {
		return nil
	}
	taken := make([][]int, len(dims)) // by axis
	for k, n := range dims {
		taken[k] = count(n)
	}
	for _, s := range spec {
		a, oka := s.start.Const()
		b, okb := s.end.Const()
		if !oka || !okb || s.step == 0 || s.axis < 0 || s.axis >= len(dims) {
			return nil
		}
		start, end := sliceBounds(int64(dims[s.axis]), a, b, s.step)
		taken[s.axis] = nil
		for i := start; s.step > 0 && i < end || s.step < 0 && i > end; i += s.step {
			taken[s.axis] = append(taken[s.axis], int(i))
		}
	}
	return pick(x.Content, dims, taken)
}

// count is 0, 1, …, n−1.
func count(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// pick takes the elements at the given places of every axis, row-major.
func pick(data []sym.Dim, dims []int, taken [][]int) []sym.Dim {
	at := []int{0}
	for k, n := range dims {
		var next []int
		for _, base := range at {
			for _, i := range taken[k] {
				next = append(next, base*n+i)
			}
		}
		at = next
	}
	out := make([]sym.Dim, len(at))
	for i, k := range at {
		out[i] = data[k]
	}
	return out
}

// transposeContent: TorchScript writes the pads of F.pad as a reversed, transposed
// table of pairs.
func transposeContent(c *call) []sym.Dim {
	x := c.in(0)
	dims, known := x.extents()
	perm, err := Perm(c.node, len(dims))
	if x.Content == nil || !known || err != nil {
		return nil
	}
	strides, sizes := make([]int, len(dims)), make([]int, len(dims))
	for k, from := range perm {
		sizes[k], strides[k] = dims[from], 1
		for _, n := range dims[from+1:] {
			strides[k] *= n
		}
	}
	out := make([]sym.Dim, len(x.Content))
	for i := range out {
		rest, at := i, 0
		for k := len(sizes) - 1; k >= 0; k-- {
			at += rest % sizes[k] * strides[k]
			rest /= sizes[k]
		}
		out[i] = x.Content[at]
	}
	return out
}

func concatContent(c *call) []sym.Dim {
	out := []sym.Dim{}
	for i := range c.node.Inputs {
		part := c.in(i).Content
		if part == nil || c.in(i).Rank() > 1 && c.node.Int("axis", 0) != 0 {
			return nil
		}
		out = append(out, part...)
	}
	return out
}

func expandContent(c *call) []sym.Dim {
	target, ok := c.in(1).Ints()
	x := c.in(0).Content
	if !ok || len(target) != 1 || len(x) != 1 || target[0] < 1 || target[0] > maxContent {
		return nil
	}
	return slices.Repeat(x, int(target[0]))
}

func fillContent(c *call) []sym.Dim {
	target, ok := c.in(0).Ints()
	if !ok || len(target) > 1 || len(target) == 1 && (target[0] < 0 || target[0] > maxContent) {
		return nil
	}
	n := 1
	if len(target) == 1 {
		n = int(target[0])
	}
	value := sym.Const(0)
	if t, has := c.node.Attrs["value"].(*ir.Tensor); has {
		info := OfTensor(t)
		if len(info.Content) != 1 {
			return nil
		}
		value = info.Content[0]
	}
	return slices.Repeat([]sym.Dim{value}, n)
}

func rangeContent(c *call) []sym.Dim {
	args := [3]int64{}
	for i := range args {
		v, ok := c.in(i).Ints()
		if !ok || len(v) != 1 {
			return nil
		}
		args[i] = v[0]
	}
	if args[2] == 0 {
		return nil
	}
	n := sliceCount(args[0], args[1], args[2])
	if n > maxContent {
		return nil
	}
	out := []sym.Dim{}
	for i := range n {
		out = append(out, sym.Const(args[0]+i*args[2]))
	}
	return out
}
