package onnxgrad

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// arithmeticRules: elementwise operators of several operands, which broadcast.
var arithmeticRules = map[string]func(*VJP) error{
	"Add": vjpSum, "Sum": vjpSum, "Sub": vjpSub, "Mul": vjpMul, "Div": vjpDiv, "Pow": vjpPow,
	"Where": vjpWhere, "Clip": vjpClip, "Min": vjpExtreme, "Max": vjpExtreme, "Mean": vjpMean,
	"PRelu": vjpPRelu, "Mod": vjpMod, "com.microsoft.BiasGelu": vjpBiasGelu, "com.microsoft.FastGelu": vjpFastGelu,
}

// y = Σ xᵢ:  g for each
func vjpSum(v *VJP) error {
	for i := range v.Node.Inputs {
		if v.Want(i) {
			v.SetBroadcast(i, v.GY(0))
		}
	}
	return nil
}

// y = (Σ xᵢ)/n:  g/n for each
func vjpMean(v *VJP) error {
	g := v.Scale(v.GY(0), 1/float32(len(v.Node.Inputs)))
	for i := range v.Node.Inputs {
		if v.Want(i) {
			v.SetBroadcast(i, g)
		}
	}
	return nil
}

// y = a − b:  g, −g
func vjpSub(v *VJP) error {
	if v.Want(0) {
		v.SetBroadcast(0, v.GY(0))
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.Op("Neg", nil, v.GY(0)))
	}
	return nil
}

// y = a·b:  g·b, g·a
func vjpMul(v *VJP) error {
	for i := range 2 {
		if v.Want(i) {
			v.SetBroadcast(i, v.Mul(v.GY(0), v.X(1-i)))
		}
	}
	return nil
}

// y = a/b:  g/b, −g·y/b
func vjpDiv(v *VJP) error {
	over := v.Div(v.GY(0), v.X(1))
	if v.Want(0) {
		v.SetBroadcast(0, over)
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.Op("Neg", nil, v.Mul(over, v.Y(0))))
	}
	return nil
}

// y = xᵖ:  g·p·xᵖ⁻¹, g·y·ln x. The squares and cubes of layer normalisation
// and GELU are spelled out: a general power costs fifty times as much.
func vjpPow(v *VJP) error {
	if v.Want(0) {
		x := v.X(0)
		var d string
		switch p, known := v.constantExponent(); {
		case known && p == 1:
			d = v.GY(0)
		case known && p == 2:
			d = v.Mul(v.GY(0), v.Scale(x, 2))
		case known && p == 3:
			d = v.Mul(v.GY(0), v.Scale(v.Mul(x, x), 3))
		default:
			p := v.Cast(v.X(1), ir.Float32)
			d = v.Mul(v.GY(0), v.Mul(p, v.Op("Pow", nil, x, v.Sub(p, v.Scalar(1)))))
		}
		v.SetBroadcast(0, d)
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.Mul(v.GY(0), v.Mul(v.Y(0), v.Op("Log", nil, v.X(0)))))
	}
	return nil
}

func (v *VJP) constantExponent() (int64, bool) {
	p, ok := v.constInts(1)
	return first(p), ok && len(p) == 1 && !v.walk.active[v.X(1)]
}

func first(p []int64) int64 {
	if len(p) == 0 {
		return 0
	}
	return p[0]
}

// y = a where c, else b:  g where c, g where not c. What was not selected gets
// exactly 0, whatever g holds there.
func vjpWhere(v *VJP) error {
	if v.Want(1) {
		v.SetBroadcast(1, v.whereOrZero(v.X(0), v.GY(0)))
	}
	if v.Want(2) {
		v.SetBroadcast(2, v.Where(v.X(0), v.Scalar(0), v.GY(0)))
	}
	return nil
}

// y = min(max(x, lo), hi):  x: g where lo ≤ x ≤ hi    lo: g where x < lo
// hi: g where x > hi
func vjpClip(v *VJP) error {
	x, g, inside := v.X(0), v.GY(0), v.GY(0)
	if lo := v.X(1); lo != "" {
		inside = v.whereOrZero(v.Op("GreaterOrEqual", nil, x, lo), inside)
		if v.Want(1) {
			v.SetBroadcast(1, v.whereOrZero(v.Op("Less", nil, x, lo), g))
		}
	}
	if hi := v.X(2); hi != "" {
		inside = v.whereOrZero(v.Op("LessOrEqual", nil, x, hi), inside)
		if v.Want(2) {
			v.SetBroadcast(2, v.whereOrZero(v.Op("Greater", nil, x, hi), g))
		}
	}
	if v.Want(0) {
		v.SetBroadcast(0, inside)
	}
	return nil
}

// y = a − n·b with n = ⌊a/b⌋ or, with fmod, cut towards 0:  g, −g·n = g·(y − a)/b
func vjpMod(v *VJP) error {
	if v.Want(0) {
		v.SetBroadcast(0, v.GY(0))
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.Mul(v.GY(0), v.Div(v.Sub(v.Y(0), v.X(0)), v.X(1))))
	}
	return nil
}

// y = max or min of xᵢ:  g shared equally among the operands that attain it
func vjpExtreme(v *VJP) error {
	hits := make([]string, len(v.Node.Inputs))
	for i := range hits {
		hits[i] = v.Cast(v.Op("Equal", nil, v.X(i), v.Y(0)), ir.Float32)
	}
	share := v.Div(v.GY(0), v.Builder.Sum(hits))
	for i := range hits {
		if v.Want(i) {
			v.SetBroadcast(i, v.Mul(share, hits[i]))
		}
	}
	return nil
}

// y = x where x ≥ 0, else s·x:  g or g·s;  for s: g·x where x < 0
func vjpPRelu(v *VJP) error {
	below := v.Op("Less", nil, v.X(0), v.Scalar(0))
	if v.Want(0) {
		v.SetBroadcast(0, v.Where(below, v.Mul(v.GY(0), v.X(1)), v.GY(0)))
	}
	if v.Want(1) {
		v.SetBroadcast(1, v.whereOrZero(below, v.Mul(v.GY(0), v.X(0))))
	}
	return nil
}

// y = gelu(x + b):  the exact gelu's gradient at x + b, for both
func vjpBiasGelu(v *VJP) error { return vjpShifted(v, geluErf) }

// y = gelu(x + b) in the tanh form, b optional
func vjpFastGelu(v *VJP) error { return vjpShifted(v, geluTanh) }

// vjpShifted gives both operands the gradient of y = f(x + b), which f emits from
// x + b and y.
func vjpShifted(v *VJP, f func(v *VJP, g string) string) error {
	x := v.X(0)
	if v.X(1) != "" {
		x = v.Add(x, v.X(1))
	}
	plain := &VJP{Builder: v.Builder, Node: &ir.Node{Name: v.Node.Name, Inputs: []string{x}, Outputs: v.Node.Outputs}}
	d := f(plain, v.GY(0))
	for i := range v.Node.Inputs {
		if v.Want(i) {
			v.SetBroadcast(i, d)
		}
	}
	return nil
}
