package kvcache

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// attention joins keys and values behind the past where node n, emitted as c, reads them, and hides positions that the
// mask hides where n is the softmax over them.
func (r *rewriter) attention(n, c *ir.Node) error {
	switch {
	case n.Is("MatMul") && r.content[n.Input(0)] && r.content[n.Input(1)]:
		left, result := r.before.Of(n.Input(0)), r.before.Of(n.Output(0))
		if !left.Ranked || !result.Ranked || left.Rank() < 2 || result.Rank() < 2 {
			return fmt.Errorf("the shapes of a product over two values of the tokens are not known")
		}
		kind := ""
		switch {
		case left.Shape[left.Rank()-1].Contains(newDim):
			kind = "value"
		case result.Shape[result.Rank()-1].Contains(newDim):
			kind = "key"
		default:
			return nil
		}
		joined, err := r.joined(n.Input(1), kind)
		if err != nil {
			return fmt.Errorf("%ss: %w", kind, err)
		}
		c.Inputs[1] = joined
	case n.Is("Softmax") && !r.ownMask:
		return r.hide(c)
	}
	return nil
}

// hide gives scores of positions that the mask hides the lowest value, where the old graph has no mask of its own.
func (r *rewriter) hide(c *ir.Node) error {
	scores := r.values.Of(c.Input(0))
	if scores.Rank() != 4 || !sym.Equal(scores.Shape[3], whole) || !sym.Equal(scores.Shape[0], sym.Var(batchDim)) {
		return nil // the caller finds out that texts of different length can't run together
	}
	if r.mask == "" {
		seen, err := r.op("seen", "Cast", ir.Attrs{"to": int64(ir.Bool)}, maskInput)
		if err != nil {
			return err
		}
		if r.mask, err = r.op("seen", "Unsqueeze", nil, seen, r.vector(1, 2)); err != nil {
			return err
		}
		lowest := ir.NewFloat32(prefix+"lowest", nil, []float32{-3.4028235e38})
		r.graph.AddInit(lowest)
		r.values.Set(lowest.Name, infer.OfTensor(lowest))
	}
	hidden, err := r.op("scores", "Where", nil, r.mask, c.Input(0), prefix+"lowest")
	c.Inputs[0] = hidden
	return err
}

// A cut is where keys or values are joined: at value, of the form [batch, heads, tokens, width] or, swapped, [batch,
// tokens, heads, width]; nodes lead from there to where they are read.
type cut struct {
	value   string
	swapped bool
	nodes   []*ir.Node
}

// joined returns value v of the tokens' path for past and new tokens.
func (r *rewriter) joined(v, kind string) (string, error) {
	at, err := r.cut(v)
	if err != nil {
		return "", err
	}
	name, ok := r.at[at.value]
	if !ok {
		if name, err = r.join(at, kind); err != nil {
			return "", err
		}
		r.at[at.value] = name
	}
	for _, n := range slices.Backward(at.nodes) {
		if name, err = r.again(n, name); err != nil {
			return "", fmt.Errorf("%v: %w", n, err)
		}
	}
	if was, is := r.before.Of(v), r.values.Of(name); !is.Ranked || !sym.EqualShape(allLonger(was.Shape), is.Shape) {
		return "", fmt.Errorf("%q had shape %v and would have %v", v, was.Shape, is.Shape)
	}
	return name, nil
}

// cut goes up from v, through what only rearranges or scales, as far as a value of a cache's form is found.
func (r *rewriter) cut(v string) (cut, error) {
	var best *cut
	var nodes []*ir.Node
	for at := v; ; {
		if swapped, ok := cacheForm(r.before.Of(at)); ok && (best == nil || best.swapped || !swapped) {
			best = &cut{at, swapped, slices.Clone(nodes)}
		}
		n := r.made[at]
		if n == nil {
			break
		}
		from, ok := r.passes(n)
		if !ok {
			break
		}
		nodes = append(nodes, n)
		at = from
	}
	if best == nil {
		return cut{}, fmt.Errorf("%q, of shape %v, comes from nothing of the form [batch, heads, tokens, width]", v, r.before.Of(v).Shape)
	}
	return *best, nil
}

