package infer

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// choice: an If gives what its branches give where both give the same type and
// shape, and is not known elsewhere.
func choice(c *call) error {
	then, ok := c.branch("then_branch")
	if !ok {
		return nil
	}
	otherwise, ok := c.branch("else_branch")
	if !ok || len(otherwise) != len(then) || len(then) != len(c.node.Outputs) {
		return nil
	}
	for i, a := range then {
		b := otherwise[i]
		switch {
		case a.DType != b.DType:
		case a.Ranked && b.Ranked && sym.EqualShape(a.Shape, b.Shape):
			c.out(i, a.DType, a.Shape)
		default:
			c.outType(i, a.DType)
		}
	}
	return nil
}

// branch infers the outputs of a branch, whose nodes see the values around it. What
// its values are called stays inside.
func (c *call) branch(attr string) ([]Info, bool) {
	body, err := c.node.Branch(attr)
	if err != nil {
		return nil, false
	}
	inner := c.values.inside(body)
	for _, n := range body.Nodes {
		if inner.Node(n) != nil {
			return nil, false
		}
	}
	out := make([]Info, len(body.Outputs))
	for i, o := range body.Outputs {
		out[i] = inner.Of(o)
	}
	return out, true
}

// inside copies what is known of the values that a body reads, and adds its own
// initializers.
func (v *Values) inside(body *ir.Body) *Values {
	inner := &Values{byName: map[string]Info{}, fresh: v.fresh, facts: v.facts}
	for _, n := range body.Nodes {
		for _, in := range n.Reads() {
			if info, known := v.byName[in]; known {
				inner.byName[in] = info
			}
		}
	}
	for _, o := range body.Outputs {
		if info, known := v.byName[o]; known {
			inner.byName[o] = info
		}
	}
	for _, t := range body.Inits {
		inner.Set(t.Name, OfTensor(t))
	}
	return inner
}
