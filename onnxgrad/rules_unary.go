package onnxgrad

import (
	"math"
)

// unary makes a rule of an elementwise function of one operand; f returns
// g · f′(x).
func unary(f func(v *VJP, g string) string) func(*VJP) error {
	return func(v *VJP) error {
		if v.Want(0) {
			v.SetBroadcast(0, f(v, v.GY(0)))
		}
		return nil
	}
}

// unaryRules: x is the operand, y the result, g the gradient of the result.
// Activation functions and trigonometry have tables of their own.
var unaryRules = map[string]func(v *VJP, g string) string{
	"Identity": func(v *VJP, g string) string { return g },
	// y = −x:  −g
	"Neg": func(v *VJP, g string) string { return v.Op("Neg", nil, g) },
	// y = √x:  g / 2y
	"Sqrt": func(v *VJP, g string) string { return v.Div(v.Scale(g, 0.5), v.Y(0)) },
	// y = eˣ:  g·y
	"Exp": func(v *VJP, g string) string { return v.Mul(g, v.Y(0)) },
	// y = ln x:  g/x
	"Log": func(v *VJP, g string) string { return v.Div(g, v.X(0)) },
	// y = 1/x:  −g·y²
	"Reciprocal": func(v *VJP, g string) string { return v.Op("Neg", nil, v.Mul(g, v.Mul(v.Y(0), v.Y(0)))) },
	// y = erf x:  g · 2/√π · e^(−x²)
	"Erf": func(v *VJP, g string) string {
		e := v.Op("Exp", nil, v.Op("Neg", nil, v.Mul(v.X(0), v.X(0))))
		return v.Mul(v.Scale(g, float32(2/math.Sqrt(math.Pi))), e)
	},
	// y = σ(x):  g·y·(1 − y)
	"Sigmoid": func(v *VJP, g string) string {
		return v.Mul(g, v.Mul(v.Y(0), v.Sub(v.Scalar(1), v.Y(0))))
	},
	// y = |x|:  g·sign x
	"Abs": func(v *VJP, g string) string { return v.Mul(g, v.Op("Sign", nil, v.X(0))) },
	// A cast between floating types passes the gradient; the canonical graph
	// has only float32. From and to other types there is none.
	"Cast": func(v *VJP, g string) string { return g }, "CastLike": func(v *VJP, g string) string { return g },
}

// whereOrZero keeps g where cond holds. Selecting, unlike multiplying by 0,
// stops a non-finite g.
func (v *VJP) whereOrZero(cond, g string) string { return v.Where(cond, g, v.Scalar(0)) }

// between is lo < x < hi.
func (v *VJP) between(x string, lo, hi float32) string {
	return v.Op("And", nil, v.Op("Greater", nil, x, v.Scalar(lo)), v.Op("Less", nil, x, v.Scalar(hi)))
}
