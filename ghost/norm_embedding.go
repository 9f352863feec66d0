package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// joinRows joins several look-ups in one table along the rows.
func (n *normer) joinRows(r []rows) rows {
	if len(r) == 1 {
		return r[0]
	}
	ids, gs := make([]string, len(r)), make([]string, len(r))
	for i, u := range r {
		ids[i], gs[i] = n.fullIDs(u), u.G
	}
	return rows{IDs: n.concatRows(ids), G: n.concatRows(gs)}
}

// rowSquares returns ‖Σ_t e_{id_t} g_tᵀ‖² as
//
//	Σ_{t,s} [id_t = id_s] g_t·g_s
//
// or, where the table is shorter than the record (token types), from the
// segment sums themselves: ‖EᵀG‖² with E the one-hot rows.
func (n *normer) rowSquares(r rows, table int64) string {
	if table <= n.planned(r.G) {
		all := make([]int64, table)
		for i := range all {
			all[i] = int64(i)
		}
		hot := asFloat(n.Builder, n.Op("Equal", nil, n.Unsqueeze(n.fullIDs(r), 2), n.Ints(all...)))
		return n.ReduceSumSquare(n.MatMul(n.SwapLast(hot), r.G), false, 1, 2)
	}
	same := n.Op("Equal", nil, n.Unsqueeze(r.IDs, 2), n.Unsqueeze(r.IDs, 1))
	return n.rowSum(n.Where(same, n.gram(r.G), n.Scalar(0)))
}

// outerWithRows is the inner product of a product's gradient with a look-up's,
// the term that ties an output head to its embedding. With the outer's rows s
// and the look-up's rows t,
//
//	⟨Σ_s a_s g_sᵀ, Σ_t e_{id_t} h_tᵀ⟩ = Σ_{t,s} (h_t · g_s) · a_s[id_t]
//
// where a_s runs over the vocabulary and is gathered at the look-up's ids.
func (n *normer) outerWithRows(o outer, r rows) string {
	a := n.Shape(o.A)
	t := n.Shape(r.G)[1]
	ids := n.Op("Expand", nil, n.Unsqueeze(r.IDs, 1), n.Extents([]sym.Dim{a[0], a[1], t}))
	at := n.Op("GatherElements", ir.Attrs{"axis": int64(2)}, o.A, ids) // [B,S,T]
	products := n.MatMul(n.scaled(o).G, n.SwapLast(r.G))               // [B,S,T]
	return n.rowSum(n.Mul(at, products))
}
