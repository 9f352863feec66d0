package gradcheck

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// small has 0 < |a| < 1.
func small() *irtest.Builder {
	return irtest.New(18).Output("y").Floats("a", []int64{2, 3}, .3, -.2, .7, -.5, .9, .1)
}

// above1 has a > 1.
func above1() *irtest.Builder {
	return irtest.New(18).Output("y").Floats("a", []int64{2, 3}, 1.3, 1.2, 2.7, 3.5, 1.9, 2.1)
}

// elementwiseCases, in double.
var elementwiseCases = map[string]*irtest.Builder{
	"Mod": p().Floats("b", []int64{3}, .31, .43, .57).Node("y = Mod(a,b)", attrs{"fmod": int64(1)}),
	"Clip with trained bounds": p().Floats("lo", []int64{}, -.3).Floats("hi", []int64{}, .4).
		Node("y = Clip(a,lo,hi)"),
	"CastLike":     p().Fill("b", 1).Node("c = CastLike(a,b)").Node("y = Exp(c)"),
	"ReduceLogSum": above1().Ints("ax", nil, 1).Node("y = ReduceLogSum(a,ax)"),
	"ReduceProd":   p(2, 3, 2).Ints("ax", nil, 1).Node("r = ReduceProd(a,ax)", attrs{"keepdims": int64(0)}).Node("y = Exp(r)"),
	"ReduceProd with one 0": irtest.New(18).Output("y").Floats("a", []int64{2, 3}, 0, .4, -.7, .3, 0, 0).Ints("ax", nil, 1).
		Node("y = ReduceProd(a,ax)"),
	"ReduceProd all":        p(2, 3).Node("y = ReduceProd(a)"),
	"Exponent that learns":  positive().Floats("b", []int64{}, 2).Node("y = Pow(a,b)"),
	"Cumulative everything": p(2, 4).Ints("ax", []int64{}, 0).Node("r = CumSum(a,ax)", attrs{"exclusive": int64(1)}).Node("y = Exp(r)"),
	"Selu":                  p().Node("y = Selu(a)"),
}

// singleElementwiseCases have no double kernel in the runtime.
var singleElementwiseCases = map[string]*irtest.Builder{
	"Softsign": p().Node("y = Softsign(a)"), "Selu parameters": small().Node("y = Selu(a)", attrs{"alpha": float32(1.2), "gamma": float32(.8)}),
	"Celu": small().Node("y = Celu(a)", attrs{"alpha": float32(.7)}), "ThresholdedRelu": small().Node("y = ThresholdedRelu(a)", attrs{"alpha": float32(.4)}),
	"Shrink": small().Node("y = Shrink(a)", attrs{"lambd": float32(.4), "bias": float32(.1)}),
	"Tan":    small().Node("y = Tan(a)"), "Asin": small().Node("y = Asin(a)"), "Acos": small().Node("y = Acos(a)"), "Atan": small().Node("y = Atan(a)"),
	"Sinh": small().Node("y = Sinh(a)"), "Cosh": small().Node("y = Cosh(a)"), "Asinh": small().Node("y = Asinh(a)"),
	"Acosh": above1().Node("y = Acosh(a)"), "Atanh": small().Node("s = Sin(a)").Node("y = Atanh(s)"),
	"Mish": irtest.New(18).Output("y").Fill("a", 2, 3).Node("y = Mish(a)"),
}

func TestElementwiseRules(t *testing.T) {
	checkAll(t, elementwiseCases, Double, 1e-6)
}

func TestElementwiseRulesInSinglePrecision(t *testing.T) {
	checkAll(t, singleElementwiseCases, Single, 2e-3)
}
