package canon

import (
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// linearizeConvolutions turns convolutions by parameters into products, so that
// their weights have the exact norms of linear layers.
func linearizeConvolutions(c *Graph) error {
	return c.rewrite(func(n *ir.Node) bool { return n.Is("Conv") }, func(n *ir.Node, values *infer.Values) ([]*ir.Node, error) {
		x := values.Of(n.Input(0))
		if p, ok := patchOf(n, c, x); ok {
			return p.nodes(c, n), nil
		}
		if u, ok := unfoldingOf(n, c.kernelDims(n, values), x); ok {
			return u.nodes(c, n), nil
		}
		return []*ir.Node{n}, nil
	})
}

// An unfolding is any other convolution as a product with the cells that its
// windows see, each window's copied out:
//
//	[B,C,H,W] → [B,C,h,w,kh,kw] → [B,h,w,C·kh·kw] · Wᵀ + b → [B,O,h,w]
//
// and with g groups [B,g,h,w,C/g·kh·kw] · [g,1,C/g·kh·kw,O/g].
type unfolding struct {
	outputs, perGroup, groups        int64
	kernel, strides, dilations, pads []int64
	channelsKnown                    bool
}

// kernelDims returns the shape of a convolution's weights: a parameter, or what is
// computed of parameters (wav2vec 2.0 normalises its weights in the graph). It is
// nil for a constant and for a shape that is not known.
func (c *Graph) kernelDims(n *ir.Node, values *infer.Values) []int64 {
	if !n.Is("Conv") || c.Lifted[n.Input(1)] {
		return nil
	}
	w := values.Of(n.Input(1))
	dims, known := infer.Info{Content: w.Shape}.Ints()
	if !known || !w.Ranked || !w.DType.IsFloat() {
		return nil
	}
	return dims
}

// unfoldingOf reads a convolution by weights of the given shape. What is left as
// it is has no per-example gradient and is refused later, by name.
func unfoldingOf(n *ir.Node, w []int64, x infer.Info) (*unfolding, bool) {
	if len(w) < 3 || x.Ranked && x.Rank() != len(w) {
		return nil, false
	}
	u := &unfolding{outputs: w[0], perGroup: w[1], groups: n.Int("group", 1), kernel: w[2:]}
	spatial := len(u.kernel)
	if x.Ranked {
		_, u.channelsKnown = x.Shape[1].Const()
	}
	u.strides, u.dilations = orOnes(n, "strides", spatial), orOnes(n, "dilations", spatial)
	pads, ok := u.padding(n, x)
	u.pads = pads
	for _, k := range u.kernel {
		ok = ok && k > 0
	}
	sound := ok && u.groups > 0 && u.outputs%u.groups == 0 && len(u.strides) == spatial && len(u.dilations) == spatial && len(u.pads) == 2*spatial
	return u, sound
}

func orOnes(n *ir.Node, attr string, count int) []int64 {
	if v, ok := n.Ints(attr); ok {
		return v
	}
	ones := make([]int64, count)
	for i := range ones {
		ones[i] = 1
	}
	return ones
}

// padding returns the explicit pads, begin of every axis and then end. SAME_UPPER
// and SAME_LOWER pad to ⌈extent/stride⌉ positions, which without stride takes
// (k−1)·dilation cells whatever the extent is.
func (u *unfolding) padding(n *ir.Node, x infer.Info) ([]int64, bool) {
	spatial := len(u.kernel)
	pads := make([]int64, 2*spatial)
	auto := n.Str("auto_pad", "NOTSET")
	switch auto {
	case "NOTSET":
		if given, ok := n.Ints("pads"); ok {
			return given, true
		}
		return pads, true
	case "VALID":
		return pads, true
	}
	for i, k := range u.kernel {
		total := (k - 1) * u.dilations[i]
		if s := u.strides[i]; s != 1 {
			if !x.Ranked {
				return nil, false
			}
			extent, known := x.Shape[2+i].Const()
			if !known {
				return nil, false
			}
			total = max(0, ((extent+s-1)/s-1)*s+total+1-extent)
		}
		pads[i], pads[spatial+i] = total/2, total-total/2
		if auto == "SAME_LOWER" {
			pads[i], pads[spatial+i] = pads[spatial+i], pads[i]
		}
	}
	return pads, true
}

// nodes emits the replacement of n.
func (u *unfolding) nodes(c *Graph, n *ir.Node) []*ir.Node {
	e := &emitter{graph: c, from: n}
	spatial := len(u.kernel)
	x := u.padded(e, u.stated(e, n.Input(0)))
	for i := range u.kernel {
		x = u.windows(e, x, i)
	}
	width, front := u.perGroup, []int64{0} // front: batch and places
	for i, k := range u.kernel {
		width *= k
		front = append(front, int64(2+i))
	}
	perm := append(front, 1)
	for i := range u.kernel {
		perm = append(perm, int64(2+spatial+i))
	}
	x = e.op("Transpose", "windows", ir.Attrs{"perm": perm}, x)
	copied := make([]int64, spatial+1) // zeros: batch and places stay
	y := ""
	if u.groups == 1 {
		x = e.op("Reshape", "rows", nil, x, e.ints("rows_shape", append(copied, width)...))
		w := e.op("Reshape", "matrix", nil, n.Input(1), e.ints("matrix_shape", u.outputs, width))
		y = e.op("MatMul", "product", nil, x, e.op("Transpose", "matrix_t", ir.Attrs{"perm": []int64{1, 0}}, w))
	} else {
		y = u.grouped(e, x, n.Input(1), width)
	}
	if n.Input(2) != "" {
		y = e.op("Add", "biased", nil, y, n.Input(2))
	}
	back := []int64{0, int64(spatial + 1)}
	for i := range u.kernel {
		back = append(back, int64(1+i))
	}
	e.into(n.Output(0), "Transpose", ir.Attrs{"perm": back}, y)
	return e.nodes
}

// stated gives x the number of channels that the weights ask for: some files
// leave it open.
func (u *unfolding) stated(e *emitter, x string) string {
	if u.channelsKnown {
		return x
	}
	shape := make([]int64, len(u.kernel)+2)
	shape[1] = u.perGroup * u.groups
	return e.op("Reshape", "channels", nil, x, e.ints("channels_shape", shape...))
}

// padded surrounds x with zeros.
func (u *unfolding) padded(e *emitter, x string) string {
	spatial := len(u.kernel)
	pads, any := make([]int64, 2*(spatial+2)), false
	for i := range u.kernel {
		pads[2+i], pads[spatial+4+i] = u.pads[i], u.pads[spatial+i]
		any = any || u.pads[i] != 0 || u.pads[spatial+i] != 0
	}
	if !any {
		return x
	}
	return e.op("Pad", "padded", nil, x, e.ints("pads", pads...))
}

// windows adds a last axis with the k cells that each position of spatial axis i
// sees: cell j of position p is p·stride + j·dilation. The slice for j ends
// (k−1−j)·dilation before the end, so that all have equally many positions on any
// extent.
func (u *unfolding) windows(e *emitter, x string, i int) string {
	k, s, d, axis := u.kernel[i], u.strides[i], u.dilations[i], int64(2+i)
	last := e.ints("cell_axis", -1)
	cells := make([]string, k)
	for j := range k {
		cell, end := x, -(k-1-j)*d
		if end == 0 {
			end = math.MaxInt64
		}
		if k > 1 || s > 1 {
			cell = e.op("Slice", "cell", nil, x, e.ints("from", j*d), e.ints("to", end), e.ints("axis", axis), e.ints("by", s))
		}
		cells[j] = e.op("Unsqueeze", "cell_column", nil, cell, last)
	}
	if k == 1 {
		return cells[0]
	}
	return e.op("Concat", "cells", ir.Attrs{"axis": int64(-1)}, cells...)
}

// grouped multiplies each group's cells with its own matrix; x is
// [B,places,C,kernel].
func (u *unfolding) grouped(e *emitter, x, weights string, width int64) string {
	spatial := len(u.kernel)
	copied := make([]int64, spatial+1)
	x = e.op("Reshape", "groups", nil, x, e.ints("groups_shape", append(copied, u.groups, width)...))
	perm, shape := []int64{0, int64(spatial + 1)}, []int64{u.groups} // group to the front, behind the batch
	back := []int64{0}
	for i := range u.kernel {
		perm, back, shape = append(perm, int64(1+i)), append(back, int64(2+i)), append(shape, 1)
	}
	x = e.op("Transpose", "by_group", ir.Attrs{"perm": append(perm, int64(spatial+2))}, x)
	shape = shape[:spatial] // one axis fewer: the places' last is the rows of the product
	w := e.op("Reshape", "matrices", nil, weights, e.ints("matrices_shape", append(shape, u.outputs/u.groups, width)...))
	swap := make([]int64, spatial+2)
	for i := range swap {
		swap[i] = int64(i)
	}
	swap[spatial], swap[spatial+1] = swap[spatial+1], swap[spatial]
	w = e.op("Transpose", "matrices_t", ir.Attrs{"perm": swap}, w)
	y := e.op("MatMul", "product", nil, x, w)
	y = e.op("Transpose", "places_first", ir.Attrs{"perm": append(back, 1, int64(spatial+2))}, y)
	return e.op("Reshape", "outputs", nil, y, e.ints("outputs_shape", append(copied, u.outputs)...))
}
