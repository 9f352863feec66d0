package canon

import (
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// expandAttention writes Attention of opset 23 as the products and softmax it
// stands for:
//
//	Y = softmax(scale·Q·Kᵀ + mask) · V
//
// with rows that the mask forbids entirely giving 0. A cache, a soft cap or a
// requested score output is refused.
func expandAttention(c *Graph) error {
	found := false
	for _, n := range c.Nodes {
		found = found || n.Is("Attention")
	}
	if !found {
		return nil
	}
	values, err := c.values()
	if err != nil {
		return err
	}
	var out []*ir.Node
	for _, n := range c.Nodes {
		if !n.Is("Attention") {
			out = append(out, n)
			// Later nodes need the shapes that Attention itself hides.
			if err := values.Node(n); err != nil {
				return err
			}
			continue
		}
		a, err := attentionOf(n, values)
		if err != nil {
			return fmt.Errorf("%w: %v: %v", ir.ErrUnsupported, n, err)
		}
		a.emitter = emitter{graph: c, from: n}
		a.expand()
		for _, made := range a.nodes {
			if err := values.Node(made); err != nil {
				return err
			}
		}
		out = append(out, a.nodes...)
	}
	c.Nodes = out
	return nil
}

// An attention is one Attention node, its inputs understood.
type attention struct {
	emitter
	heads, kvHeads, width int64 // query heads, key and value heads, extent of a query vector
	packed                bool  // inputs of rank 3 with heads side by side
	scale                 float32
	causal                bool
	mask                  string
	boolMask              bool
}

func attentionOf(n *ir.Node, values *infer.Values) (*attention, error) {
	if n.Input(4) != "" || n.Input(5) != "" {
		return nil, fmt.Errorf("it reads a cache of past keys; export the model without one")
	}
	for i := 1; i < len(n.Outputs); i++ {
		if n.Output(i) != "" {
			return nil, fmt.Errorf("it gives more than one output")
		}
	}
	if n.Float("softcap", 0) != 0 {
		return nil, fmt.Errorf("softcap %g", n.Float("softcap", 0))
	}
	q, k := values.Of(n.Input(0)), values.Of(n.Input(1))
	if !q.Ranked || !k.Ranked || q.Rank() != k.Rank() || q.Rank() != 3 && q.Rank() != 4 {
		return nil, fmt.Errorf("queries %v and keys %v", q, k)
	}
	a := &attention{packed: q.Rank() == 3, causal: n.Int("is_causal", 0) != 0, mask: n.Input(3)}
	a.boolMask = a.mask != "" && values.Of(a.mask).DType == ir.Bool
	last, ok := q.Shape[q.Rank()-1].Const()
	if a.packed {
		a.heads, a.kvHeads = n.Int("q_num_heads", 0), n.Int("kv_num_heads", 0)
		if !ok || a.heads <= 0 || a.kvHeads <= 0 || last%a.heads != 0 {
			return nil, fmt.Errorf("queries %v with %d heads", q, a.heads)
		}
		last /= a.heads
	} else {
		var okq, okk bool
		a.heads, okq = q.Shape[1].Const()
		a.kvHeads, okk = k.Shape[1].Const()
		ok = ok && okq && okk
	}
	if !ok || a.kvHeads == 0 || a.heads%a.kvHeads != 0 || last == 0 {
		return nil, fmt.Errorf("queries %v and keys %v with %d and %d heads", q, k, a.heads, a.kvHeads)
	}
	a.width = last
	a.scale = n.Float("scale", float32(1/math.Sqrt(float64(a.width))))
	return a, nil
}

func (a *attention) expand() {
	n := a.from
	q := a.split(n.Input(0), "q", a.heads)
	k := a.repeat(a.split(n.Input(1), "k", a.kvHeads), "k")
	v := a.repeat(a.split(n.Input(2), "v", a.kvHeads), "v")
	kt := a.op("Transpose", "kt", ir.Attrs{"perm": []int64{0, 1, 3, 2}}, k)
	s := a.op("MatMul", "products", nil, q, kt)
	s = a.op("Mul", "scores", nil, s, a.scalar("scale", a.scale))
	if a.causal {
		s = a.op("Where", "causal", nil, a.lowerTriangle(q, k), s, a.scalar("never", float32(math.Inf(-1))))
	}
	switch {
	case a.boolMask:
		s = a.op("Where", "masked", nil, a.mask, s, a.scalar("masked_out", float32(math.Inf(-1))))
	case a.mask != "":
		s = a.op("Add", "masked", nil, s, a.mask)
	}
	p := a.op("Softmax", "weights", ir.Attrs{"axis": int64(-1)}, s)
	nan := a.op("IsNaN", "empty_rows", nil, p)
	p = a.op("Where", "probabilities", nil, nan, a.scalar("zero", 0), p)
	if !a.packed {
		a.into(n.Output(0), "MatMul", nil, p, v)
		return
	}
	y := a.op("MatMul", "context", nil, p, v)
	y = a.op("Transpose", "joined", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, y)
	a.into(n.Output(0), "Reshape", nil, y, a.ints("joined_shape", 0, 0, -1))
}

// split takes [B,T,heads·d] to [B,heads,T,d].
func (a *attention) split(x, name string, heads int64) string {
	if !a.packed {
		return x
	}
	x = a.op("Reshape", name+"_split", nil, x, a.ints(name+"_split_shape", 0, 0, heads, -1))
	return a.op("Transpose", name+"_heads", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, x)
}

// repeat serves each key or value head to its group of query heads.
func (a *attention) repeat(x, name string) string {
	group := a.heads / a.kvHeads
	if group == 1 {
		return x
	}
	x = a.op("Unsqueeze", name+"_group", nil, x, a.ints(name+"_group_axis", 2))
	x = a.op("Expand", name+"_repeat", nil, x, a.ints(name+"_repeats", 1, 1, group, 1, 1))
	x = a.op("Transpose", name+"_front", ir.Attrs{"perm": []int64{0, 3, 1, 2, 4}}, x) // so that one extent stays to be inferred
	x = a.op("Reshape", name+"_flat", nil, x, a.ints(name+"_flat_shape", 0, 0, a.heads, -1))
	return a.op("Transpose", name+"_all", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, x)
}

// lowerTriangle is true where position t may see position s ≤ t.
func (a *attention) lowerTriangle(q, k string) string {
	zero, one := a.int("from", 0), a.int("by", 1)
	position := func(x, name string) string {
		n := a.op("Shape", name+"_length", ir.Attrs{"start": int64(2), "end": int64(3)}, x)
		n = a.op("Squeeze", name+"_count", nil, n, a.ints(name+"_axis", 0))
		return a.op("Range", name+"_positions", nil, zero, n, one)
	}
	t := a.op("Unsqueeze", "rows", nil, position(q, "t"), a.ints("rows_axis", 1))
	return a.op("GreaterOrEqual", "visible", nil, t, position(k, "s"))
}

func (a *attention) int(suffix string, v int64) string {
	t := ir.NewInt64(a.graph.FreshName(a.from.Name+"/"+suffix), nil, []int64{v})
	a.constant(t)
	return t.Name
}
