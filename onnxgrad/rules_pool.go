package onnxgrad

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// AveragePool, y = Σ x/n over each window, n as the attributes count it:  g/n
// added to the window's cells. The pool of ones is (cells)/n, and a convolution
// of ones counts the cells, so that 1/n is their quotient.
func vjpAveragePool(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	kernel, ok := v.Node.Ints("kernel_shape")
	if !ok {
		return fmt.Errorf("it has no kernel_shape")
	}
	x, g := v.Shape(v.X(0)), v.GY(0)
	w := v.newWindow(kernel, x[2:], v.Shape(v.Y(0))[2:])
	if err := v.samePads(w); err != nil {
		return err
	}
	one := []sym.Dim{sym.Const(1), sym.Const(1)}
	box := slices.Clone(one)
	for _, k := range kernel {
		box = append(box, sym.Const(k))
	}
	weights, cells := v.ones(box...), v.ones(slices.Concat(one, x[2:])...)
	part := v.Op("AveragePool", maps.Clone(v.Node.Attrs), cells)
	v.setShape(part, slices.Concat(one, w.many))
	count := v.Op("Max", nil, w.gather(v.Builder, cells, weights, 1), v.Scalar(1))
	share := v.Mul(g, v.Div(part, count))
	// Channels are treated as records: the box is the same for all.
	flat := v.Reshape(share, slices.Concat([]sym.Dim{sym.Mul(x[0], x[1]), sym.Const(1)}, w.many))
	v.Set(0, v.Reshape(w.scatter(v.Builder, flat, weights, 1), x))
	return nil
}

// MaxPool:  g added at the cell that was the largest, which the operator names
// by its place in all of x. At a tie this is the gradient of one side.
func vjpMaxPool(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	n := v.Node
	if n.Int("storage_order", 0) != 0 {
		return fmt.Errorf("storage_order %d", n.Int("storage_order", 0))
	}
	if n.Output(1) == "" {
		n.Outputs = append(n.Outputs[:1], v.fresh("indices"))
		v.Values.Set(n.Outputs[1], infer.Info{DType: ir.Int64, Ranked: true, Shape: v.Shape(n.Output(0))})
		v.producer[n.Outputs[1]] = n
	}
	all, x := sym.Product(v.Shape(v.Y(0))...), v.Shape(v.X(0))
	at := v.Reshape(n.Output(1), []sym.Dim{all, sym.Const(1)})
	sum := v.addTuples(v.Zeros([]sym.Dim{sym.Product(x...)}), at, v.Reshape(v.GY(0), []sym.Dim{all}))
	v.Set(0, v.Reshape(sum, x))
	return nil
}

// y = Σ x/n over all places of a channel:  g/n, repeated
func vjpGlobalAveragePool(v *VJP) error {
	if v.Want(0) {
		v.SetRepeated(0, v.divideByCount(v.GY(0), seq(2, v.Rank(v.X(0)))))
	}
	return nil
}

// y = max x over all places of a channel:  g shared equally among those that
// attain it
func vjpGlobalMaxPool(v *VJP) error {
	if v.Want(0) {
		v.Set(0, shareTies(v, v.GY(0), v.Y(0), seq(2, v.Rank(v.X(0)))))
	}
	return nil
}
