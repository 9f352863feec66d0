package canon

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// fusedMatMul expands com.microsoft.FusedMatMul: alpha·A′·B′. transA and transB
// exchange the last two axes; transBatchA and transBatchB take the first axis to
// the place before the last.
func (x *expander) fusedMatMul() error {
	operand := func(i int, name, trans, batch string) (string, error) {
		info, v := x.info(i), x.n.Input(i)
		if x.n.Int(trans, 0) == 0 && x.n.Int(batch, 0) == 0 {
			return v, nil
		}
		if !info.Ranked {
			return "", fmt.Errorf("operand %d of unknown rank", i)
		}
		if info.Rank() < 2 {
			return v, nil
		}
		perm := make([]int64, info.Rank())
		for k := range perm {
			perm[k] = int64(k)
		}
		if x.n.Int(batch, 0) != 0 {
			perm = slices.Insert(slices.Clone(perm[1:]), len(perm)-2, 0)
		}
		if x.n.Int(trans, 0) != 0 {
			r := len(perm)
			perm[r-1], perm[r-2] = perm[r-2], perm[r-1]
		}
		return x.op("Transpose", name, ir.Attrs{"perm": perm}, v), nil
	}
	a, err := operand(0, "a", "transA", "transBatchA")
	if err != nil {
		return err
	}
	b, err := operand(1, "b", "transB", "transBatchB")
	if err != nil {
		return err
	}
	alpha := x.n.Float("alpha", 1)
	if alpha == 1 {
		x.into(x.n.Output(0), "MatMul", nil, a, b)
		return nil
	}
	x.into(x.n.Output(0), "Mul", nil, x.op("MatMul", "product", nil, a, b), x.scalar("alpha", alpha))
	return nil
}

// activations that fused products apply, with the parameters they read.
var activations = map[string][]string{
	"Relu": nil, "Tanh": nil, "Sigmoid": nil, "LeakyRelu": {"alpha"}, "Elu": {"alpha"}, "Softplus": nil, "Softsign": nil,
	"HardSigmoid": {"alpha", "beta"}, "HardSwish": nil,
}

// activate applies the node's activation to v, into the node's result.
func (x *expander) activate(v string, parameters ...float32) error {
	op := x.n.Str("activation", "")
	if op == "" {
		x.into(x.n.Output(0), "Identity", nil, v)
		return nil
	}
	names, known := activations[op]
	if !known {
		return fmt.Errorf("activation %q", op)
	}
	attrs := ir.Attrs{}
	for i, name := range names {
		if i < len(parameters) {
			attrs[name] = parameters[i]
		}
	}
	x.into(x.n.Output(0), op, attrs, v)
	return nil
}

// fusedGemm expands com.microsoft.FusedGemm: activation(Gemm).
func (x *expander) fusedGemm() error {
	attrs := ir.Attrs{}
	for _, name := range []string{"alpha", "beta", "transA", "transB"} {
		if v, ok := x.n.Attrs[name]; ok {
			attrs[name] = v
		}
	}
	y := x.op("Gemm", "product", attrs, x.n.Inputs...)
	return x.activate(y, x.n.Float("activation_alpha", 0.01), x.n.Float("activation_beta", 0))
}

// fusedConv expands com.microsoft.FusedConv: activation(Conv + Z).
func (x *expander) fusedConv() error {
	attrs := ir.Attrs{}
	for _, name := range []string{"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"} {
		if v, ok := x.n.Attrs[name]; ok {
			attrs[name] = v
		}
	}
	y := x.op("Conv", "convolution", attrs, x.n.Inputs[:min(3, len(x.n.Inputs))]...)
	if z := x.n.Input(3); z != "" {
		y = x.op("Add", "sum", nil, y, z)
	}
	parameters, _ := x.n.Attrs["activation_params"].([]float32)
	return x.activate(y, parameters...)
}

// biasSoftmax expands com.microsoft.BiasSoftmax: softmax(x + bias) over the axes
// from "axis" on; the bias is broadcast over inner or outer batch axes.
func (x *expander) biasSoftmax() error {
	info := x.info(0)
	axis := x.n.Int("axis", 1)
	if axis < 0 {
		axis += int64(info.Rank())
	}
	if !info.Ranked || axis != int64(info.Rank())-1 {
		return fmt.Errorf("axis %d of %v", axis, info)
	}
	if b := x.info(1); x.n.Int("is_inner_broadcast", 1) == 0 && (!b.Ranked || b.Rank() != info.Rank()) {
		return fmt.Errorf("a bias %v over %v", b, info)
	}
	x.into(x.n.Output(0), "Softmax", ir.Attrs{"axis": int64(-1)}, x.op("Add", "biased", nil, x.n.Input(0), x.n.Input(1)))
	return nil
}
