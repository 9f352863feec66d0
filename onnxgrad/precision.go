package onnxgrad

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// Halve has every product of two float32 matrices, none of them a row or a column, that the graph and the builder
// hold so far computed in a half precision: the factors are rounded to it, once for
// each value, and the result is rounded to it by the kernel, which adds up in
// float32, and widened again. Everything else stays float32, and every value keeps
// its name, type and shape: what is appended afterwards is not touched.
//
// emulated computes the products in float32 between the same roundings, for a
// processor without kernels of that type.
func (b *Builder) Halve(to ir.DType, emulated bool) {
	h := &halver{Builder: b, to: to, emulated: emulated, halves: map[string]string{}}
	old := b.prefix
	b.prefix = "half"
	b.Graph.Nodes = h.rewrite(b.Graph.Nodes)
	for _, section := range b.order {
		b.sections[section] = h.rewrite(b.sections[section])
	}
	b.prefix = old
}

// A halver rewrites the products of lists of nodes.
type halver struct {
	*Builder
	to       ir.DType
	emulated bool
	halves   map[string]string // float32 value → the same rounded
	out      []*ir.Node
}

func (h *halver) rewrite(nodes []*ir.Node) []*ir.Node {
	h.out = make([]*ir.Node, 0, len(nodes))
	for _, n := range nodes {
		switch {
		case !h.halvable(n):
			h.out = append(h.out, n)
		case n.Is("Gemm"):
			h.gemm(n)
		default:
			h.product(n, n.Outputs[0])
		}
	}
	return h.out
}

// halvable reports a product of float32 matrices. One with a column or a row is a
// weighted sum, of a normalisation for instance: it stays what it is.
func (h *halver) halvable(n *ir.Node) bool {
	if !n.Is("MatMul") && !n.Is("Gemm") && (n.Op != "FusedMatMul" || n.Domain != "com.microsoft") {
		return false
	}
	for _, in := range n.Inputs[:2] {
		info := h.Values.Of(in)
		if r := info.Rank(); info.DType != ir.Float32 || !info.Ranked || r < 2 || info.Shape[r-1].Is(1) || info.Shape[r-2].Is(1) {
			return false
		}
	}
	return true
}

// gemm adds C in float32, behind the product.
func (h *halver) gemm(n *ir.Node) {
	c, beta := n.Input(2), n.Float("beta", 1)
	p := n.Clone()
	p.Inputs = p.Inputs[:2]
	delete(p.Attrs, "beta")
	if c == "" || beta == 0 {
		h.product(p, n.Outputs[0])
		return
	}
	product := h.fresh("Gemm")
	h.Values.Set(product, h.Values.Of(n.Outputs[0]))
	h.product(p, product)
	if beta != 1 {
		scaled := h.fresh("Mul")
		h.emit(&ir.Node{Name: scaled, Op: "Mul", Inputs: []string{c, h.Scalar(beta)}, Outputs: []string{scaled}, Attrs: ir.Attrs{}})
		c = scaled
	}
	h.emit(&ir.Node{Name: h.fresh("Add"), Op: "Add", Inputs: []string{product, c}, Outputs: n.Outputs, Attrs: ir.Attrs{}, Scope: n.Scope})
}

// product emits n with rounded factors, and its widened result as output.
func (h *halver) product(n *ir.Node, output string) {
	p := n.Clone()
	for i, in := range p.Inputs[:2] {
		p.Inputs[i] = h.half(in)
	}
	p.Outputs = []string{h.fresh(n.Op)}
	h.emit(p)
	rounded := p.Outputs[0]
	if h.emulated {
		rounded = h.cast(rounded, h.to)
	}
	h.emit(&ir.Node{Name: h.fresh("Cast"), Op: "Cast", Inputs: []string{rounded}, Outputs: []string{output}, Attrs: ir.Attrs{"to": int64(ir.Float32)}})
}

// half is a value rounded. A transposed one is the transpose of the rounded value,
// so that the runtime still takes the transposition into the product.
func (h *halver) half(x string) string {
	if y, ok := h.halves[x]; ok {
		return y
	}
	y := ""
	if t := h.producer[x]; t != nil && t.Is("Transpose") {
		y = h.fresh("Transpose")
		h.emit(&ir.Node{Name: y, Op: "Transpose", Inputs: []string{h.half(t.Inputs[0])}, Outputs: []string{y}, Attrs: t.Attrs})
	} else if y = h.cast(x, h.to); h.emulated {
		y = h.cast(y, ir.Float32)
	}
	h.halves[x] = y
	return y
}

func (h *halver) cast(x string, to ir.DType) string {
	y := h.fresh("Cast")
	h.emit(&ir.Node{Name: y, Op: "Cast", Inputs: []string{x}, Outputs: []string{y}, Attrs: ir.Attrs{"to": int64(to)}})
	return y
}

// emit appends to the list in work. What is known of a value that the node makes
// anew is kept: the same number as before.
func (h *halver) emit(n *ir.Node) {
	known := map[string]infer.Info{}
	for _, o := range n.Outputs {
		if info := h.Values.Of(o); info.DType != ir.Undefined {
			known[o] = info
		}
	}
	h.out = append(h.out, n)
	for _, o := range n.Outputs {
		h.producer[o] = n
	}
	if err := h.Values.Node(n); err != nil {
		h.fail(err)
	}
	for o, info := range known {
		h.Values.Set(o, info)
	}
}
