package onnxgrad

// activationRules: activation functions, elementwise in x. As in unaryRules, x
// is the operand, y the result and g the gradient of the result. At a kink the
// gradient is that of one side.
var activationRules = map[string]func(v *VJP, g string) string{
	// y = max(x, 0):  g where x > 0
	"Relu": func(v *VJP, g string) string { return v.whereOrZero(v.above(0), g) },
	// y = x where x ≥ 0, else αx:  g where x ≥ 0, else αg
	"LeakyRelu": func(v *VJP, g string) string {
		return v.Where(v.below(0), v.Scale(g, v.Node.Float("alpha", 0.01)), g)
	},
	// y = x where x > α, else 0:  g where x > α
	"ThresholdedRelu": func(v *VJP, g string) string { return v.whereOrZero(v.above(v.Node.Float("alpha", 1)), g) },
	// y = x + b where x < −λ, x − b where x > λ, else 0:  g where |x| > λ
	"Shrink": func(v *VJP, g string) string {
		outside := v.Op("Greater", nil, v.Op("Abs", nil, v.X(0)), v.Scalar(v.Node.Float("lambd", 0.5)))
		return v.whereOrZero(outside, g)
	},
	// y = x where x ≥ 0, else α(eˣ − 1):  g where x ≥ 0, else g·(y + α)
	"Elu": func(v *VJP, g string) string {
		return v.Where(v.below(0), v.Mul(g, v.Add(v.Y(0), v.Scalar(v.Node.Float("alpha", 1)))), g)
	},
	// y = γx where x > 0, else γα(eˣ − 1):  γg where x > 0, else g·(y + γα)
	"Selu": func(v *VJP, g string) string {
		alpha, gamma := v.Node.Float("alpha", 1.67326319217681884765625), v.Node.Float("gamma", 1.05070102214813232421875)
		return v.Where(v.above(0), v.Scale(g, gamma), v.Mul(g, v.Add(v.Y(0), v.Scalar(gamma*alpha))))
	},
	// y = max(x, 0) + min(α(e^(x/α) − 1), 0):  g where x ≥ 0, else g·e^(x/α)
	"Celu": func(v *VJP, g string) string {
		e := v.Op("Exp", nil, v.Scale(v.X(0), 1/v.Node.Float("alpha", 1)))
		return v.Where(v.below(0), v.Mul(g, e), g)
	},
	// y = ln(1 + eˣ):  g·σ(x)
	"Softplus": func(v *VJP, g string) string { return v.Mul(g, v.Op("Sigmoid", nil, v.X(0))) },
	// y = x / (1 + |x|):  g / (1 + |x|)²
	"Softsign": func(v *VJP, g string) string {
		d := v.Add(v.Op("Abs", nil, v.X(0)), v.Scalar(1))
		return v.Div(g, v.Mul(d, d))
	},
	// y = clip(αx + β, 0, 1):  αg where 0 < y < 1
	"HardSigmoid": func(v *VJP, g string) string {
		return v.whereOrZero(v.between(v.Y(0), 0, 1), v.Scale(g, v.Node.Float("alpha", 0.2)))
	},
	// y = x·clip(x/6 + ½, 0, 1):  g·(clip + x/6 where 0 < clip < 1)
	"HardSwish": func(v *VJP, g string) string {
		// Spelled out because HardSigmoid has no kernel in double, which
		// gradients are checked in.
		h := v.Op("Clip", nil, v.Add(v.Scale(v.X(0), 1.0/6), v.Scalar(0.5)), v.Scalar(0), v.Scalar(1))
		return v.Mul(g, v.Add(h, v.whereOrZero(v.between(h, 0, 1), v.Scale(v.X(0), 1.0/6))))
	},
	// y = x·σ(αx):  see sigmoidLinear
	"Swish": func(v *VJP, g string) string { return sigmoidLinear(v, g, v.Node.Float("alpha", 1)) },
	// y = x·σ(αx):  see sigmoidLinear
	"com.microsoft.QuickGelu": func(v *VJP, g string) string { return sigmoidLinear(v, g, v.Node.Float("alpha", 1.702)) },
	// y = x·t, t = tanh(ln(1 + eˣ)):  g·(t + x·(1 − t²)·σ(x))
	"Mish": func(v *VJP, g string) string {
		t := v.Op("Tanh", nil, v.Op("Softplus", nil, v.X(0)))
		dt := v.Mul(v.Sub(v.Scalar(1), v.Mul(t, t)), v.Op("Sigmoid", nil, v.X(0)))
		return v.Mul(g, v.Add(t, v.Mul(v.X(0), dt)))
	},
	// y = x·Φ(x), or in the tanh form:  see geluErf and geluTanh
	"Gelu": gelu, "com.microsoft.Gelu": geluErf,
}

// above and below compare the operand with a number.
func (v *VJP) above(c float32) string { return v.Op("Greater", nil, v.X(0), v.Scalar(c)) }
func (v *VJP) below(c float32) string { return v.Op("Less", nil, v.X(0), v.Scalar(c)) }
