package canon

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// maskFilter is the number that onnxruntime's attention operators add to a
// forbidden score unless the node says otherwise.
const maskFilter = -10000

// packedAttention expands com.microsoft.Attention: input [B,T,d], one matrix
// [d, q+k+v] for queries, keys and values, its bias, then attention.
func (x *expander) packedAttention() error {
	absent := map[int]string{4: "a cache of past keys and values", 6: "the length of a cache"}
	if err := x.absent(absent); err != nil {
		return err
	}
	if err := x.onlyOutputs(0); err != nil {
		return err
	}
	if x.n.Int("do_rotary", 0) != 0 {
		return fmt.Errorf("do_rotary inside packed attention")
	}
	heads := x.n.Int("num_heads", 0)
	total, ok := x.extent(1, 1)
	sizes, given := x.n.Ints("qkv_hidden_sizes")
	if !given {
		sizes = []int64{total / 3, total / 3, total / 3}
	}
	if !ok || heads <= 0 || len(sizes) != 3 || sizes[0]+sizes[1]+sizes[2] != total || sizes[0] != sizes[1] || sizes[0]%heads != 0 || sizes[2]%heads != 0 {
		return fmt.Errorf("weights %v for %d heads with sizes %v", x.info(1), heads, sizes)
	}
	qkv := x.op("MatMul", "qkv", nil, x.n.Input(0), x.n.Input(1))
	if b := x.n.Input(2); b != "" {
		qkv = x.op("Add", "qkv_biased", nil, qkv, b)
	}
	parts := x.split(qkv, "part", sizes...)
	o := scoring{scale: x.scaleOf(sizes[0] / heads), causal: x.n.Int("unidirectional", 0) != 0}
	if err := x.mask(3, &o); err != nil {
		return err
	}
	if b := x.n.Input(5); b != "" {
		o.add = append(o.add, b)
	}
	x.join(x.attend(x.toHeads(parts[0], "q", heads), x.toHeads(parts[1], "k", heads), x.toHeads(parts[2], "v", heads), o))
	return nil
}

// mask adds operand i to the scoring, in the forms that onnxruntime reads: rows
// of 0 and 1 [B,S], [B,T,S] or [B,1,T,S], and the number of valid positions [B].
func (x *expander) mask(i int, o *scoring) error {
	m, info := x.n.Input(i), x.info(i)
	if m == "" {
		return nil
	}
	if !info.Ranked {
		return fmt.Errorf("a mask of unknown rank (%q)", m)
	}
	filter := x.n.Float("mask_filter_value", maskFilter)
	axes := map[int][]int64{2: {1, 2}, 3: {1}, 4: nil}
	switch at, known := axes[info.Rank()]; {
	case info.Rank() == 1:
		if !x.info(0).Ranked || !equalDim(info.Shape[0], x.info(0).Shape[0]) {
			return fmt.Errorf("a mask of shape %v, which is not one length per record", info.Shape)
		}
		s := x.positions(x.n.Input(0), "mask", 1)
		length := x.op("Unsqueeze", "valid", nil, x.cast(m, "valid_count", ir.Int64), x.ints("valid_axes", 1, 2, 3))
		m = x.op("Less", "valid_positions", nil, s, length)
	case !known:
		return fmt.Errorf("a mask of shape %v", info.Shape)
	default:
		if info.DType != ir.Bool {
			m = x.op("Greater", "kept", nil, x.cast(m, "mask_number", ir.Int64), x.int("none", 0))
		}
		if at != nil {
			m = x.op("Unsqueeze", "mask_axes", nil, m, x.ints("mask_new_axes", at...))
		}
	}
	o.add = append(o.add, x.op("Where", "mask_bias", nil, m, x.scalar("kept_bias", 0), x.scalar("filter", filter)))
	return nil
}

// multiHeadAttention expands com.microsoft.MultiHeadAttention: queries, keys and
// values [B,T,heads·d], keys and values also [B,heads,S,d], or all three packed
// as [B,T,heads,3,d] in the first operand; one bias for the three.
func (x *expander) multiHeadAttention() error {
	absent := map[int]string{6: "a cache of past keys", 7: "a cache of past values", 8: "the length of a cache", 9: "cache indirection"}
	if err := x.absent(absent); err != nil {
		return err
	}
	if err := x.onlyOutputs(0); err != nil {
		return err
	}
	heads := x.n.Int("num_heads", 0)
	if heads <= 0 || !x.info(0).Ranked {
		return fmt.Errorf("%d heads over queries %v", heads, x.info(0))
	}
	q, k, v, err := x.queriesKeysValues(heads)
	if err != nil {
		return err
	}
	info := x.values.Of(q)
	width, ok := info.Shape[len(info.Shape)-1].Const()
	if !ok {
		return fmt.Errorf("queries %v of unknown width", info)
	}
	o := scoring{scale: x.scaleOf(width), causal: x.n.Int("unidirectional", 0) != 0}
	if x.n.Input(4) != "" && x.info(4).Ranked && x.info(4).Rank() == 1 && x.n.Input(1) != "" {
		return fmt.Errorf("a key mask of lengths (%q)", x.n.Input(4))
	}
	if err := x.mask(4, &o); err != nil {
		return err
	}
	if b := x.n.Input(5); b != "" {
		o.add = append(o.add, b)
	}
	x.join(x.attend(q, k, v, o))
	return nil
}

