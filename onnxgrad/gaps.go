package onnxgrad

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// A Gap is a node that a gradient would have to pass and can't.
type Gap struct {
	Node *ir.Node
	Why  string
}

// Gaps lists the nodes between the trainable initializers and the outputs that
// have no usable rule. It looks at the rule table only; a rule may still refuse
// an unusual form of its operator.
func Gaps(g *ir.Graph, values *infer.Values, trainable, outputs []string) ([]Gap, error) {
	active := map[string]bool{}
	for _, p := range trainable {
		active[p] = true
	}
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.Reads(), func(in string) bool { return active[in] }) {
			for _, o := range n.Outputs {
				active[o] = true
			}
		}
	}
	wanted := map[string]bool{}
	for _, o := range outputs {
		wanted[o] = true
	}
	var gaps []Gap
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return wanted[o] && active[o] }) {
			continue
		}
		r, known := ruleFor(n)
		switch {
		case known && r.Zero:
			continue
		case !known:
			gaps = append(gaps, Gap{n, "no gradient rule"})
		case r.Blocked != "":
			gaps = append(gaps, Gap{n, r.Blocked})
		}
		for _, in := range n.Reads() {
			if info := values.Of(in); info.DType.IsFloat() || info.DType == ir.Undefined {
				wanted[in] = wanted[in] || active[in]
			}
		}
	}
	slices.Reverse(gaps)
	return gaps, nil
}
