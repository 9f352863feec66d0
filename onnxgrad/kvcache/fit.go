package kvcache

import (
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// fit takes, of operands that are no content and cover the whole text, the part that belongs to the new tokens.
func (r *rewriter) fit(n, c *ir.Node, outside []int) error {
	for _, i := range outside {
		info := r.values.Of(c.Inputs[i])
		if !info.Ranked {
			return fmt.Errorf("the shape of operand %q is not known", n.Inputs[i])
		}
		if !slices.ContainsFunc(info.Shape, func(d sym.Dim) bool { return d.Contains(pastDim) }) {
			continue
		}
		switch {
		case pointwise[n.Op] && n.Domain == "":
			fitted, err := r.fitOperand(c, i, outside)
			if err != nil {
				return fmt.Errorf("operand %q: %w", n.Inputs[i], err)
			}
			c.Inputs[i] = fitted
		case n.Is("Gather") && i == 0 && r.tableOfPositions(n, info):
		default:
			return fmt.Errorf("operand %q covers the whole text, and how the operator uses it is not known", n.Inputs[i])
		}
	}
	return nil
}

// isWhole reports whether an extent is that of the whole text, or what a table of so many positions leaves of it, beyond
// which the graph fails.
func isWhole(d sym.Dim) bool { return d.Contains(pastDim) && sym.SameOrFails(d, whole) }

// tableOfPositions reports whether a Gather reads, at positions that the tokens bring along, a table of all positions.
func (r *rewriter) tableOfPositions(n *ir.Node, table infer.Info) bool {
	axis := clampAxis(n.Int("axis", 0), table.Rank())
	for k, d := range table.Shape {
		if d.Contains(pastDim) && (k != axis || !isWhole(d)) {
			return false
		}
	}
	return r.content[n.Input(1)]
}

// fitOperand aligns an operand with the content operands of an elementwise node.
func (r *rewriter) fitOperand(c *ir.Node, i int, outside []int) (string, error) {
	var shapes [][]sym.Dim
	for k, in := range c.Inputs {
		if in != "" && !slices.Contains(outside, k) {
			shapes = append(shapes, r.values.Of(in).Shape)
		}
	}
	content, err := infer.BroadcastShapes(shapes...)
	if err != nil {
		return "", err
	}
	u := r.values.Of(c.Inputs[i]).Shape
	axis, others := -1, false
	for k, d := range u {
		at := k + len(content) - len(u)
		switch {
		case !d.Contains(pastDim):
			others = others || d.Contains(batchDim)
		case at >= 0 && (sym.SameOrFails(d, content[at]) || isWhole(d) && isWhole(content[at])): // the keys' axis
			others = true
		case at >= 0 && axis < 0 && isWhole(d) && sym.Equal(content[at], sym.Var(newDim)):
			axis = k
		default:
			return "", fmt.Errorf("shape %v against %v", u, content)
		}
	}
	if axis < 0 {
		return c.Inputs[i], nil
	}
	at := axis + len(content) - len(u)
	if !others && at > 0 && sym.Equal(content[0], sym.Var(batchDim)) {
		if fitted, ok, err := r.atPositions(c.Inputs[i], axis, at); ok || err != nil {
			return fitted, err
		}
	}
	past, err := r.dim(sym.Var(pastDim))
	if err != nil {
		return "", err
	}
	rows, err := r.op("rows", "Slice", nil, c.Inputs[i], past, r.vector(math.MaxInt64), r.vector(int64(axis)))
	if err == nil { // inference does not know that past is not more than the whole
		info := r.values.Of(c.Inputs[i])
		info.Shape, info.Content = slices.Clone(info.Shape), nil
		info.Shape[axis] = sym.Var(newDim)
		r.values.Set(rows, info)
	}
	return rows, err
}

// atPositions reads a table of positions, whose axis counts them, at position_ids [batch, new]: the result has the batch
// in front and the tokens on axis at. ok is false where the table's form leaves no room for that.
func (r *rewriter) atPositions(table string, axis, at int) (name string, ok bool, err error) {
	u := r.values.Of(table).Shape
	between := at - 1 // axes between batch and tokens
	for _, d := range u[:axis] {
		if !d.Is(1) && axis != between {
			return "", false, nil
		}
	}
	if name, err = r.op("positions", "Gather", ir.Attrs{"axis": int64(axis)}, table, positionsInput); err != nil {
		return "", false, err
	}
	perm := []int64{int64(axis)}
	for k := range len(u) + 1 {
		if k != axis {
			perm = append(perm, int64(k))
		}
	}
	if axis > 0 {
		if name, err = r.op("positions", "Transpose", ir.Attrs{"perm": perm}, name); err != nil {
			return "", false, err
		}
	}
	for ; axis > between; axis-- {
		if name, err = r.op("positions", "Squeeze", nil, name, r.vector(1)); err != nil {
			return "", false, err
		}
	}
	for ; axis < between; axis++ {
		if name, err = r.op("positions", "Unsqueeze", nil, name, r.vector(1)); err != nil {
			return "", false, err
		}
	}
	return name, true, nil
}
