package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A scaling is y = c·r·γ (+ β) over the axes from "axis" on, of n elements: c is
// x − μ for LayerNormalization and x itself for RMS, r the inverse deviation.
type scaling struct {
	*VJP
	c, r string
	mean bool // c is centred
	axes []int
	gc   string // g·c
}

// y = x̂·γ + β, x̂ = (x − μ)·r, over the axes from "axis" on:
//
//	x: r·(ĝ − mean ĝ − x̂·mean(ĝ·x̂)),  ĝ = g·γ
//	γ: g·x̂      β: g
//
// μ and r are the operator's second and third results. Where the loss reads them
// too, x gets gμ/n − gr·r²·x̂/n, n the number of elements that were averaged.
func vjpLayerNorm(v *VJP) error {
	rank := v.Rank(v.X(0))
	stats := v.statistics(rank, "mean", "inv_std")
	s := &scaling{VJP: v, r: stats[1], mean: true, axes: v.normalizedAxes(rank)}
	if v.Want(0) || v.Want(1) {
		s.c = v.Sub(v.X(0), stats[0])
	}
	s.emit()
	if v.Want(0) {
		v.setStatistics(s)
	}
	if v.Want(2) {
		v.SetBroadcast(2, v.GY(0))
	}
	return nil
}

// y = x·r·γ, r = 1/√(mean x² + ε), over the axes from "axis" on:
//
//	x: r·(ĝ − x̂·mean(ĝ·x̂)),  ĝ = g·γ, x̂ = x·r
//	γ: g·x̂
//
// r is the second result of SimplifiedLayerNormalization; RMSNormalization has none.
func vjpRMSNorm(v *VJP) error {
	rank := v.Rank(v.X(0))
	if v.Want(2) {
		return fmt.Errorf("it has a shift, which this operator does not define")
	}
	s := &scaling{VJP: v, c: v.X(0), axes: v.normalizedAxes(rank)}
	if v.Node.Op == "SimplifiedLayerNormalization" {
		s.r = v.statistics(rank, "inv_rms")[0]
	} else {
		square := v.ReduceMean(v.Mul(v.X(0), v.X(0)), true, seq(s.axes[0]-v.Lead, rank)...)
		s.r = v.Op("Reciprocal", nil, v.Op("Sqrt", nil, v.Add(square, v.Scalar(v.Node.Float("epsilon", 1e-5)))))
	}
	s.emit()
	return nil
}

// normalizedAxes are those of a gradient.
func (v *VJP) normalizedAxes(rank int) []int {
	return seq(v.Axis(v.Node.Int("axis", -1), rank), rank+v.Lead)
}

// emit gives the gradients of x and γ. With k = r²·mean(ĝ·c),
//
//	x: r·(ĝ − mean ĝ − c·k)      γ: (g·c)·r
//
// in which what is as large as x is passed over seven times, and five times without
// a mean: g·c serves both, and the means are products with γ/n.
func (s *scaling) emit() {
	if s.Want(0) || s.Want(1) {
		s.gc = s.Mul(s.GY(0), s.c)
	}
	if s.Want(0) {
		k := s.Mul(s.weightedMean(s.gc), s.square(s.r))
		d := s.Sub(s.Mul(s.GY(0), s.X(1)), s.Mul(s.c, k))
		if s.mean {
			d = s.Sub(d, s.weightedMean(s.GY(0)))
		}
		s.Set(0, s.Mul(d, s.r))
	}
	if s.Want(1) {
		s.setScale()
	}
}

// weightedMean is mean(γ·x) over the axes.
func (s *scaling) weightedMean(x string) string {
	gamma, shape := s.Shape(s.X(1)), s.Shape(s.X(0))
	if len(s.axes) > 1 || len(gamma) != 1 {
		return s.ReduceMean(s.Mul(x, s.X(1)), true, s.axes...)
	}
	width, ok := gamma[0].Const()
	if !ok || width < 1 || !shape[len(shape)-1].Is(width) {
		return s.ReduceMean(s.Mul(x, s.X(1)), true, s.axes...)
	}
	share := s.Scale(s.X(1), 1/float32(width))
	return s.MatMul(x, s.Reshape(share, []sym.Dim{sym.Const(width), sym.Const(1)}))
}

// setScale gives γ its gradient: record by record rᵀ·(g·c), a product that sums
// over the rows as it scales them.
func (s *scaling) setScale() {
	if s.perRecord(1) && len(s.axes) == 1 && s.Rank(s.X(1)) == 1 {
		if l := s.walk.Proof.Of(s.Y(0)); l.Kind == separate.Batch && l.Axis < s.Rank(s.Y(0))-1 {
			rows, r := s.RowsByRecord(s.gc, l), s.RowsByRecord(s.r, l)
			sum := s.MatMul(s.SwapLast(r), rows)
			s.setByRecord(1, s.Reshape(sum, slices.Concat(s.Shape(sum)[:1], s.Shape(s.X(1)))))
			return
		}
	}
	s.SetBroadcast(1, s.Mul(s.gc, s.r))
}

// setStatistics adds what the loss's reading of μ and r gives x.
func (v *VJP) setStatistics(s *scaling) {
	of := func(i int) bool { return i < len(v.gy) && v.gy[i] != "" }
	list := make([]int, len(s.axes))
	for i, a := range s.axes {
		list[i] = a - v.Lead
	}
	if of(1) {
		v.SetRepeated(0, v.divideByCount(v.GY(1), list))
	}
	if of(2) {
		g := v.divideByCount(v.GY(2), list)
		v.Set(0, v.Op("Neg", nil, v.Mul(v.Mul(g, v.Mul(v.square(s.r), s.r)), s.c)))
	}
}

// statistics names the results behind the first, asking for them where the exporter
// did not.
func (v *VJP) statistics(rank int, names ...string) []string {
	n := v.Node
	for len(n.Outputs) < 1+len(names) {
		n.Outputs = append(n.Outputs, "")
	}
	for i, name := range names {
		if n.Outputs[i+1] == "" {
			n.Outputs[i+1] = v.fresh(name)
		}
	}
	shape := append([]sym.Dim{}, v.Shape(v.X(0))...)
	for i := v.Axis(n.Int("axis", -1), rank) - v.Lead; i < rank; i++ {
		shape[i] = sym.Const(1)
	}
	for _, o := range n.Outputs[1:] {
		v.Values.Set(o, infer.Info{DType: ir.Float32, Ranked: true, Shape: shape})
		v.producer[o] = n
	}
	return n.Outputs[1:]
}
