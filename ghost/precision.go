package ghost

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Precision is what the products of the forward and the backward pass are
// computed in. Norms, factors and sums are float32 in each, and computed of the same
// activations and gradients: these are what a half precision changes. So is
// everything that is no product: softmax, normalisations, the loss.
type Precision string

const (
	Single Precision = "fp32"
	Half   Precision = "fp16"
	Brain  Precision = "bf16"
)

// ParsePrecision reads a precision's name; "" is fp32.
func ParsePrecision(s string) (Precision, error) {
	switch p := Precision(s); p {
	case "":
		return Single, nil
	case Single, Half, Brain:
		return p, nil
	}
	return "", fmt.Errorf("unknown precision %q; there are fp32, fp16 and bf16", s)
}

// IsHalf reports a precision of 16 bits.
func (p Precision) IsHalf() bool { return p == Half || p == Brain }

// lossScale is the power of two that the backward pass of fp16 starts from, a public
// constant: gradients of 2^-24 and less are 0 in fp16, those of 2^16 not finite. A
// record whose gradients leave that range loses them, or counts as one that is not
// finite and contributes zero; no other record's does. A scale that followed what
// overflows would make every record depend on every other.
const lossScale = 1 << 10

// scale is the factor of all gradients in the backward pass; norms and sums are
// computed of the scaled ones and scaled back, which is exact.
func (s *Spec) scale() float32 {
	if s.Precision == Half {
		return lossScale
	}
	return 1
}

// halve rewrites the products of the passes, before those of norms and sums are
// appended.
func (c *compiler) halve() {
	switch c.spec.Precision {
	case Half:
		c.Halve(ir.Float16, c.spec.Emulated)
	case Brain:
		c.Halve(ir.BFloat16, c.spec.Emulated)
	}
}

// unscaled takes the scale of the backward pass out of the factors, [B] or [B,K].
// Where gradients were weighted before, the scale makes a factor of its own.
func (c *compiler) unscaled(factor, ok string) string {
	scale := c.spec.scale()
	switch {
	case scale == 1:
		return factor
	case factor == "":
		return c.Where(ok, c.Scalar(1/scale), c.Scalar(0))
	}
	return c.Scale(factor, 1/scale)
}
