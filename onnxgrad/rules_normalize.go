package onnxgrad

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// normalizationRules: softmax and the normalisations with learned scale.
var normalizationRules = map[string]func(*VJP) error{
	"Softmax": vjpSoftmax, "LogSoftmax": vjpLogSoftmax,
	"LayerNormalization": vjpLayerNorm, "RMSNormalization": vjpRMSNorm, "SimplifiedLayerNormalization": vjpRMSNorm,
}

// y = softmax(x):  y·(g − Σ g·y). Where all that reads y is one product o = y·B
// along the softmax's axis, g is go·Bᵀ and Σ g·y is Σ go·o, a sum over the width
// of a head instead of the number of positions (Dao et al. 2022, 2205.14135, eq. 4).
func vjpSoftmax(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	y := v.sanitised()
	rank := v.Rank(v.X(0))
	axis := v.Axis(v.Node.Int("axis", -1), rank)
	o, read := v.walk.weighing[y]
	dot := ""
	if read && v.Lead == 0 && axis == rank-1 {
		dot = v.ReduceSum(v.Mul(o.gradient, o.value), true, axis)
	} else {
		dot = v.ReduceSum(v.Mul(v.GY(0), y), true, axis)
	}
	v.Set(0, v.Mul(y, v.Sub(v.GY(0), dot)))
	return nil
}

// A weighing is a product o = y·B that is all that reads y, with the gradient of o.
type weighing struct{ value, gradient string }

// noteWeighing remembers the node Y = A·B, in matrices of a rank, for the softmax
// that made A.
func (v *VJP) noteWeighing(a, b string) {
	if v.Lead > 0 || v.perRecord(0) || v.Rank(a) != v.Rank(b) || !sym.EqualShape(prefix(v.Shape(a)), prefix(v.Shape(v.Y(0)))) {
		return
	}
	if v.walk.readers[a] == 1 {
		v.walk.weighing[a] = weighing{v.Y(0), v.GY(0)}
	}
}

// prefix is all but the last extent.
func prefix(shape []sym.Dim) []sym.Dim { return shape[:len(shape)-1] }

// sanitised returns the softmax without NaN: a row that the mask forbids entirely
// is NaN, and exporters select 0 there with a Where behind the softmax. Its
// gradient would be NaN too, for NaN times 0 is NaN. Where the exporter's own
// Where(IsNaN(y), 0, y) is found it is used; where another Where selects among
// y, zeros are put in here; elsewhere a NaN is the model's.
func (v *VJP) sanitised() string {
	y := v.Y(0)
	selected := false
	for _, n := range v.walk.forward {
		if !n.Is("Where") {
			continue
		}
		if c := v.producer[n.Input(0)]; n.Input(2) == y && c != nil && c.Is("IsNaN") && c.Input(0) == y {
			return n.Output(0)
		}
		selected = selected || v.uncast(n.Input(1)) == y || v.uncast(n.Input(2)) == y
	}
	if selected {
		return v.Where(v.Op("IsNaN", nil, y), v.Scalar(0), y)
	}
	return y
}

// uncast follows a value back through casts and copies.
func (v *VJP) uncast(x string) string {
	for n := v.producer[x]; n != nil && (n.Is("Cast") || n.Is("CastLike") || n.Is("Identity")); n = v.producer[x] {
		x = n.Input(0)
	}
	return x
}

// y = log softmax(x):  g − eʸ·Σg
func vjpLogSoftmax(v *VJP) error {
	if !v.Want(0) {
		return nil
	}
	axis := v.Axis(v.Node.Int("axis", -1), v.Rank(v.X(0)))
	v.Set(0, v.Sub(v.GY(0), v.Mul(v.Op("Exp", nil, v.Y(0)), v.ReduceSum(v.GY(0), true, axis))))
	return nil
}

