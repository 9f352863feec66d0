package onnxgrad

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// structureRules: operators that move numbers without computing.
var structureRules = map[string]func(*VJP) error{
	"Reshape": vjpReshape, "Flatten": vjpReshape, "Squeeze": vjpReshape, "Unsqueeze": vjpReshape,
	"Transpose": vjpTranspose, "Expand": vjpExpand, "Concat": vjpConcat, "Split": vjpSplit,
	"Trilu": vjpTrilu, "CumSum": vjpCumSum, "Pad": vjpPad,
}

// Reshape, Flatten, Squeeze, Unsqueeze:  g in x's shape
func vjpReshape(v *VJP) error {
	if v.Want(0) {
		v.Set(0, v.Reshape(v.GY(0), v.WithLead(v.Shape(v.X(0)))))
	}
	return nil
}

// Transpose by p:  g transposed by p⁻¹
func vjpTranspose(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	perm, err := infer.Perm(v.Node, v.Rank(v.X(0)))
	if err != nil {
		return err
	}
	inverse := make([]int, len(perm)+v.Lead)
	for i, p := range perm {
		inverse[p+v.Lead] = i + v.Lead
	}
	v.Set(0, v.Transpose(v.GY(0), inverse...))
	return nil
}

// Expand:  g summed over the repeated axes
func vjpExpand(v *VJP) error {
	if v.Want(0) {
		v.SetBroadcast(0, v.GY(0))
	}
	return nil
}

// Concat:  g split at the operands' extents
func vjpConcat(v *VJP) error {
	axis := v.Axis(v.Node.Int("axis", 0), v.Rank(v.Y(0)))
	if len(v.Node.Inputs) == 1 {
		v.Set(0, v.GY(0))
		return nil
	}
	sizes := make([]sym.Dim, len(v.Node.Inputs))
	for i := range sizes {
		sizes[i] = v.Shape(v.X(i))[axis-v.Lead]
	}
	parts := v.Ops("Split", len(sizes), ir.Attrs{"axis": int64(axis)}, v.GY(0), v.Extents(sizes))
	for i := range sizes {
		if v.Want(i) {
			v.Set(i, parts[i])
		}
	}
	return nil
}

// Split:  the parts' gradients joined
func vjpSplit(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	axis := v.Axis(v.Node.Int("axis", 0), v.Rank(v.X(0)))
	parts := make([]string, len(v.Node.Outputs))
	for i := range parts {
		if v.Y(i) == "" {
			return fmt.Errorf("output %d of Split has no name", i)
		}
		parts[i] = v.GY(i)
	}
	v.Set(0, v.Op("Concat", ir.Attrs{"axis": int64(axis)}, parts...))
	return nil
}

// Trilu keeps a triangle of x:  the same triangle of g
func vjpTrilu(v *VJP) error {
	if v.Want(0) {
		args := []string{v.GY(0)}
		if v.X(1) != "" {
			args = append(args, v.X(1))
		}
		v.Set(0, v.Op("Trilu", ir.Attrs{"upper": v.Node.Int("upper", 1)}, args...))
	}
	return nil
}

// CumSum:  CumSum of g from the other end
func vjpCumSum(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	axis, ok := v.constInts(1)
	if !ok || len(axis) != 1 {
		return fmt.Errorf("its axis is computed at run time")
	}
	k := v.Axis(axis[0], v.Rank(v.X(0)))
	attrs := ir.Attrs{"reverse": 1 - v.Node.Int("reverse", 0), "exclusive": v.Node.Int("exclusive", 0)}
	v.Set(0, v.Op("CumSum", attrs, v.GY(0), v.Int(int64(k))))
	return nil
}

// Pad by constants:  g without the padding
func vjpPad(v *VJP) error {
	if v.Want(2) {
		return fmt.Errorf("the padding value depends on a trained parameter")
	}
	pads, ok := v.constInts(1)
	rank := v.Rank(v.X(0))
	if mode := v.Node.Str("mode", "constant"); mode != "constant" || !ok || len(pads) != 2*rank || v.X(3) != "" {
		return fmt.Errorf("padding in mode %q, or with computed or partial pads, has no gradient rule", v.Node.Str("mode", "constant"))
	}
	back := make([]int64, 2*(rank+v.Lead))
	for i := range rank {
		back[v.Lead+i] = -pads[i]
		back[rank+v.Lead+v.Lead+i] = -pads[rank+i]
	}
	v.Set(0, v.Op("Pad", nil, v.GY(0), v.Ints(back...)))
	return nil
}
