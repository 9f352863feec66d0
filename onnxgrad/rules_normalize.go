package onnxgrad

import (
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