// y = x̂·γ + β, x̂ = (x − μ)·r, over the axes from "axis" on:
//
//	x: r·(ĝ − mean ĝ − x̂·mean(ĝ·x̂)),  ĝ = g·γ
//	γ: g·x̂      β: g
//
// μ and r are the operator's second and third results. Where the loss reads them
// too, x gets gμ/n − gr·r²·x̂/n, n the number of elements that were averaged.
func vjpLayerNorm(v *VJP) error {
	rank := v.Rank(v.X(0))
	mean, inv := v.statistics(rank)
	hat := ""
	if v.Want(0) || v.Want(1) {
		hat = v.Mul(v.Sub(v.X(0), mean), inv)
	}
	if v.Want(0) {
		axes := seq(v.Axis(v.Node.Int("axis", -1), rank), rank+v.Lead)
		g := v.Mul(v.GY(0), v.X(1))
		centred := v.Sub(g, v.ReduceMean(g, true, axes...))
		along := v.Mul(hat, v.ReduceMean(v.Mul(g, hat), true, axes...))
		v.Set(0, v.Mul(inv, v.Sub(centred, along)))
		v.setStatistics(axes, hat, inv)
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.Mul(v.GY(0), hat))
	}
	if v.Want(2) {
		v.SetBroadcast(2, v.GY(0))
	}
	return nil
}

// setStatistics adds what the loss's reading of μ and r gives x.
func (v *VJP) setStatistics(axes []int, hat, inv string) {
	of := func(i int) bool { return i < len(v.gy) && v.gy[i] != "" }
	list := make([]int, len(axes))
	for i, a := range axes {
		list[i] = a - v.Lead
	}
	if of(1) {
		v.SetRepeated(0, v.divideByCount(v.GY(1), list))
	}
	if of(2) {
		g := v.divideByCount(v.GY(2), list)
		v.Set(0, v.Op("Neg", nil, v.Mul(v.Mul(g, v.square(inv)), hat)))
	}
}

// statistics names the mean and inverse deviation results of the forward node,
// asking for them where the exporter did not.
func (v *VJP) statistics(rank int) (mean, inv string) {
	n := v.Node
	for len(n.Outputs) < 3 {
		n.Outputs = append(n.Outputs, "")
	}
	for i, suffix := range []string{1: "mean", 2: "inv_std"} {
		if i > 0 && n.Outputs[i] == "" {
			n.Outputs[i] = v.fresh(suffix)
		}
	}
	first := v.Axis(n.Int("axis", -1), rank) - v.Lead
	shape := append([]sym.Dim{}, v.Shape(v.X(0))...)
	for i := first; i < rank; i++ {
		shape[i] = sym.Const(1)
	}
	for _, o := range n.Outputs[1:] {
		v.Values.Set(o, infer.Info{DType: ir.Float32, Ranked: true, Shape: shape})
		v.producer[o] = n
	}
	return n.Outputs[1], n.Outputs[2]
}

// y = x·r·γ, r = 1/√(mean x² + ε), over the axes from "axis" on:
//
//	x: r·(ĝ − x̂·mean(ĝ·x̂)),  ĝ = g·γ, x̂ = x·r
//	γ: g·x̂
func vjpRMSNorm(v *VJP) error {
	rank := v.Rank(v.X(0))
	if v.Want(2) {
		return fmt.Errorf("it has a shift, which this operator does not define")
	}
	axis := v.Axis(v.Node.Int("axis", -1), rank)
	square := v.ReduceMean(v.Mul(v.X(0), v.X(0)), true, seq(axis-v.Lead, rank)...)
	r := v.Op("Reciprocal", nil, v.Op("Sqrt", nil, v.Add(square, v.Scalar(v.Node.Float("epsilon", 1e-5)))))
	hat := v.Mul(v.X(0), r)
	if v.Want(0) {
		g := v.Mul(v.GY(0), v.X(1))
		along := v.Mul(hat, v.ReduceMean(v.Mul(g, hat), true, seq(axis, rank+v.Lead)...))
		v.Set(0, v.Mul(r, v.Sub(g, along)))
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.Mul(v.GY(0), hat))
	}
	return nil
}
