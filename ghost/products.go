package ghost

import (
	"cmp"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A Product is a multiplication of activations with a weight matrix in the
// forward pass, X [Rows,In] · W [In,Out], and how often the model makes one of
// these extents.
type Product struct {
	Rows, In, Out int64
	Times         int64
}

// Operations is the work of all of them in one direction, 2·Rows·In·Out each,
// multiplications and additions counted.
func (p Product) Operations() float64 {
	return 2 * float64(p.Rows) * float64(p.In) * float64(p.Out) * float64(p.Times)
}

// Products lists the weight products that the output needs, for a batch of that
// many records and that length, the largest first. A training step makes each
// three times: forward, for the gradient of X and for the gradient of W, which
// together are the 6·parameters·tokens of the usual estimate. Products of
// activations with each other (attention scores) are not in the list, nor are
// convolutions other than those of patches.
func (p *Prepared) Products(records, length int64) []Product {
	env := symbols(p.Graph.Inputs, records, length)
	times := map[Product]int64{}
	for _, n := range needed(p.Graph.Graph, p.Output) {
		if product, ok := p.productOf(n, env); ok {
			times[product]++
		}
	}
	var out []Product
	for product, n := range times {
		product.Times = n
		out = append(out, product)
	}
	slices.SortFunc(out, func(a, b Product) int {
		return cmp.Or(cmp.Compare(b.Operations(), a.Operations()), cmp.Compare(a.Rows, b.Rows), cmp.Compare(a.In, b.In))
	})
	return out
}

// multiplies lists the operators of a product with a matrix as second operand.
var multiplies = map[string]bool{"MatMul": true, "Gemm": true, "FusedMatMul": true, "TransposeMatMul": true, "FusedGemm": true}

// productOf reads a node as X·W: W is a matrix that no record has a part in, Y =
// X·W has one row for each of X's, so that In follows from W's elements.
func (p *Prepared) productOf(n *ir.Node, env map[string]int64) (Product, bool) {
	if !multiplies[n.Op] || p.Proof.Of(n.Input(0)).Kind != separate.Batch || p.Proof.Of(n.Input(1)).Kind != separate.Invariant {
		return Product{}, false
	}
	w, y := p.Values.Of(n.Input(1)), p.Values.Of(n.Output(0))
	if w.Rank() != 2 || y.Rank() < 2 {
		return Product{}, false
	}
	weight, known := sym.Product(w.Shape...).Eval(env)
	all, sized := sym.Product(y.Shape...).Eval(env)
	columns, fixed := y.Shape[y.Rank()-1].Eval(env)
	if !known || !sized || !fixed || columns <= 0 || weight <= 0 || all <= 0 {
		return Product{}, false
	}
	return Product{Rows: all / columns, In: weight / columns, Out: columns}, true
}

// needed lists the nodes that a value depends on.
func needed(g *ir.Graph, value string) []*ir.Node {
	want := map[string]bool{value: true}
	var out []*ir.Node
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(o string) bool { return want[o] }) {
			out = append(out, n)
			for _, in := range n.Reads() {
				want[in] = true
			}
		}
	}
	return out
}

// symbols gives the dimensions of inputs their values: every length that is not
// the batch's is the sequence's.
func symbols(inputs []*ir.ValueInfo, records, length int64) map[string]int64 {
	env := map[string]int64{separate.BatchSymbol: records, separate.SequenceSymbol: length}
	for _, in := range inputs {
		for _, d := range in.Dims {
			if _, known := env[d.Param]; !known && d.Param != "" {
				env[d.Param] = length
			}
		}
	}
	return env
}
