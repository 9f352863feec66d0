package convert

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// packed reads the queries', keys' and values' columns of one matrix.
func (f *useFinder) packed(n *ir.Node) {
	w, ok := f.read(n.Input(1), roleLinear, n)
	if !ok || len(w.tensor.Dims) != 2 || w.flipped {
		return
	}
	total := w.tensor.Dims[1]
	sizes, given := n.Ints("qkv_hidden_sizes")
	if !given {
		sizes = []int64{total / 3, total / 3, total / 3}
	}
	if len(sizes) != 3 || sizes[0]+sizes[1]+sizes[2] != total {
		return
	}
	b, biased := f.read(n.Input(2), roleBias, n)
	at := int64(0)
	for _, s := range sizes {
		part := *w
		part.from, part.to, part.module, part.names = at, at+s, "", nil
		f.keep(&part)
		if biased && b.tensor.Len() == total {
			shift := *b
			shift.from, shift.to, shift.module, shift.names, shift.of = at, at+s, "", nil, &part
			f.keep(&shift)
		}
		at += s
	}
}

// relativeTable reads T5's table of relative positions, which the operator takes
// column by column.
func (f *useFinder) relativeTable(n *ir.Node) {
	u, ok := f.read(n.Input(0), roleTable, n)
	if !ok || u.flipped || len(u.tensor.Dims) != 2 {
		return
	}
	t := u.tensor
	u.tensor, u.flipped = ir.NewLazy(t.Name, t.DType, []int64{t.Dims[1], t.Dims[0]}, t.Bytes), true
	if p := f.producer[n.Input(1)]; p != nil {
		u.module = modulePath(p) + ".relative_attention_bias"
	}
	f.keep(u)
}

// packedBias reads the biases of three products from one vector.
func (f *useFinder) packedBias(n *ir.Node) {
	b, ok := f.read(n.Input(3), roleBias, n)
	if !ok {
		return
	}
	at := int64(0)
	for i := range 3 {
		l := f.linearBehind(n.Input(i))
		if l == nil {
			return
		}
		width := l.shape()[1]
		if at+width > b.tensor.Len() {
			return
		}
		part := *b
		part.from, part.to, part.names, part.of, part.module = at, at+width, nil, l, l.module
		f.keep(&part)
		at += width
	}
}
