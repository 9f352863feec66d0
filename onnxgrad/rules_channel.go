package onnxgrad

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// channelRules: normalisations whose scale and shift go by channel, axis 1, and
// those that have none.
var channelRules = map[string]func(*VJP) error{
	"BatchNormalization": vjpBatchNorm, "InstanceNormalization": vjpInstanceNorm, "GroupNormalization": vjpGroupNorm,
	"MeanVarianceNormalization": vjpMeanVariance, "LpNormalization": vjpLpNorm,
}

// y = x̂·γ + β, x̂ = (x − μ)·r, r = 1/√(σ² + ε), with statistics μ and σ² that
// were fixed in training:
//
//	x: g·γ·r    γ: g·x̂    β: g    μ: −g·γ·r    σ²: −½·g·γ·x̂·r²
func vjpBatchNorm(v *VJP) error {
	if v.Node.Int("training_mode", 0) != 0 || len(v.Node.Outputs) > 1 {
		return fmt.Errorf("it is in training mode, in which records mix; export the model in evaluation mode")
	}
	rank, g := v.Rank(v.X(0)), v.GY(0)
	r := v.overRoot(v.Scalar(1), v.Add(v.byChannel(v.X(4), rank), v.Scalar(v.Node.Float("epsilon", 1e-5))))
	hat := v.Mul(v.Sub(v.X(0), v.byChannel(v.X(3), rank)), r)
	d := v.Mul(g, v.Mul(v.byChannel(v.X(1), rank), r))
	if v.Want(0) {
		v.Set(0, d)
	}
	if v.Want(1) {
		v.SetChannel(1, v.Mul(g, hat))
	}
	if v.Want(2) {
		v.SetChannel(2, g)
	}
	if v.Want(3) {
		v.SetChannel(3, v.Op("Neg", nil, d))
	}
	if v.Want(4) {
		v.SetChannel(4, v.Scale(v.Mul(d, v.Mul(hat, r)), -0.5))
	}
	return nil
}

// byChannel makes a vector over the channels align with axis 1.
func (b *Builder) byChannel(p string, rank int) string {
	shape := []sym.Dim{b.Shape(p)[0]}
	for range rank - 2 {
		shape = append(shape, sym.Const(1))
	}
	return b.Reshape(p, shape)
}

// y = x̂·γ + β, x̂ normalised over the places of each channel:  see standardise
func vjpInstanceNorm(v *VJP) error {
	rank := v.Rank(v.X(0))
	return v.affine(v.X(0), v.GY(0), seq(2, rank), rank)
}

// y = x̂·γ + β, x̂ normalised over the places and channels of each group:  see
// standardise. Before opset 21 γ and β go by group, from then on by channel.
func vjpGroupNorm(v *VJP) error {
	groups := v.Node.Int("num_groups", 1)
	s := v.Shape(v.X(0))
	perGroup := sym.FloorDiv(s[1], sym.Const(groups))
	view := []sym.Dim{s[0], sym.Const(groups), sym.Mul(perGroup, sym.Product(s[2:]...))}
	x, g := v.Reshape(v.X(0), view), v.Reshape(v.GY(0), view)
	if v.Graph.Opset[""] < 21 {
		return v.affine(x, g, []int{2}, 3)
	}
	hat, r := v.standard(x, []int{2})
	if v.Want(0) {
		scaled := v.Reshape(v.Mul(v.GY(0), v.byChannel(v.X(1), len(s))), view)
		v.Set(0, v.Reshape(v.standardGradient(scaled, hat, r, []int{2}), s))
	}
	if v.Want(1) {
		v.SetChannel(1, v.Mul(v.GY(0), v.Reshape(hat, s)))
	}
	if v.Want(2) {
		v.SetChannel(2, v.GY(0))
	}
	return nil
}

// affine sets the gradients of y = x̂·γ + β where γ and β go by axis 1 of x, a
// view of operand 0 of the given rank.
func (v *VJP) affine(x, g string, axes []int, rank int) error {
	hat, r := v.standard(x, axes)
	if v.Want(0) {
		d := v.standardGradient(v.Mul(g, v.byChannel(v.X(1), rank)), hat, r, axes)
		v.Set(0, v.Reshape(d, v.Shape(v.X(0))))
	}
	if v.Want(1) {
		v.SetChannel(1, v.Mul(g, hat))
	}
	if v.Want(2) {
		v.SetChannel(2, g)
	}
	return nil
}

// standard is x̂ = (x − mean x)·r with r = 1/√(mean (x − mean x)² + ε).
func (v *VJP) standard(x string, axes []int) (hat, r string) {
	centred := v.Sub(x, v.ReduceMean(x, true, axes...))
	variance := v.ReduceMean(v.square(centred), true, axes...)
	r = v.overRoot(v.Scalar(1), v.Add(variance, v.Scalar(v.Node.Float("epsilon", 1e-5))))
	return v.Mul(centred, r), r
}

// standardGradient carries ĝ, the gradient of x̂, to x:  r·(ĝ − mean ĝ − x̂·mean(ĝ·x̂))
func (v *VJP) standardGradient(g, hat, r string, axes []int) string {
	centred := v.Sub(g, v.ReduceMean(g, true, axes...))
	along := v.Mul(hat, v.ReduceMean(v.Mul(g, hat), true, axes...))
	return v.Mul(r, v.Sub(centred, along))
}

// y = (x − mean x)/(σ + 10⁻⁹):  r·(g − mean g − y·mean(g·y)) with r = 1/(σ + 10⁻⁹)
func vjpMeanVariance(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	list, ok := v.Node.Ints("axes")
	if !ok {
		list = []int64{0, 2, 3}
	}
	axes := make([]int, len(list))
	for i, a := range list {
		axes[i] = v.Axis(a, v.Rank(v.X(0)))
	}
	x := v.X(0)
	centred := v.Sub(x, v.ReduceMean(x, true, axes...))
	deviation := v.Op("Sqrt", nil, v.ReduceMean(v.square(centred), true, axes...))
	r := v.Op("Reciprocal", nil, v.Add(deviation, v.Scalar(1e-9)))
	v.Set(0, v.standardGradient(v.GY(0), v.Y(0), r, axes))
	return nil
}

// y = x/n, n the 2-norm or 1-norm along an axis:  (g − s·Σ g·y)/n with s = y for
// the 2-norm and sign x for the 1-norm; g/n where n = 0 would divide by 0 and is
// 0
func vjpLpNorm(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	op, side := "ReduceL2", v.Y(0)
	switch p := v.Node.Int("p", 2); p {
	case 1:
		op, side = "ReduceL1", v.Op("Sign", nil, v.X(0))
	case 2:
	default:
		return fmt.Errorf("p = %d; 1 and 2 have gradient rules", p)
	}
	axis := v.Axis(v.Node.Int("axis", -1), v.Rank(v.X(0)))
	n := v.Op(op, ir.Attrs{"keepdims": int64(1)}, v.X(0), v.Ints(int64(axis)))
	along := v.Mul(side, v.ReduceSum(v.Mul(v.GY(0), v.Y(0)), true, axis))
	zero := v.Op("Equal", nil, n, v.Scalar(0))
	v.Set(0, v.Where(zero, v.Scalar(0), v.Div(v.Sub(v.GY(0), along), n)))
	return nil
}
