package kvcache

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// longer is an extent of the old graph for the whole text.
func longer(d sym.Dim) sym.Dim { return d.Replace(newDim, whole) }

func allLonger(dims []sym.Dim) []sym.Dim {
	out := make([]sym.Dim, len(dims))
	for i, d := range dims {
		out[i] = longer(d)
	}
	return out
}

// local emits a value that is no content, a shape operand, as it is for the new tokens.
func (r *rewriter) local(v string) (string, error) {
	n := r.made[v]
	if v == "" || n == nil || r.emitted[v] || r.content[v] {
		if v == maskInput {
			return "", fmt.Errorf("the attention mask's content decides over shapes")
		}
		return v, nil
	}
	if info := r.before.Of(v); info.Content != nil && len(info.Shape) <= 1 {
		if name, err := r.known(info); err == nil {
			return name, nil
		}
	}
	c := n.Clone()
	for i, in := range n.Inputs {
		if n.Is("Shape") && in == maskInput {
			c.Inputs[i] = idsInput
			continue
		}
		var err error
		if c.Inputs[i], err = r.local(in); err != nil {
			return "", fmt.Errorf("%v: %w", n, err)
		}
	}
	for _, o := range n.Outputs {
		r.emitted[o] = true
	}
	return v, r.add(c)
}

// known emits integers whose values are known polynomials.
func (r *rewriter) known(info infer.Info) (string, error) {
	if info.DType != ir.Int64 {
		return "", fmt.Errorf("not a shape")
	}
	name, err := r.shape(info.Content)
	if err != nil || len(info.Shape) == 1 {
		return name, err
	}
	return r.op("scalar", "Squeeze", nil, name, r.vector(0))
}

// ofWhole emits a value that is no content as it is for past and new tokens together.
func (r *rewriter) ofWhole(v string) (string, error) {
	if name, ok := r.full[v]; ok {
		return name, nil
	}
	n := r.made[v]
	if n == nil || v == "" {
		return v, nil // a constant, or the attention mask
	}
	if n.Is("Shape") || n.Is("Size") {
		return r.shapeOfWhole(n)
	}
	if len(n.Reads()) != len(n.Inputs) {
		return "", fmt.Errorf("%v: a branch or loop outside the tokens' path", n)
	}
	c := n.Clone()
	c.Name = prefix + n.Name
	for i, in := range n.Inputs {
		var err error
		if c.Inputs[i], err = r.ofWhole(in); err != nil {
			return "", err
		}
	}
	for i, o := range n.Outputs {
		if o != "" {
			c.Outputs[i] = prefix + o
			r.full[o] = c.Outputs[i]
		}
	}
	if err := r.add(c); err != nil {
		return "", err
	}
	return r.full[v], nil
}

// shapeOfWhole answers Shape and Size for the whole text from the symbolic shape.
func (r *rewriter) shapeOfWhole(n *ir.Node) (string, error) {
	info := r.before.Of(n.Input(0))
	if !info.Ranked {
		return "", fmt.Errorf("%v: the shape of %q is not known", n, n.Input(0))
	}
	dims := allLonger(info.Shape)
	var name string
	var err error
	if n.Is("Size") {
		if name, err = r.dim(sym.Product(dims...)); err == nil {
			name, err = r.op("size", "Squeeze", nil, name, r.vector(0))
		}
	} else {
		start, end := clampAxis(n.Int("start", 0), len(dims)), clampAxis(n.Int("end", int64(len(dims))), len(dims))
		name, err = r.shape(dims[start:max(start, end)])
	}
	if err != nil {
		return "", fmt.Errorf("%v: %w", n, err)
	}
	r.full[n.Output(0)] = name
	return name, nil
}

func clampAxis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(min(max(a, 0), int64(rank)))
}

// shapeOperands says from which operand on an operator's operands are shapes, axes or counts: these are taken as they are
// for the new tokens.
var shapeOperands = map[string]int{
	"Reshape": 1, "Expand": 1, "Slice": 1, "Unsqueeze": 1, "Squeeze": 1, "Tile": 1, "Pad": 1, "Split": 1, "ReduceSum": 1, "ReduceMean": 1, "ReduceMax": 1,
	"ReduceMin": 1, "ReduceL2": 1, "ReduceSumSquare": 1, "ReduceProd": 1, "ReduceL1": 1, "ReduceLogSumExp": 1, "CumSum": 1, "TopK": 1,
}

// node emits a node of the tokens' path.
func (r *rewriter) node(n *ir.Node) error {
	if len(n.Reads()) != len(n.Inputs) {
		return fmt.Errorf("%v: a branch or loop on the tokens' path", n)
	}
	c := n.Clone()
	var outside []int
	first, shaped := shapeOperands[n.Op]
	for i, in := range n.Inputs {
		var err error
		switch {
		case in == "" || r.content[in]:
		case shaped && i >= first || n.Is("Gather") && i == 1 && r.content[n.Input(0)]:
			c.Inputs[i], err = r.local(in)
		default:
			c.Inputs[i], err = r.ofWhole(in)
			outside = append(outside, i)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
	}
	if err := r.attention(n, c); err != nil {
		return fmt.Errorf("%v: %w", n, err)
	}
	if err := r.fit(n, c, outside); err != nil {
		return fmt.Errorf("%v: %w", n, err)
	}
	if err := r.add(c); err != nil {
		return err
	}
	if err := r.separate(n, c); err != nil {
		return fmt.Errorf("%v: %w", n, err)
	}
	return r.compare(n)
}

// compare checks a node's results against the old graph's: each dimension as it was, or for the whole text.
func (r *rewriter) compare(n *ir.Node) error {
	for _, o := range n.Outputs {
		if o == "" {
			continue
		}
		was, is := r.before.Of(o), r.values.Of(o)
		if !was.Ranked || !is.Ranked {
			return fmt.Errorf("%v: the shape of %q is not known", n, o)
		}
		same := slices.EqualFunc(was.Shape, is.Shape, func(a, b sym.Dim) bool { return sym.Equal(a, b) || sym.Equal(longer(a), b) })
		if !same || slices.ContainsFunc(is.Shape, infer.Unknown) {
			return fmt.Errorf("%v: %q had shape %v and would have %v", n, o, was.Shape, is.Shape)
		}
	}
	return nil
}
