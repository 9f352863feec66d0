package convert

import "math"

// activations by transformers' name (ACT2FN). Each is written in operators of
// opset 17 that the runtime fuses again.
var activations = map[string]func(b *Builder, x string) string{
	"relu":              func(b *Builder, x string) string { return b.Op("Relu", nil, x) },
	"tanh":              func(b *Builder, x string) string { return b.Op("Tanh", nil, x) },
	"sigmoid":           func(b *Builder, x string) string { return b.Op("Sigmoid", nil, x) },
	"linear":            func(_ *Builder, x string) string { return x },
	"silu":              silu,
	"swish":             silu,
	"gelu":              geluErf,
	"gelu_python":       geluErf,
	"gelu_new":          geluTanh,
	"gelu_fast":         geluTanh,
	"gelu_pytorch_tanh": geluTanh,
	"gelu_accurate":     geluTanh,
	"quick_gelu":        func(b *Builder, x string) string { return b.Mul(x, b.Op("Sigmoid", nil, b.Mul(x, b.Float(1.702)))) },
	"relu2": func(b *Builder, x string) string {
		r := b.Op("Relu", nil, x)
		return b.Mul(r, r)
	},
}

// silu is x·σ(x).
func silu(b *Builder, x string) string { return b.Mul(x, b.Op("Sigmoid", nil, x)) }

// geluErf is x·(1+erf(x/√2))/2.
func geluErf(b *Builder, x string) string {
	e := b.Op("Erf", nil, b.Op("Div", nil, x, b.Float(math.Sqrt2)))
	return b.Mul(b.Mul(x, b.Add(e, b.Float(1))), b.Float(0.5))
}

// geluTanh is x·(1+tanh(√(2/π)·(x+0.044715·x³)))/2.
func geluTanh(b *Builder, x string) string {
	cube := b.Op("Pow", nil, x, b.Float(3))
	inner := b.Mul(b.Add(x, b.Mul(cube, b.Float(0.044715))), b.Float(math.Sqrt(2/math.Pi)))
	return b.Mul(b.Mul(x, b.Float(0.5)), b.Add(b.Op("Tanh", nil, inner), b.Float(1)))
}

// Activation reads the activation function that a field of the config names.
func (c *Config) Activation(def string, fields ...string) func(b *Builder, x string) string {
	name := c.Str(def, fields...)
	f, ok := activations[name]
	if !ok {
		field := fields[0]
		if n, there := c.present(fields); there {
			field = n
		}
		c.Fail(field, "not a known activation; converted are %v", sortedKeys(activations))
		return activations["linear"]
	}
	return f
}
