package onnxgrad

import (
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// indexRules: operators that read by index. Indices have no gradient.
var indexRules = map[string]Rule{
	"Gather":          {VJP: vjpGather, Lifts: true},
	"Slice":           {VJP: vjpSlice, Lifts: true},
	"GatherElements":  {VJP: vjpGatherElements},
	"GatherND":        {VJP: vjpGatherND},
	"ScatterElements": {VJP: vjpScatterElements},
	"ScatterND":       {VJP: vjpScatterND},
	"TopK":            {VJP: vjpTopK},
	"OneHot":          {VJP: vjpOneHot},
	"Range":           {VJP: vjpRange},
}

// Gather along an axis:  g added into zeros at the indices. One constant index
// (the first token of BERT's pooler) is a padding.
func vjpGather(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	data, idx := v.X(0), v.X(1)
	axis := v.Axis(v.Node.Int("axis", 0), v.Rank(data))
	shape := v.WithLead(v.Shape(data))
	if i, ok := v.constInts(1); ok && len(i) == 1 {
		g := v.Reshape(v.GY(0), slices.Concat(shape[:axis], []sym.Dim{sym.Const(1)}, shape[axis+1:]))
		v.Set(0, v.padAxis(g, axis, shape[axis], i[0]))
		return nil
	}
	v.Set(0, v.scatterAdd(v.GY(0), idx, shape, axis))
	return nil
}

// padAxis places g, of extent 1 along axis, at index i of an axis of extent n.
func (b *Builder) padAxis(g string, axis int, n sym.Dim, i int64) string {
	before, after := sym.Const(i), sym.Sub(n, sym.Const(i+1))
	if i < 0 { // counted from the end
		before, after = sym.Add(n, sym.Const(i)), sym.Const(-i-1)
	}
	rank := b.Rank(g)
	pads := make([]sym.Dim, 2*rank)
	pads[axis], pads[rank+axis] = before, after
	return b.padTo(g, pads, axis, n)
}

// scatterAdd returns zeros of the shape into which g, the gradient of a Gather
// along axis, is added at the indices. ScatterND takes a twentieth of the time
// of ScatterElements, but indexes the first axis: others are brought there.
func (b *Builder) scatterAdd(g, idx string, shape []sym.Dim, axis int) string {
	idxRank := b.Rank(idx)
	front := append(seq(axis, axis+idxRank), append(seq(0, axis), seq(axis+idxRank, b.Rank(g))...)...)
	moved := b.Transpose(g, front...)
	target := slices.Concat(shape[axis:axis+1], shape[:axis], shape[axis+1:])
	at := b.Unsqueeze(b.Cast(idx, ir.Int64), idxRank)
	sum := b.Op("ScatterND", ir.Attrs{"reduction": "add"}, b.Zeros(target), at, moved)
	back := append(seq(1, axis+1), append([]int{0}, seq(axis+1, len(shape))...)...)
	return b.Transpose(sum, back...)
}

// Slice:  g padded with zeros to x's extents where the step is 1 and the bounds
// are known; otherwise g added into zeros at the positions the slice read.
func vjpSlice(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	x := v.X(0)
	rank := v.Rank(x)
	starts, steps, axes, err := v.sliceParameters(rank)
	if err != nil {
		return err
	}
	g := v.GY(0)
	shape := v.WithLead(v.Shape(x))
	for i, a := range axes {
		k := a + v.Lead
		if v.wholeAxis(i, a) {
			continue
		}
		have := v.Shape(g)
		if starts[i] != nil && steps[i] == 1 {
			pads := make([]sym.Dim, 2*len(have))
			pads[k] = *starts[i]
			pads[len(have)+k] = sym.Sub(sym.Sub(shape[k], *starts[i]), have[k])
			g = v.padTo(g, pads, k, shape[k])
			continue
		}
		partial := slices.Clone(have)
		partial[k] = shape[k]
		g = v.scatterAdd(g, v.slicedPositions(i, shape[k]), partial, k)
	}
	v.Set(0, v.Reshape(g, shape))
	return nil
}

func (b *Builder) padTo(g string, pads []sym.Dim, axis int, extent sym.Dim) string {
	shape := slices.Clone(b.Shape(g))
	shape[axis] = extent
	out := b.Op("Pad", nil, g, b.Extents(pads))
	b.setShape(out, shape)
	return out
}

// sliceParameters reads axes and, where they are known and not negative,
// starts; a nil start is found at run time.
func (v *VJP) sliceParameters(rank int) (starts []*sym.Dim, steps []int64, axes []int, err error) {
	begin := v.Values.Of(v.X(1))
	if begin.Content == nil && (!begin.Ranked || len(begin.Shape) != 1) {
		return nil, nil, nil, fmt.Errorf("its starts are of unknown length")
	}
	n, ok := int64(len(begin.Content)), begin.Content != nil
	if !ok {
		if n, ok = begin.Shape[0].Const(); !ok {
			return nil, nil, nil, fmt.Errorf("its starts are of unknown length")
		}
	}
	list := make([]int64, n)
	steps = make([]int64, n)
	for i := range list {
		list[i], steps[i] = int64(i), 1
	}
	if v.X(3) != "" {
		if list, ok = v.constInts(3); !ok {
			return nil, nil, nil, fmt.Errorf("its axes are computed at run time")
		}
	}
	if v.X(4) != "" {
		if steps, ok = v.constInts(4); !ok {
			return nil, nil, nil, fmt.Errorf("its steps are computed at run time")
		}
	}
	starts = make([]*sym.Dim, n)
	for i, a := range list {
		axes = append(axes, int((a+int64(rank))%int64(rank)))
		if begin.Content == nil {
			continue
		}
		if c, isConst := begin.Content[i].Const(); isConst && c >= 0 && c < math.MaxInt32 {
			starts[i] = &begin.Content[i]
		}
	}
	return starts, steps, axes, nil
}

// wholeAxis reports that the i-th slice takes all of axis a.
func (v *VJP) wholeAxis(i, a int) bool {
	starts := v.Values.Of(v.X(1)).Content
	steps, ok := v.constInts(4)
	return sym.Equal(v.Shape(v.X(0))[a], v.Shape(v.Y(0))[a]) && starts != nil && starts[i].Is(0) && (v.X(4) == "" || ok && steps[i] == 1)
}

// slicedPositions applies the i-th slice to the positions 0, …, n−1.
func (v *VJP) slicedPositions(i int, n sym.Dim) string {
	positions := v.positions(n)
	one := func(operand int) string {
		return v.Cast(v.Op("Slice", nil, v.X(operand), v.Ints(int64(i)), v.Ints(int64(i+1)), v.Ints(0)), ir.Int64)
	}
	args := []string{positions, one(1), one(2), v.Ints(0)}
	if v.X(4) != "" {
		args = append(args, one(4))
	}
	return v.Op("Slice", nil, args...)
}
