package ghost

import (
	"math"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Work is what one run of a program computes.
type Work struct {
	// Operations are the multiplications and additions of matrix products: with
	// weights, of attention, and of the norms.
	Operations float64
	// Bytes are what all other operators read and write, those that compute an
	// exponential or the like several times over.
	Bytes float64
}

// Work counts what one run for so many records of that length computes. Values of
// unknown extents count as nothing.
func (p *Program) Work(records, length int64) Work {
	shapes, err := p.planShapes(records, length)
	if err != nil {
		return Work{}
	}
	w := &workCount{shapes: shapes, graph: p.Graph}
	w.nodes(p.Graph.Nodes)
	return w.Work
}

type workCount struct {
	Work
	shapes *planShapes
	graph  *ir.Graph
}

func (w *workCount) nodes(list []*ir.Node) {
	for _, n := range list {
		switch {
		case n.Is("If"): // the usual branch of a sum is its first
			if body, err := w.graph.Branch(n, "then_branch"); err == nil && w.shapes.learn(body.Inits, body.Nodes) == nil {
				w.nodes(body.Nodes)
			}
		case looks[n.Op] || n.Is("Shape") || n.Is("Constant"):
		default:
			w.node(n)
		}
	}
}

func (w *workCount) node(n *ir.Node) {
	if inner, is := w.contracted(n); is {
		out := w.shapes.of(n.Output(0))
		if out.Ranked {
			w.Operations += 2 * inner * float64(w.shapes.product(out.Shape))
		}
		return
	}
	var bytes int64
	for _, in := range n.Inputs {
		if n.Op != "Gather" || in != n.Input(0) { // of a table the rows that are read
			bytes += w.shapes.bytes(in)
		}
	}
	for _, out := range n.Outputs {
		bytes += w.shapes.bytes(out)
	}
	weight, heavy := heavyOperators[n.Op]
	if !heavy {
		weight = 1
	}
	w.Bytes += weight * float64(bytes)
}

// heavyOperators cost several times what their bytes say: relative to an addition, as
// onnxruntime's kernels were timed on one processor with AVX2.
var heavyOperators = map[string]float64{}

// contracted is the number of terms of each element of a product.
func (w *workCount) contracted(n *ir.Node) (terms float64, is bool) {
	a := w.shapes.of(n.Input(0))
	last := a.Rank() - 1
	if !a.Ranked || last < 0 {
		return 0, false
	}
	extent := func(axis int) float64 { return float64(w.shapes.product(a.Shape[axis : axis+1])) }
	switch n.Op {
	case "MatMul", "Gemm", "FusedMatMul":
		switch {
		case n.Int("transA", 0) == 0 || last == 0:
			return extent(last), true
		case n.Int("transBatchA", 0) != 0:
			return extent(0), true
		}
		return extent(last - 1), true
	case "MatMulNBits":
		return float64(n.Int("K", 0)), true
	case "Conv":
		kernel := w.shapes.of(n.Input(1))
		if kernel.Ranked && kernel.Rank() > 1 {
			return float64(w.shapes.product(kernel.Shape[1:])), true
		}
	case "Einsum":
		return w.einsum(n)
	}
	return 0, false
}

// einsum is the product of the extents of the letters that the result has not.
func (w *workCount) einsum(n *ir.Node) (terms float64, is bool) {
	left, right, _ := strings.Cut(strings.ReplaceAll(n.Str("equation", ""), " ", ""), "->")
	terms = 1
	seen := right
	for k, operand := range strings.Split(left, ",") {
		info := w.shapes.of(n.Input(k))
		if !info.Ranked || len(operand) != info.Rank() {
			return 0, true
		}
		for i, letter := range operand {
			if !strings.ContainsRune(seen, letter) {
				seen += string(letter)
				terms *= math.Max(1, float64(w.shapes.product(info.Shape[i:i+1])))
			}
		}
	}
	return terms, true
}
