package onnxgrad

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// quantisedRules: operators on weights that are stored as integers. The weights
// are constants; a gradient passes to the activations beside them.
var quantisedRules = map[string]func(*VJP) error{
	"DequantizeLinear":                   vjpDequantize,
	"com.microsoft.DequantizeLinear":     vjpDequantize,
	"com.microsoft.GatherBlockQuantized": vjpGatherQuantised,
	"com.microsoft.MatMulNBits":          vjpMatMulNBits,
}

// DequantizeLinear of a constant is a constant. Neither a quantised activation
// nor a trained scale has a gradient.
func vjpDequantize(v *VJP) error {
	return fmt.Errorf("its operands depend on a trained parameter; quantised values and their scales have no gradient: export the model in floating point")
}

// GatherBlockQuantized looks rows up in a constant table:  no gradient
func vjpGatherQuantised(v *VJP) error {
	if v.Want(2) {
		return fmt.Errorf("the scales of a quantised table can't be trained")
	}
	return nil
}

// Y = X·W + b with a packed W [K,N]:  X: g·Wᵀ    b: g
//
// The runtime has no product with the transpose of packed weights. It unpacks
// them itself: the product of the unit matrix and W is W, to the last bit in
// single precision, whatever the packing is. Weights are constants, so that the
// runtime computes it once, when it loads the graph.
func vjpMatMulNBits(v *VJP) error {
	if v.Want(2) {
		return fmt.Errorf("the scales of quantised weights can't be trained")
	}
	if v.Want(0) {
		k, n := v.Node.Int("K", 0), v.Node.Int("N", 0)
		in := slices.Clone(v.Node.Inputs)
		in[0] = v.unitMatrix(sym.Const(k))
		if len(in) > 5 {
			in[5] = "" // the bias
		}
		attrs := maps.Clone(v.Node.Attrs)
		attrs["accuracy_level"] = int64(1) // single precision
		w := v.Ops("com.microsoft.MatMulNBits", 1, attrs, in...)[0]
		v.setShape(w, []sym.Dim{sym.Const(k), sym.Const(n)})
		v.SetBroadcast(0, v.MatMul(v.GY(0), v.SwapLast(w)))
	}
	if v.Want(5) {
		v.SetBroadcast(5, v.GY(0))
	}
	return nil
}
