package onnxgrad

// trigonometricRules: x is the operand, y the result, g the gradient of the
// result.
var trigonometricRules = map[string]func(v *VJP, g string) string{
	// y = sin x:  g·cos x
	"Sin": func(v *VJP, g string) string { return v.Mul(g, v.Op("Cos", nil, v.X(0))) },
	// y = cos x:  −g·sin x
	"Cos": func(v *VJP, g string) string { return v.Op("Neg", nil, v.Mul(g, v.Op("Sin", nil, v.X(0)))) },
	// y = tan x:  g·(1 + y²)
	"Tan": func(v *VJP, g string) string { return v.Mul(g, v.Add(v.Scalar(1), v.square(v.Y(0)))) },
	// y = asin x:  g / √(1 − x²)
	"Asin": func(v *VJP, g string) string { return v.overRoot(g, v.Sub(v.Scalar(1), v.square(v.X(0)))) },
	// y = acos x:  −g / √(1 − x²)
	"Acos": func(v *VJP, g string) string {
		return v.Op("Neg", nil, v.overRoot(g, v.Sub(v.Scalar(1), v.square(v.X(0)))))
	},
	// y = atan x:  g / (1 + x²)
	"Atan": func(v *VJP, g string) string { return v.Div(g, v.Add(v.Scalar(1), v.square(v.X(0)))) },
	// y = sinh x:  g·cosh x = g·(eˣ + e⁻ˣ)/2
	"Sinh": func(v *VJP, g string) string { return v.Mul(g, v.hyperbolic("Add")) },
	// y = cosh x:  g·sinh x = g·(eˣ − e⁻ˣ)/2
	"Cosh": func(v *VJP, g string) string { return v.Mul(g, v.hyperbolic("Sub")) },
	// y = tanh x:  g·(1 − y²)
	"Tanh": func(v *VJP, g string) string { return v.Sub(g, v.Mul(g, v.square(v.Y(0)))) },
	// y = asinh x:  g / √(x² + 1)
	"Asinh": func(v *VJP, g string) string { return v.overRoot(g, v.Add(v.square(v.X(0)), v.Scalar(1))) },
	// y = acosh x:  g / √(x² − 1)
	"Acosh": func(v *VJP, g string) string { return v.overRoot(g, v.Sub(v.square(v.X(0)), v.Scalar(1))) },
	// y = atanh x:  g / (1 − x²)
	"Atanh": func(v *VJP, g string) string { return v.Div(g, v.Sub(v.Scalar(1), v.square(v.X(0)))) },
}

func (b *Builder) square(x string) string { return b.Mul(x, x) }

func (b *Builder) overRoot(g, d string) string { return b.Div(g, b.Op("Sqrt", nil, d)) }

// hyperbolic is (eˣ ± e⁻ˣ)/2.
func (v *VJP) hyperbolic(op string) string {
	up := v.Op("Exp", nil, v.X(0))
	return v.Scale(v.Op(op, nil, up, v.Op("Reciprocal", nil, up)), 0.5)
}
