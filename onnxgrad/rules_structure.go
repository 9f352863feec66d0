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
	"Trilu": vjpTrilu, "CumSum": vjpCumSum, "Pad": vjpPad, "Tile": vjpTile,
	"DepthToSpace": vjpDepthToSpace, "SpaceToDepth": vjpSpaceToDepth, "Dropout": vjpDropout,
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

// Tile:  g split into the copies, which are summed
func vjpTile(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	shape, repeats := v.Shape(v.X(0)), v.Values.Of(v.X(1)).Content
	if len(repeats) != len(shape) {
		return fmt.Errorf("its repeats are computed at run time")
	}
	split, copies := v.WithLead(shape)[:v.Lead:v.Lead], []int{}
	for i, d := range shape {
		if repeats[i].Is(1) {
			split = append(split, d)
			continue
		}
		copies = append(copies, len(split))
		split = append(split, repeats[i], d)
	}
	v.Set(0, v.ReduceSum(v.Reshape(v.GY(0), split), false, copies...))
	return nil
}

// DepthToSpace moves blocks of channels, [b,b,C] (or, in mode CRD, [C,b,b]), to
// blocks of places:  g's blocks of places moved back
func vjpDepthToSpace(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	n, c, h, w, err := v.image(v.Y(0))
	if err != nil {
		return err
	}
	b := sym.Const(v.Node.Int("blocksize", 1))
	perm := []int{0, 3, 5, 1, 2, 4} // [N,C,h,b,w,b] → [N,b,b,C,h,w]
	if v.Node.Str("mode", "DCR") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4} // → [N,C,b,b,h,w]
	}
	blocks := v.Reshape(v.GY(0), []sym.Dim{n, c, sym.FloorDiv(h, b), b, sym.FloorDiv(w, b), b})
	v.Set(0, v.Reshape(v.Transpose(blocks, perm...), v.Shape(v.X(0))))
	return nil
}

// SpaceToDepth moves blocks of places to blocks [b,b,C] of channels:  g's
// channels moved back
func vjpSpaceToDepth(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	n, c, h, w, err := v.image(v.X(0))
	if err != nil {
		return err
	}
	b := sym.Const(v.Node.Int("blocksize", 1))
	blocks := v.Reshape(v.GY(0), []sym.Dim{n, b, b, c, sym.FloorDiv(h, b), sym.FloorDiv(w, b)})
	v.Set(0, v.Reshape(v.Transpose(blocks, 0, 3, 4, 1, 5, 2), v.Shape(v.X(0))))
	return nil
}

// image returns the extents of a batch of images.
func (v *VJP) image(x string) (n, c, h, w sym.Dim, err error) {
	s := v.Shape(x)
	if len(s) != 4 || v.Lead > 0 {
		return n, c, h, w, fmt.Errorf("its operand has rank %d; only one batch of images, rank 4, has a gradient rule", len(s))
	}
	return s[0], s[1], s[2], s[3], nil
}

// Dropout in evaluation mode passes x on:  g
func vjpDropout(v *VJP) error {
	if mode, ok := v.constInts(2); v.X(2) != "" && (!ok || len(mode) != 1 || mode[0] != 0) {
		return fmt.Errorf("it is in training mode, or decides at run time; export the model in evaluation mode")
	}
	if v.Want(0) {
		v.Set(0, v.GY(0))
	}
	return nil
}
