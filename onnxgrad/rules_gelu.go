package onnxgrad

import "math"

// The gradients of the activation functions of transformers' inner layers, which
// are the widest activations of a model: each operator here is a pass over four
// times the model's width. They are written for the fewest passes, read only the
// operand and the result, which the products on both sides keep anyway, and stay
// finite wherever the operand's cube is.

// gelu, of ONNX: in the form that "approximate" names.
func gelu(v *VJP, g string) string {
	if v.Node.Str("approximate", "none") == "tanh" {
		return geluTanh(v, g)
	}
	return geluErf(v, g)
}

// geluErf, y = x·Φ(x):  g·(Φ(x) + x·φ(x)),  Φ = ½(1 + erf(x/√2)), φ = e^(−x²/2)/√2π:
//
//	½g·(erf(x/√2) + 1 + √(2/π)·x·e^(−x²/2))
//
// ½ goes into the product that g comes from, where the runtime puts factors.
func geluErf(v *VJP, g string) string {
	x := v.X(0)
	bell := v.Op("Exp", nil, v.Mul(v.Scale(x, -0.5), x))
	slope := v.Scale(v.Mul(bell, x), float32(math.Sqrt(2/math.Pi)))
	erf := v.Op("Erf", nil, v.Scale(x, float32(1/math.Sqrt2)))
	return v.Mul(v.Add(v.Add(erf, v.Scalar(1)), slope), v.Scale(g, 0.5))
}

// geluTanh, y = ½x(1 + tanh(u/2)) = x·σ(u), u = 2√(2/π)(x + 0.044715x³). With
// q = σ(−u) = 1 − σ(u) and u′ = c + 3d·x², c = 2√(2/π), d = 0.044715c,
//
//	g·(σ + x·σ(1 − σ)u′) = g·(1 − q + q·y·u′) = 3g·(⅓ − q·(⅓ − y·(d·x² + ⅓c)))
//
// The square of x scaled by −d serves both u and u′; 3 goes into the product that
// g comes from, where the runtime puts factors.
func geluTanh(v *VJP, g string) string {
	const c, d = 1.5957691216057308, 0.044715 * 1.5957691216057308
	x, third := v.X(0), v.Scalar(1.0/3)
	square := v.Scale(v.Mul(x, x), -d)                   // −d·x²
	u := v.Mul(v.Sub(square, v.Scalar(c)), x)            // −u
	slope := v.Mul(v.Y(0), v.Sub(square, v.Scalar(c/3))) // −y·(d·x² + ⅓c)
	inner := v.Mul(v.Add(slope, third), v.Op("Sigmoid", nil, u))
	return v.Mul(v.Sub(third, inner), v.Scale(g, 3))
}

// sigmoidLinear, y = x·s, s = σ(αx):  g·(s + αx·s(1 − s)) = g·(s + αy·(1 − s)),
// in which nothing large is subtracted from something as large.
func sigmoidLinear(v *VJP, g string, alpha float32) string {
	s := v.Op("Sigmoid", nil, v.Scale(v.X(0), alpha))
	rest := v.Mul(v.Sub(v.Scalar(1), s), v.Scale(v.Y(0), alpha))
	return v.Mul(v.Add(rest, s), g)
}
