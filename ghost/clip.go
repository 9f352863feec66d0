package ghost

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A ClipRule turns a per-example gradient norm into the factor that bounds it.
type ClipRule string

const (
	// Abadi is min(1, C/‖g‖) (Abadi et al. 2016, Algorithm 1).
	Abadi ClipRule = "abadi"
	// Automatic is C/(‖g‖ + γ) (Bu et al. 2023, 2206.07136, AUTO-S): every
	// gradient is normalised; the factor is below C/‖g‖, so the bound holds.
	Automatic ClipRule = "auto"
)

// ParseClipRule reads a rule's name.
func ParseClipRule(s string) (ClipRule, error) {
	switch r := ClipRule(s); r {
	case Abadi, Automatic:
		return r, nil
	}
	return "", fmt.Errorf("unknown clipping rule %q; there are abadi and auto", s)
}

// selection holds what decides which records count: ok_i = isfinite(loss_i) ∧
// isfinite(‖g_i‖²) ∧ valid_i, or where no norm is computed, weight_i > 0.
type selection struct {
	finite string // bool [B]: loss and squared norm are finite
	ok     string // bool [B]: finite and not padding
}

func isFinite(b *onnxgrad.Builder, x string) string {
	return b.Op("Not", nil, b.Op("Or", nil, b.Op("IsNaN", nil, x), b.Op("IsInf", nil, x)))
}

// rootOf returns √max(0, x). Rounding can leave a squared norm that is 0 slightly
// negative; a NaN stays one.
func rootOf(b *onnxgrad.Builder, x string) string {
	return b.Op("Sqrt", nil, b.Where(b.Op("Less", nil, x, b.Scalar(0)), b.Scalar(0), x))
}

// factor returns the clip factor [B] of norm [B], 0 for records that do not
// count:
//
//	abadi  C / max(‖g‖, C)      auto  C / (‖g‖ + γ)
func (r ClipRule) factor(b *onnxgrad.Builder, norm, c, gamma, ok string) string {
	below := ""
	switch r {
	case Automatic:
		below = b.Add(norm, gamma)
	default:
		below = b.Op("Max", nil, norm, c)
	}
	return b.Where(ok, b.Div(c, below), b.Scalar(0))
}

// scalarInput declares an overridable float32 scalar input with a default.
func scalarInput(b *onnxgrad.Builder, name string, value float32) {
	t := ir.NewFloat32(name, nil, []float32{value})
	b.Graph.AddInit(t)
	b.Graph.Overridable[name] = t.Info()
	b.SetInfo(t)
}
