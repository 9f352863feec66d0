package canon

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// A patch is a convolution whose kernel equals its stride, without padding,
// dilation or groups, on extents that are known (the patch embedding of a vision
// transformer). No number is read twice, so that it needs no copies:
//
//	[B,C,H,W] → [B,C,h,kh,w,kw] → [B,h,w,C,kh,kw] → [B,h·w,C·kh·kw] · Wᵀ + b → [B,O,h,w]
type patch struct {
	outputs, channels int64
	kernel, grid      []int64
}

// patchOf recognises the convolution and divides its input, whose shape is x,
// into a grid; extents must be constant and divide exactly.
func patchOf(n *ir.Node, c *Graph, x infer.Info) (*patch, bool) {
	w, ok := c.Inits[n.Input(1)]
	if !n.Is("Conv") || !ok || len(w.Dims) < 3 || !x.Ranked || x.Rank() != len(w.Dims) || n.Int("group", 1) != 1 {
		return nil, false
	}
	if auto := n.Str("auto_pad", "NOTSET"); auto != "NOTSET" && auto != "VALID" || !all(n, "pads", 0) || !all(n, "dilations", 1) {
		return nil, false
	}
	p := &patch{outputs: w.Dims[0], channels: w.Dims[1], kernel: w.Dims[2:]}
	strides, hasStrides := n.Ints("strides")
	for i, k := range p.kernel {
		stride := int64(1)
		if hasStrides && i < len(strides) {
			stride = strides[i]
		}
		extent, isConst := x.Shape[2+i].Const()
		if stride != k || !isConst || k == 0 || extent%k != 0 {
			return nil, false
		}
		p.grid = append(p.grid, extent/k)
	}
	return p, true
}

func all(n *ir.Node, attr string, want int64) bool {
	v, _ := n.Ints(attr)
	for _, x := range v {
		if x != want {
			return false
		}
	}
	return true
}

// nodes emits the replacement of n.
func (p *patch) nodes(c *Graph, n *ir.Node) []*ir.Node {
	e := &emitter{graph: c, from: n}
	split, perm, tail := []int64{0, p.channels}, []int64{0}, []int64{1}
	width, cells := p.channels, int64(1)
	for i, k := range p.kernel {
		split = append(split, p.grid[i], k)
		perm, tail = append(perm, int64(2+2*i)), append(tail, int64(3+2*i))
		width, cells = width*k, cells*p.grid[i]
	}
	x := e.op("Reshape", "cells", nil, n.Input(0), e.ints("cells_shape", split...))
	x = e.op("Transpose", "patches", ir.Attrs{"perm": append(perm, tail...)}, x)
	x = e.op("Reshape", "rows", nil, x, e.ints("rows_shape", 0, cells, width))
	w := e.op("Reshape", "matrix", nil, n.Input(1), e.ints("matrix_shape", p.outputs, width))
	w = e.op("Transpose", "matrix_t", ir.Attrs{"perm": []int64{1, 0}}, w)
	y := e.op("MatMul", "product", nil, x, w)
	if n.Input(2) != "" {
		y = e.op("Add", "biased", nil, y, n.Input(2))
	}
	y = e.op("Transpose", "channels_first", ir.Attrs{"perm": []int64{0, 2, 1}}, y)
	e.into(n.Output(0), "Reshape", nil, y, e.ints("grid_shape", append([]int64{0, p.outputs}, p.grid...)...))
	return e.nodes
}
