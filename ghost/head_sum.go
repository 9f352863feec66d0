package ghost

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// contribute makes the first pass and hands what it gives to the backward pass and to
// the collector: the gradient of the head's input is returned as a seed.
func (h *head) contribute(weight string) (seeds map[string]string, err error) {
	h.made = h.firstPass(weight)
	if h.weight != "" {
		last := h.lse
		h.collected.add(h.weight, last, part{kind: "linear", emit: func(*onnxgrad.Builder) contribution { return chunked{h} }})
	}
	for _, v := range h.linear.Vectors() {
		if root := h.biases[v]; root != "" {
			if err := h.instantiate(root, h.made["vector "+v]); err != nil {
				return nil, err
			}
		}
	}
	if h.inputs {
		seeds = map[string]string{h.linear.Input: h.Reshape(h.made["input"], h.Shape(h.linear.Input))}
	}
	return seeds, h.Err()
}

// instantiate gives the collector the gradient [B,V] of a vector.
func (h *head) instantiate(root, g string) error {
	shape := []sym.Dim{h.batch}
	for _, d := range h.collected.trained[root].Shape {
		shape = append(shape, sym.Const(d))
	}
	return h.collected.Instantiated(root, h.Reshape(g, shape))
}

// checkParts makes sure that the matrix has no part that the chunks have not seen.
func (h *head) checkParts() error {
	if h == nil || h.weight == "" {
		return nil
	}
	for i, p := range h.collected.found[h.weight].parts {
		if i == 0 && p.kind == "linear" || p.kind == "embedding" && h.lookUps[p.node] != nil {
			continue
		}
		return fmt.Errorf("%w: %s has a part of its gradient elsewhere (%s)", errWholeHead, h.weight, p.kind)
	}
	return nil
}

// squared returns the terms of the matrix's squared norm that its head has part in,
// [B] each: its own, and with each look-up
//
//	2⟨Σ_s g_s x_sᵀ, Σ_t e_{id_t} h_tᵀ⟩ = 2 Σ_{t,s} (h_t · x_s) · g_s[id_t]
//
// where g_s runs over the vocabulary and was read at the look-up's words.
func (c chunked) squared(parts []contribution) []string {
	terms := []string{c.Reshape(c.made["square"], []sym.Dim{c.batch})}
	for _, p := range parts {
		r, ok := p.(rows)
		if !ok {
			continue
		}
		products := c.MatMul(c.x, c.SwapLast(r.G)) // [B,S,T]
		at := c.Reshape(c.made["at "+r.node], c.Shape(products))
		terms = append(terms, c.Scale(c.ReduceSum(c.Mul(at, products), false, 1, 2), 2))
	}
	return terms
}

// addChunked adds Σ_i c_i G_iᵀX_i, of the logits' gradients G, chunk by chunk of words:
// each chunk's logits give some rows (or columns) of the sum, and are forgotten.
func (s *summer) addChunked(total string, h chunked) string {
	x := h.Mul(h.x, s.Scale(h.rows, h.linear.Scale))
	if s.factor != "" {
		x = s.times(x)
	}
	s.column(s.ok)
	left := s.turned(x)
	sum := s.If(s.plain, func() string {
		return h.sumOverWords(s, left, func(g string) string { return g })
	}, func() string {
		return h.sumOverWords(s, s.turned(s.zeroed(x)), s.zeroed)
	})
	if total == "" {
		return sum
	}
	return s.Add(sum, total)
}

// sumOverWords emits the sum of the products of left [d,B·T] with the gradients of
// the logits, which are made anew.
func (h *head) sumOverWords(s *summer, left string, selected func(string) string) string {
	var parts []string
	for _, r := range h.ranges() {
		w := h.linear.WeightOf(s.Builder, r, false)
		z := h.linear.Logits(s.Builder, h.x, w, r)
		p := s.Op("Exp", nil, s.Sub(z.Value, h.lse))
		g := z.Back(s.Builder, r.MinusOne(s.Builder, h.linear, p, h.index), nil)
		parts = append(parts, s.Op("Gemm", ir.Attrs{}, left, s.flat(selected(g))))
	}
	if !h.linear.VocabularyFirst {
		return s.joinedAt(1, parts)
	}
	for i, part := range parts {
		parts[i] = s.apart(part)
	}
	return s.joinedAt(0, parts)
}

// apart turns a matrix over with an axis of extent 1 that is dropped behind it. By
// itself the transposition would be moved by the runtime behind the joining of all
// chunks, where it is a copy of the whole.
func (s *summer) apart(x string) string {
	d := s.Shape(x)
	turned := s.Transpose(s.Reshape(x, []sym.Dim{sym.Const(1), d[0], d[1]}), 0, 2, 1)
	return s.Reshape(turned, []sym.Dim{d[1], d[0]})
}
