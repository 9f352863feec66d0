package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// Y = A·B with numpy's broadcasting:  A: G·Bᵀ    B: Aᵀ·G
func vjpMatMul(v *VJP) error {
	a, b, g := v.X(0), v.X(1), v.GY(0)
	if v.Rank(a) == 1 || v.Rank(b) == 1 {
		return vjpMatVec(v)
	}
	if v.Want(0) {
		if v.perRecord(0) && !v.recordsLead() {
			return fmt.Errorf("the left operand depends on parameters only and the records are not on a leading axis")
		}
		v.SetBroadcast(0, v.MatMul(g, v.SwapLast(b)))
		v.noteWeighing(a, b)
	}
	if !v.Want(1) {
		return nil
	}
	if v.Rank(b) == 2 && v.perRecord(1) {
		// [batch, d, p] = AᵀG of each record's rows
		proof := v.walk.Proof
		x, gy := v.RowsByRecord(a, proof.Of(a)), v.RowsByRecord(g, proof.Of(v.Y(0)))
		v.setByRecord(1, v.MatMul(v.SwapLast(x), gy))
		return nil
	}
	if v.perRecord(1) && !v.recordsLead() {
		return fmt.Errorf("the right operand depends on parameters only and the records are not on a leading axis")
	}
	if v.Rank(b) == 2 && v.Lead == 0 {
		// One product over all rows instead of a batch of products and a sum.
		v.Set(1, v.Op("Gemm", ir.Attrs{"transA": int64(1)}, v.rows(a), v.rows(g)))
		return nil
	}
	v.SetBroadcast(1, v.MatMul(v.SwapLast(a), g))
	return nil
}

// recordsLead reports that the records lie on an axis before the two that a
// product contracts or keeps.
func (v *VJP) recordsLead() bool { return v.walk.Proof.Of(v.Y(0)).Axis < v.Rank(v.Y(0))-2 }

// rows flattens all axes but the last.
func (b *Builder) rows(x string) string {
	s := b.Shape(x)
	return b.Reshape(x, []sym.Dim{sym.Product(s[:len(s)-1]...), s[len(s)-1]})
}

// vjpMatVec: a vector operand is a matrix of one row or one column.
func vjpMatVec(v *VJP) error {
	if v.Lead > 0 || v.perRecord(0) || v.perRecord(1) {
		return fmt.Errorf("a product with a vector between a parameter and its use")
	}
	a, b := v.X(0), v.X(1)
	as, bs := v.Shape(a), v.Shape(b)
	one := []sym.Dim{sym.Const(1)}
	if len(as) == 1 {
		as = slices.Concat(one, as)
	}
	if len(bs) == 1 {
		bs = slices.Concat(bs, one)
	}
	am, bm := v.Reshape(a, as), v.Reshape(b, bs)
	gs := slices.Clone(v.Shape(v.Y(0)))
	if v.Rank(a) == 1 {
		k := len(gs)
		if v.Rank(b) > 1 {
			k--
		}
		gs = slices.Insert(gs, k, sym.Const(1))
	}
	if v.Rank(b) == 1 {
		gs = append(gs, sym.Const(1))
	}
	g := v.Reshape(v.GY(0), gs)
	if v.Want(0) {
		v.Set(0, v.Reshape(v.Unbroadcast(v.MatMul(g, v.SwapLast(bm)), as, 0), v.Shape(a)))
	}
	if v.Want(1) {
		v.Set(1, v.Reshape(v.Unbroadcast(v.MatMul(v.SwapLast(am), g), bs, 0), v.Shape(b)))
	}
	return nil
}

// Y = α·A′·B′ + β·C, A′ = A or Aᵀ, B′ = B or Bᵀ:
//
//	A: α·G·B′ᵀ, transposed if A was      B: α·A′ᵀ·G, transposed if B was      C: β·G
func vjpGemm(v *VJP) error {
	a, b, g := v.X(0), v.X(1), v.GY(0)
	transA, transB := v.Node.Int("transA", 0), v.Node.Int("transB", 0)
	alpha := v.Node.Float("alpha", 1)
	product := func(x, y string, tx, ty int64) string {
		return v.Op("Gemm", ir.Attrs{"transA": tx, "transB": ty, "alpha": alpha}, x, y)
	}
	if v.perRecord(1) && v.Want(1) && transA == 0 {
		proof := v.walk.Proof
		x, gy := v.RowsByRecord(a, proof.Of(a)), v.RowsByRecord(g, proof.Of(v.Y(0)))
		if transB != 0 {
			x, gy = gy, x
		}
		v.setByRecord(1, v.Scale(v.MatMul(v.SwapLast(x), gy), alpha))
		v.skip[1] = true
	}
	if v.Want(0) {
		if transA == 0 {
			v.Set(0, product(g, b, 0, 1-transB))
		} else {
			v.Set(0, product(b, g, transB, 1))
		}
	}
	if v.Want(1) {
		if transB == 0 {
			v.Set(1, product(a, g, 1-transA, 0))
		} else {
			v.Set(1, product(g, a, 1, transA))
		}
	}
	if v.Want(2) {
		v.SetBroadcast(2, v.Scale(g, v.Node.Float("beta", 1)))
	}
	return nil
}