// cacheForm reports whether a value is [batch, heads, tokens, width], or swapped.
func cacheForm(i infer.Info) (swapped, ok bool) {
	if !i.Ranked || i.Rank() != 4 || !sym.Equal(i.Shape[0], sym.Var(batchDim)) || !fixed(i.Shape[3]) {
		return false, false
	}
	tokens := sym.Var(newDim)
	switch {
	case sym.Equal(i.Shape[2], tokens) && fixed(i.Shape[1]):
		return false, true
	case sym.Equal(i.Shape[1], tokens) && fixed(i.Shape[2]):
		return true, true
	}
	return false, false
}

func fixed(d sym.Dim) bool {
	_, ok := d.Const()
	return ok
}

// passes reports whether a node only rearranges, repeats or scales one value of the tokens' path, and which.
func (r *rewriter) passes(n *ir.Node) (from string, ok bool) {
	if n.Domain != "" || !r.content[n.Input(0)] && !r.content[n.Input(1)] {
		return "", false
	}
	switch n.Op {
	case "Concat": // keys and values that every text has stand in front of the tokens'
		front, last := n.Inputs[:len(n.Inputs)-1], n.Inputs[len(n.Inputs)-1]
		own := slices.ContainsFunc(front, func(in string) bool { return r.content[in] || r.before.Of(in).Shape == nil })
		return last, r.content[last] && !own && r.alongTokens(n, last)
	case "Transpose", "Reshape", "Expand", "Unsqueeze", "Squeeze", "Identity", "Cast":
		return n.Input(0), r.content[n.Input(0)]
	case "Mul", "Div":
		data, other := n.Input(0), n.Input(1)
		if n.Op == "Mul" && !r.content[data] {
			data, other = other, data
		}
		scale := r.before.Of(other)
		one := scale.Ranked && sym.Product(scale.Shape...).Is(1)
		return data, r.content[data] && !r.content[other] && one
	}
	return "", false
}

// alongTokens reports that n joins along the axis of the last operand that counts its tokens.
func (r *rewriter) alongTokens(n *ir.Node, last string) bool {
	info := r.before.Of(last)
	if !info.Ranked {
		return false
	}
	axis := clampAxis(n.Int("axis", 0), info.Rank())
	return axis < info.Rank() && sym.Equal(info.Shape[axis], sym.Var(newDim))
}

// join emits past, new and present of a cut and returns the joined value in the cut's form.
func (r *rewriter) join(at cut, kind string) (string, error) {
	info := r.before.Of(at.value)
	value, shape := at.value, slices.Clone(info.Shape)
	perm := ir.Attrs{"perm": []int64{0, 2, 1, 3}}
	var err error
	if at.swapped {
		if value, err = r.op(kind, "Transpose", perm, value); err != nil {
			return "", err
		}
		shape[1], shape[2] = shape[2], shape[1]
	}
	number := 0
	for _, s := range r.slots {
		if s.kind == kind {
			number++
		}
	}
	s := slot{kind: kind, past: fmt.Sprintf("past_key_values.%d.%s", number, kind), present: fmt.Sprintf("present.%d.%s", number, kind)}
	shape[2] = sym.Var(pastDim)
	r.input(s.past, info.DType, shape)
	r.slots = append(r.slots, s)
	n := &ir.Node{Name: prefix + s.present, Op: "Concat", Inputs: []string{s.past, value}, Outputs: []string{s.present}, Attrs: ir.Attrs{"axis": int64(2)}}
	if err := r.add(n); err != nil {
		return "", err
	}
	if at.swapped {
		return r.op(kind, "Transpose", perm, s.present)
	}
	return s.present, nil
}

// again emits a node behind a cut for past and new tokens.
func (r *rewriter) again(n *ir.Node, from string) (string, error) {
	c := n.Clone()
	for i, in := range n.Inputs {
		var err error
		switch {
		case r.content[in]:
			c.Inputs[i] = from
		case i == 1 && (n.Is("Reshape") || n.Is("Expand")):
			c.Inputs[i], err = r.shape(allLonger(r.before.Of(n.Output(0)).Shape))
		case n.Is("Unsqueeze") || n.Is("Squeeze"):
			c.Inputs[i], err = r.local(in)
		default:
			c.Inputs[i], err = r.ofWhole(in)
		}
		if err != nil {
			return "", err
		}
	}
	delete(c.Attrs, "allowzero")
	out := r.fresh(n.Op)
	c.Name, c.Outputs = out, []string{out}
	return out, r.add(c)
}
