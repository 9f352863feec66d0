package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// GatherElements:  g added into zeros at the same indices
func vjpGatherElements(v *VJP) error {
	if v.Want(0) {
		v.Set(0, v.addElements(v.X(1), v.GY(0), v.Node.Int("axis", 0)))
	}
	return nil
}

// TopK:  the values' g added into zeros at the indices that were chosen. Which
// ones are chosen has no gradient: at a tie this is the gradient of one side.
func vjpTopK(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	v.Set(0, v.addElements(v.Y(1), v.GY(0), v.Node.Int("axis", -1)))
	return nil
}

// addElements adds g into zeros of operand 0's shape, element by element.
func (v *VJP) addElements(idx, g string, axis int64) string {
	return v.Op("ScatterElements", ir.Attrs{"axis": axis, "reduction": "add"}, v.Zeros(v.Shape(v.X(0))), idx, g)
}

// GatherND:  g added into zeros at the same index tuples
func vjpGatherND(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	data, idx, g := v.Shape(v.X(0)), v.X(1), v.GY(0)
	b := int(v.Node.Int("batch_dims", 0))
	if b == 0 {
		v.Set(0, v.addTuples(v.Zeros(data), idx, g))
		return nil
	}
	// Joined into one, the leading axes become a first index of their own:
	// [P, Q, k] tuples get the row's number in front, [P, Q, k+1].
	s := v.Shape(idx)
	rows, each, k := sym.Product(s[:b]...), sym.Product(s[b:len(s)-1]...), s[len(s)-1]
	row := v.Expand(v.Reshape(v.positions(rows), []sym.Dim{rows, sym.Const(1), sym.Const(1)}), []sym.Dim{rows, each, sym.Const(1)})
	tuples := v.Op("Concat", ir.Attrs{"axis": int64(-1)}, row, v.Reshape(v.Cast(idx, ir.Int64), []sym.Dim{rows, each, k}))
	flat := v.Reshape(g, slices.Concat([]sym.Dim{rows, each}, v.Shape(g)[len(s)-1:]))
	zeros := v.Zeros(slices.Concat([]sym.Dim{rows}, data[b:]))
	v.Set(0, v.Reshape(v.addTuples(zeros, tuples, flat), data))
	return nil
}

func (b *Builder) addTuples(to, idx, g string) string {
	return b.Op("ScatterND", ir.Attrs{"reduction": "add"}, to, idx, g)
}

// ScatterElements, y = x with u written or added at indices:
//
//	written: x: g, 0 at the indices    added: x: g    both: u: g at the indices
//
// ONNX forbids an index that is written twice.
func vjpScatterElements(v *VJP) error {
	write, err := v.writes()
	if err != nil {
		return err
	}
	attrs := ir.Attrs{"axis": v.Node.Int("axis", 0)}
	idx, g := v.X(1), v.GY(0)
	if v.Want(0) && write {
		v.Set(0, v.Op("ScatterElements", attrs, g, idx, v.Zeros(v.Shape(v.X(2)))))
	} else if v.Want(0) {
		v.Set(0, g)
	}
	if v.Want(2) {
		v.Set(2, v.Op("GatherElements", attrs, g, idx))
	}
	return nil
}

// ScatterND, y = x with u written or added at index tuples: as ScatterElements.
func vjpScatterND(v *VJP) error {
	write, err := v.writes()
	if err != nil {
		return err
	}
	idx, g := v.X(1), v.GY(0)
	if v.Want(0) && write {
		v.Set(0, v.Op("ScatterND", nil, g, idx, v.Zeros(v.Shape(v.X(2)))))
	} else if v.Want(0) {
		v.Set(0, g)
	}
	if v.Want(2) {
		v.Set(2, v.Op("GatherND", nil, g, v.Cast(idx, ir.Int64)))
	}
	return nil
}

// writes tells writing from adding and refuses other reductions.
func (v *VJP) writes() (bool, error) {
	switch r := v.Node.Str("reduction", "none"); r {
	case "none", "add":
		return r == "none", nil
	default:
		return false, fmt.Errorf("reduction %q has no gradient rule; those with one are none and add", r)
	}
}

// OneHot, y = on where the index points, else off:  on: Σg there, off: Σg
// elsewhere
func vjpOneHot(v *VJP) error {
	if !v.Want(2) {
		return nil
	}
	attrs := ir.Attrs{"axis": v.Node.Int("axis", -1)}
	at := func(off, on int64) string {
		return v.Op("OneHot", attrs, v.X(0), v.X(1), v.Cast(v.Ints(off, on), ir.Float32))
	}
	g, all := v.GY(0), seq(0, v.Rank(v.Y(0)))
	sum := func(mask string) string {
		return v.Reshape(v.ReduceSum(v.Mul(g, mask), true, all...), []sym.Dim{sym.Const(1)})
	}
	v.Set(2, v.Op("Concat", ir.Attrs{"axis": int64(0)}, sum(at(1, 0)), sum(at(0, 1))))
	return nil
}

// Range, y = start + i·delta:  start: Σg    delta: Σ i·g. The limit only decides
// how many there are.
func vjpRange(v *VJP) error {
	g := v.GY(0)
	if v.Want(0) {
		v.Set(0, v.Reshape(v.ReduceSum(g, false, 0), v.Shape(v.X(0))))
	}
	if v.Want(2) {
		i := v.Cast(v.positions(v.Shape(v.Y(0))[0]), ir.Float32)
		v.Set(2, v.Reshape(v.ReduceSum(v.Mul(g, i), false, 0), v.Shape(v.X(2))))
	}
	if v.Want(1) {
		v.Set(1, v.Zeros(v.Shape(v.X(1))))
	}
	return nil
}
