package onnxgrad

import (
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Rule says how a gradient passes through an operator. Exactly one of VJP,
// Zero and Blocked is set.
type Rule struct {
	// VJP emits the vector–Jacobian product.
	VJP func(*VJP) error
	// Zero: the result does not change with the operands (comparisons,
	// roundings, indices, shapes). This is different from having no rule.
	Zero bool
	// Blocked says why the operator can't be differentiated here.
	Blocked string
	// Lifts: VJP also works on gradients with a leading batch axis.
	Lifts bool
}

// ruleFor looks a node up in the table. Canonical graphs have opset 18 to 23,
// over which the operators of the table kept their meaning.
func ruleFor(n *ir.Node) (Rule, bool) {
	r, ok := rules[n.Domain+"."+n.Op]
	return r, ok
}

// Supported reports how the table knows an operator: "rule", "zero", "blocked"
// or "".
func Supported(n *ir.Node) string {
	r, ok := ruleFor(n)
	switch {
	case !ok:
		return ""
	case r.Zero:
		return "zero"
	case r.Blocked != "":
		return "blocked"
	}
	return "rule"
}

// rules is the one table. The formula of each rule stands above its function.
var rules = buildRules()

func buildRules() map[string]Rule {
	m := map[string]Rule{}
	rule := func(op string, f func(*VJP) error) { m[key(op)] = Rule{VJP: f} }
	lifts := func(op string, f func(*VJP) error) { m[key(op)] = Rule{VJP: f, Lifts: true} }
	for _, table := range []map[string]func(*VJP, string) string{unaryRules, activationRules, trigonometricRules} {
		for op, f := range table {
			lifts(op, unary(f))
		}
	}
	for op, f := range arithmeticRules {
		lifts(op, f)
	}
	for op, f := range structureRules {
		lifts(op, f)
	}
	for op, f := range indexRules {
		m[key(op)] = f
	}
	for op, f := range reductionRules {
		lifts(op, f)
	}
	for op, f := range normalizationRules {
		lifts(op, f)
	}
	for _, table := range []map[string]func(*VJP) error{imageRules, channelRules, quantisedRules} {
		for op, f := range table {
			rule(op, f)
		}
	}
	lifts("MatMul", vjpMatMul)
	rule("Gemm", vjpGemm)
	rule("Einsum", vjpEinsum)
	rule("ReverseSequence", vjpReverseSequence)
	for _, op := range strings.Fields(zeroGradient) {
		m[key(op)] = Rule{Zero: true}
	}
	for op, why := range blocked {
		m[key(op)] = Rule{Blocked: why}
	}
	return m
}

func key(op string) string {
	if strings.Contains(op, ".") {
		return op
	}
	return "." + op
}
