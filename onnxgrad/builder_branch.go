package onnxgrad

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// If appends a choice at run time: what then emits is computed where cond, a bool
// of one element, holds, and what otherwise emits elsewhere. Both return a value of
// the same type and shape, and may read every value emitted before; what they emit
// is theirs alone and must not be read outside, so neither may leave a value of its
// own in a memo.
func (b *Builder) If(cond string, then, otherwise func() string) string {
	n := &ir.Node{Name: b.fresh("If"), Op: "If", Inputs: []string{cond}, Attrs: ir.Attrs{}}
	n.Outputs = []string{n.Name}
	var made [2]infer.Info
	for i, branch := range []struct {
		attr string
		emit func() string
	}{{"then_branch", then}, {"else_branch", otherwise}} {
		nodes, result := b.apart(branch.emit)
		made[i] = b.Values.Of(result)
		out := &ir.ValueInfo{Name: result, DType: made[i].DType, Dims: Declare(made[i].Shape)}
		if err := n.SetBranch(branch.attr, nodes, out); err != nil {
			b.fail(err)
		}
	}
	if made[0].DType != made[1].DType || made[0].Rank() != made[1].Rank() {
		b.fail(fmt.Errorf("%w: the branches of %v give %v and %v", ir.ErrInvalid, n, made[0], made[1]))
	}
	b.append(n)
	b.Values.Set(n.Outputs[0], infer.Info{DType: made[0].DType, Ranked: true, Shape: made[0].Shape})
	return n.Outputs[0]
}

// apart returns the nodes that emit appends, which then are in no section, and its
// result, made by the last of them.
func (b *Builder) apart(emit func() string) (nodes []*ir.Node, result string) {
	const section = "branch"
	left := b.current
	outer := b.sections[section] // of a branch around this one
	b.current, b.sections[section] = section, nil
	result = emit()
	if !makes(b.sections[section], result) {
		result = b.Op("Identity", nil, result)
	}
	nodes = b.sections[section]
	delete(b.sections, section)
	if outer != nil {
		b.sections[section] = outer
	}
	b.current = left
	return nodes, result
}

func makes(nodes []*ir.Node, value string) bool {
	for _, n := range nodes {
		for _, o := range n.Outputs {
			if o == value {
				return true
			}
		}
	}
	return false
}
