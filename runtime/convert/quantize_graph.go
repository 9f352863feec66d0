package convert

import (
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A quantizer rewrites a graph's products.
type quantizer struct {
	g       *ir.Graph
	options QuantizeOptions
	coded   map[string][]*ir.Tensor // by weight and its orientation
	layers  int
}

func (q *quantizer) run() (int, error) {
	f := &useFinder{g: q.g, producer: q.g.Index().Producer, linear: map[string]*paramUse{}}
	heads := q.outputLayers(f.producer)
	var nodes []*ir.Node
	for _, n := range q.g.Nodes {
		var u *paramUse
		if n.Is("MatMul") || n.Is("Gemm") && n.Int("transA", 0) == 0 && n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 {
			u = f.product(n, n.Is("Gemm") && n.Int("transB", 0) != 0)
		}
		if u == nil || heads[n] && !q.options.Head || u.offset != 0 || u.shape()[0] < 16 {
			nodes = append(nodes, n)
			continue
		}
		replaced, err := q.replace(n, u, f)
		if err != nil {
			return 0, fmt.Errorf("%v: %w", n, err)
		}
		nodes = append(nodes, replaced...)
		q.layers++
	}
	q.g.Nodes = nodes
	if q.layers > 0 {
		q.g.Opset["com.microsoft"] = 1
	}
	q.g.Prune()
	return q.layers, q.g.Sort()
}

// outputLayers are the products that make a graph output, up to what keeps a row's
// elements together.
func (q *quantizer) outputLayers(producer map[string]*ir.Node) map[*ir.Node]bool {
	out := map[*ir.Node]bool{}
	for _, o := range q.g.Outputs {
		value := o.Name
		for range 8 {
			n := producer[value]
			if n == nil {
				break
			}
			if n.Is("MatMul") || n.Is("Gemm") {
				out[n] = true
				break
			}
			if !slices.Contains([]string{"Add", "Identity", "Cast", "Reshape", "Mul", "Squeeze"}, n.Op) {
				break
			}
			value = n.Input(0)
			if _, constant := q.g.Inits[value]; constant {
				value = n.Input(1)
			}
		}
	}
	return out
}

// replace writes MatMulNBits, and the addition of a Gemm, instead of a product.
func (q *quantizer) replace(n *ir.Node, u *paramUse, f *useFinder) ([]*ir.Node, error) {
	key := fmt.Sprint(u.tensor.Name, u.flipped)
	shape := u.shape()
	if q.coded[key] == nil {
		tensors, err := q.code(u, shape, q.computedIn(n, f.producer))
		if err != nil {
			return nil, err
		}
		for _, t := range tensors {
			q.g.AddInit(t)
		}
		q.coded[key] = tensors
	}
	product := &ir.Node{
		Name: n.Name + "_nbits", Op: "MatMulNBits", Domain: "com.microsoft", Scope: n.Scope,
		Inputs: []string{n.Input(0)}, Outputs: []string{n.Output(0)},
		Attrs: ir.Attrs{"K": shape[0], "N": shape[1], "bits": q.options.Bits, "block_size": q.options.Block},
	}
	for _, t := range q.coded[key] {
		product.Inputs = append(product.Inputs, t.Name)
	}
	if n.Input(2) == "" {
		return []*ir.Node{product}, nil
	}
	product.Outputs = []string{q.g.FreshName(n.Output(0) + "_product")}
	add := &ir.Node{Name: n.Name + "_bias", Op: "Add", Scope: n.Scope, Inputs: []string{product.Outputs[0], n.Input(2)}, Outputs: n.Outputs, Attrs: ir.Attrs{}}
	return []*ir.Node{product, add}, nil
}

// code reads a weight as [in,out] and encodes it.
func (q *quantizer) code(u *paramUse, shape []int64, of ir.DType) ([]*ir.Tensor, error) {
	w, err := u.tensor.Float32s()
	if err != nil {
		return nil, err
	}
	for _, v := range w {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, bad("weight %q holds %g, which has no code", u.tensor.Name, v)
		}
	}
	if u.flipped {
		w = transposedFloats(w, shape[1], shape[0])
	}
	name := u.tensor.Name
	if q.coded[fmt.Sprint(name, !u.flipped)] != nil {
		name += "_transposed"
	}
	return encodeBlocks(w, shape[0], shape[1], q.options.Bits, q.options.Block, q.options.Symmetric).tensors(q.g.FreshName(name+"_nbits"), of)
}

// computedIn is the type in which a product is computed: its weight's, behind the
// casts.
func (q *quantizer) computedIn(n *ir.Node, producer map[string]*ir.Node) ir.DType {
	value := n.Input(1)
	for {
		if t, ok := q.g.Inits[value]; ok {
			return t.DType
		}
		p := producer[value]
		if p.Is("Cast") {
			return ir.DType(p.Int("to", int64(ir.Float32)))
		}
		value = p.Input(0)
	}
}

// transposedFloats returns rows×columns numbers as columns×rows.
func transposedFloats(v []float32, rows, columns int64) []float32 {
	out := make([]float32, len(v))
	for i := range rows {
		for j := range columns {
			out[j*rows+i] = v[i*columns+j]
		}
	}
	return out
}