// queriesKeysValues brings the operands to [B,heads,T,d], with the bias added.
func (x *expander) queriesKeysValues(heads int64) (q, k, v string, err error) {
	if x.n.Input(1) == "" { // packed
		if x.info(0).Rank() != 5 {
			return "", "", "", fmt.Errorf("packed queries %v", x.info(0))
		}
		if x.n.Input(3) != "" {
			return "", "", "", fmt.Errorf("a bias on packed queries, keys and values")
		}
		t := x.op("Transpose", "unpacked", ir.Attrs{"perm": []int64{3, 0, 2, 1, 4}}, x.n.Input(0))
		part := func(i int64, name string) string {
			return x.op("Gather", name, ir.Attrs{"axis": int64(0)}, t, x.int(name+"_at", i))
		}
		return part(0, "q"), part(1, "k"), part(2, "v"), nil
	}
	bias, err := x.threeBiases()
	if err != nil {
		return "", "", "", err
	}
	out := [3]string{}
	for i, name := range []string{"q", "k", "v"} {
		in, info := x.n.Input(i), x.info(i)
		if in == "" || !info.Ranked || info.Rank() != 3 && info.Rank() != 4 {
			return "", "", "", fmt.Errorf("operand %d is %v", i, info)
		}
		if bias[i] != "" {
			if info.Rank() != 3 {
				return "", "", "", fmt.Errorf("a bias on keys or values that are already split into heads")
			}
			in = x.op("Add", name+"_biased", nil, in, bias[i])
		}
		if info.Rank() == 3 {
			in = x.toHeads(in, name, heads)
		}
		out[i] = in
	}
	return out[0], out[1], out[2], nil
}

// threeBiases splits operand 3.
func (x *expander) threeBiases() (b [3]string, err error) {
	if x.n.Input(3) == "" {
		return b, nil
	}
	sizes := make([]int64, 3)
	for i := range sizes {
		info := x.info(i)
		last, ok := int64(0), false
		if info.Ranked && info.Rank() == 3 {
			last, ok = info.Shape[2].Const()
		} else if i > 0 {
			last, ok = sizes[0], true
		}
		if !ok {
			return b, fmt.Errorf("operand %d is %v", i, info)
		}
		sizes[i] = last
	}
	copy(b[:], x.split(x.n.Input(3), "bias", sizes...))
	return b, nil
}

// groupQueryAttention expands com.microsoft.GroupQueryAttention without a cache:
// causal attention in which groups of query heads share keys and values, with
// rotary positions where the node asks for them. Its operand seqlens_k says how
// many tokens a record has; what stands behind them is padding, which the causal
// mask keeps from every token before it.
func (x *expander) groupQueryAttention() error {
	if err := x.emptyCache(3, 4); err != nil {
		return err
	}
	if err := x.onlyOutputs(0); err != nil {
		return err
	}
	heads, kv := x.n.Int("num_heads", 0), x.n.Int("kv_num_heads", 0)
	last, ok := x.extent(0, 2)
	if !ok || heads <= 0 || kv <= 0 || heads%kv != 0 {
		return fmt.Errorf("queries %v with %d and %d heads", x.info(0), heads, kv)
	}
	q, k, v := x.n.Input(0), x.n.Input(1), x.n.Input(2)
	width := last / heads
	if k == "" { // packed [B,T,(heads + 2·kv)·d]
		width = last / (heads + 2*kv)
		parts := x.split(q, "part", heads*width, kv*width, kv*width)
		q, k, v = parts[0], parts[1], parts[2]
	}
	q, k, v = x.toHeads(q, "q", heads), x.toHeads(k, "k", kv), x.toHeads(v, "v", kv)
	if x.n.Int("do_rotary", 0) != 0 {
		r := rotation{cos: x.n.Input(7), sin: x.n.Input(8), interleaved: x.n.Int("rotary_interleaved", 0) != 0, headAxis: 1}
		r.at = x.n.Input(9)
		if r.at == "" {
			r.at = x.positions(q, "token", 2)
		}
		var err error
		if q, err = x.rotate(q, "q", r); err != nil {
			return err
		}
		if k, err = x.rotate(k, "k", r); err != nil {
			return err
		}
	}
	o := scoring{scale: x.scaleOf(width), softcap: x.n.Float("softcap", 0), causal: true, window: x.n.Int("local_window_size", -1)}
	if b := x.n.Input(10); b != "" {
		o.add = append(o.add, b)
	}
	if x.n.Int("smooth_softmax", 0) > 0 || x.n.Input(11) != "" {
		return fmt.Errorf("a smooth softmax")
	}
	x.join(x.attend(q, x.repeatHeads(k, "k", heads, kv), x.repeatHeads(v, "v", heads, kv), o))
	return nil
}

// emptyCache accepts operands that hold a cache of past keys and values only
// where its length was set to 0 for training.
func (x *expander) emptyCache(operands ...int) error {
	for _, i := range operands {
		info := x.info(i)
		if x.n.Input(i) == "" || info.Ranked && info.Rank() == 4 && info.Shape[2].Is(0) {
			continue
		}
		return fmt.Errorf("it reads a cache of past keys or values (%q, %v); export the model without one", x.n.Input(i), info)
	}
	return nil
}
