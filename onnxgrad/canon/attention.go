package canon

import (
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A scoring says how attention weighs positions.
type scoring struct {
	scale   float32
	softcap float32  // scores become softcap·tanh(score/softcap); 0: none
	causal  bool     // position t sees s ≤ t only
	window  int64    // and, where positive, only s > t − window
	keep    []string // boolean masks, true where a position may be seen
	add     []string // added to the scores
	empty   bool     // a row that is forbidden entirely gives 0, not NaN
}

// attend emits, for queries [B,H,T,d], keys [B,H,S,d] and values [B,H,S,v],
//
//	softmax(scale·Q·Kᵀ + masks) · V   [B,H,T,v]
func (x *expander) attend(q, k, v string, o scoring) string {
	kt := x.op("Transpose", "kt", ir.Attrs{"perm": []int64{0, 1, 3, 2}}, k)
	s := x.op("MatMul", "products", nil, q, kt)
	s = x.op("Mul", "scores", nil, s, x.scalar("scale", o.scale))
	if o.softcap != 0 {
		s = x.op("Div", "over_cap", nil, s, x.scalar("cap", o.softcap))
		s = x.op("Tanh", "capped", nil, s)
		s = x.op("Mul", "softcap", nil, s, x.scalar("cap_back", o.softcap))
	}
	never := x.scalar("never", float32(math.Inf(-1)))
	if o.causal {
		s = x.op("Where", "causal", nil, x.visible(q, k, o.window), s, never)
	}
	for _, m := range o.keep {
		s = x.op("Where", "masked", nil, m, s, never)
	}
	for _, m := range o.add {
		s = x.op("Add", "biased", nil, s, m)
	}
	p := x.op("Softmax", "weights", ir.Attrs{"axis": int64(-1)}, s)
	if o.empty {
		nan := x.op("IsNaN", "empty_rows", nil, p)
		p = x.op("Where", "probabilities", nil, nan, x.scalar("zero", 0), p)
	}
	return x.op("MatMul", "context", nil, p, v)
}

// visible is true where position t may see position s: s ≤ t, and s > t − window
// where a window is set.
func (x *expander) visible(q, k string, window int64) string {
	t := x.op("Unsqueeze", "rows", nil, x.positions(q, "t", 2), x.ints("rows_axis", 1))
	s := x.positions(k, "s", 2)
	see := x.op("GreaterOrEqual", "visible", nil, t, s)
	if window > 0 {
		last := x.op("Add", "reach", nil, s, x.int("window", window))
		see = x.op("And", "in_window", nil, see, x.op("Less", "near", nil, t, last))
	}
	return see
}

// toHeads takes [B,T,heads·d] to [B,heads,T,d].
func (x *expander) toHeads(v, name string, heads int64) string {
	v = x.op("Reshape", name+"_split", nil, v, x.ints(name+"_split_shape", 0, 0, heads, -1))
	return x.op("Transpose", name+"_heads", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, v)
}

// join takes [B,heads,T,d] to [B,T,heads·d] in the node's first result.
func (x *expander) join(y string) {
	y = x.op("Transpose", "joined", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, y)
	x.into(x.n.Output(0), "Reshape", nil, y, x.ints("joined_shape", 0, 0, -1))
}

// repeatHeads serves each of the kv heads to its group of query heads.
func (x *expander) repeatHeads(v, name string, heads, kv int64) string {
	group := heads / kv
	if group == 1 {
		return v
	}
	v = x.op("Unsqueeze", name+"_group", nil, v, x.ints(name+"_group_axis", 2))
	v = x.op("Expand", name+"_repeat", nil, v, x.ints(name+"_repeats", 1, 1, group, 1, 1))
	v = x.op("Transpose", name+"_front", ir.Attrs{"perm": []int64{0, 3, 1, 2, 4}}, v) // so that one extent stays to be inferred
	v = x.op("Reshape", name+"_flat", nil, v, x.ints(name+"_flat_shape", 0, 0, heads, -1))
	return x.op("Transpose", name+"_all", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, v)
}

// scaleOf reads the attribute scale; absent or 0 means 1/√d.
func (x *expander) scaleOf(width int64) float32 {
	if s := x.n.Float("scale", 0); s != 0 {
		return s
	}
	return float32(1 / math.Sqrt(float64(width)))
}

// attention23 expands Attention of opset 23; inputs of rank 3 hold the heads
// side by side. A cache or a requested score output is refused.
func (x *expander) attention23() error {
	if err := x.absent(map[int]string{4: "a cache of past keys", 5: "a cache of past values"}); err != nil {
		return err
	}
	if err := x.onlyOutputs(0); err != nil {
		return err
	}
	qi, ki := x.info(0), x.info(1)
	if !qi.Ranked || !ki.Ranked || qi.Rank() != ki.Rank() || qi.Rank() != 3 && qi.Rank() != 4 {
		return fmt.Errorf("queries %v and keys %v", qi, ki)
	}
	packed := qi.Rank() == 3
	heads, kv := x.n.Int("q_num_heads", 0), x.n.Int("kv_num_heads", 0)
	width, ok := qi.Shape[qi.Rank()-1].Const()
	if packed && heads > 0 {
		ok = ok && width%heads == 0
		width /= heads
	} else if !packed {
		var okq, okk bool
		heads, okq = qi.Shape[1].Const()
		kv, okk = ki.Shape[1].Const()
		ok = ok && okq && okk
	}
	if !ok || heads <= 0 || kv <= 0 || heads%kv != 0 || width == 0 {
		return fmt.Errorf("queries %v and keys %v with %d and %d heads", qi, ki, heads, kv)
	}
	o := scoring{scale: x.scaleOf(width), softcap: x.n.Float("softcap", 0), causal: x.n.Int("is_causal", 0) != 0, empty: true}
	if m := x.n.Input(3); m != "" && x.info(3).DType == ir.Bool {
		o.keep = []string{m}
	} else if m != "" {
		o.add = []string{m}
	}
	q, k, v := x.n.Input(0), x.n.Input(1), x.n.Input(2)
	if packed {
		q, k, v = x.toHeads(q, "q", heads), x.toHeads(k, "k", kv), x.toHeads(v, "v", kv)
	}
	k, v = x.repeatHeads(k, "k", heads, kv), x.repeatHeads(v, "v", heads, kv)
	y := x.attend(q, k, v, o)
	if packed {
		x.join(y)
	} else {
		x.into(x.n.Output(0), "Identity", nil, y)
	}
	return nil
}
