package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A normer emits squared per-example norms.
type normer struct {
	*onnxgrad.Builder
	// length is the sequence length the program is planned for. It decides
	// only between forms of equal value.
	length int64
	grams  map[string]string // Gram matrices by the value they are of
}

// squared returns ‖Σ parts‖² per record, [B]: parts of one form are joined
// first, then paired with those of the other forms.
func (n *normer) squared(parts []contribution, rowsOfTable int64) string {
	var o []outer
	var r []rows
	var d []dense
	var terms []string
	for _, p := range parts {
		switch p := p.(type) {
		case chunked:
			terms = append(terms, p.squared(parts)...)
		case outer:
			o = append(o, p)
		case rows:
			r = append(r, p)
		case dense:
			d = append(d, p)
		}
	}
	if len(o) > 0 {
		terms = append(terms, n.outers(o))
	}
	table := rows{}
	if len(r) > 0 {
		table = n.joinRows(r)
		terms = append(terms, n.rowSquares(table, rowsOfTable))
	}
	whole := dense{}
	if len(d) > 0 {
		whole = n.joinDense(d)
		terms = append(terms, n.ReduceSumSquare(whole.D, false, 1, 2))
	}
	for _, x := range o {
		if len(r) > 0 {
			terms = append(terms, n.Scale(n.outerWithRows(x, table), 2))
		}
		if len(d) > 0 {
			terms = append(terms, n.Scale(n.outerWithDense(x, whole), 2))
		}
	}
	if len(r) > 0 && len(d) > 0 {
		terms = append(terms, n.Scale(n.rowsWithDense(table, whole), 2))
	}
	return n.Sum(terms)
}

// planned returns the number of rows T of [B,T,·] at the planned length.
func (n *normer) planned(value string) int64 {
	t, ok := n.Shape(value)[1].Eval(map[string]int64{separate.SequenceSymbol: n.length, separate.BatchSymbol: 1})
	if !ok {
		return n.length
	}
	return t
}

// columnsOf returns the columns of [B,T,c], a large number where they are not constant.
func columnsOf(b *onnxgrad.Builder, value string) int64 {
	w, ok := b.Shape(value)[2].Const()
	if !ok {
		return 1 << 30
	}
	return w
}

// gram returns X·Xᵀ [B,T,T], once per value: the query, key and value maps of a
// layer read the same input.
func (n *normer) gram(x string) string {
	if g, ok := n.grams[x]; ok {
		return g
	}
	g := n.MatMul(x, n.SwapLast(x))
	n.grams[x] = g
	return g
}

// rowSum sums [B,T,S] to [B].
func (n *normer) rowSum(x string) string { return n.ReduceSum(x, false, 1, 2) }

// scaled applies an outer's factor to its gradient side.
func (n *normer) scaled(o outer) outer { return outer{A: o.A, G: n.Scale(o.G, o.scale), scale: 1} }

// norm of the instantiated gradient of outers: Σ_u A_uᵀ G_u  [B,r,c].
func (n *normer) instantiate(o []outer) string {
	parts := make([]string, len(o))
	for i, u := range o {
		parts[i] = n.MatMul(n.SwapLast(u.A), n.scaled(u).G)
	}
	return n.Sum(parts)
}

// joinDense adds instantiated gradients.
func (n *normer) joinDense(d []dense) dense {
	names := make([]string, len(d))
	for i := range d {
		names[i] = d[i].D
	}
	return dense{D: n.Sum(names)}
}

// outerWithDense is ⟨Σ_t a_t g_tᵀ, D⟩ = Σ_t (a_tᵀ D) · g_t.
func (n *normer) outerWithDense(o outer, d dense) string {
	return n.rowSum(n.Mul(n.MatMul(o.A, d.D), n.scaled(o).G))
}

// perRow returns ids [B,T,1] expanded to the shape of g [B,T,c].
func (n *normer) perRow(ids, g string) string {
	return n.Op("Expand", nil, n.Unsqueeze(ids, 2), n.Extents(n.Shape(g)))
}

// rowsWithDense is ⟨Σ_t e_{id_t} g_tᵀ, D⟩ = Σ_t D[id_t] · g_t.
func (n *normer) rowsWithDense(r rows, d dense) string {
	read := n.Op("GatherElements", ir.Attrs{"axis": int64(1)}, d.D, n.perRow(r.IDs, r.G))
	return n.rowSum(n.Mul(read, r.G))
}

// concatRows joins values along the rows.
func (n *normer) concatRows(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return n.Op("Concat", ir.Attrs{"axis": int64(1)}, values...)
}

// asFloat is 1 where cond holds and 0 elsewhere.
func asFloat(b *onnxgrad.Builder, cond string) string { return b.Cast(cond, ir.Float32) }

// fullIDs repeats shared indices [1,T] for every record.
func (n *normer) fullIDs(r rows) string {
	g := n.Shape(r.G)
	return n.Expand(r.IDs, []sym.Dim{g[0], g[1]})
}
