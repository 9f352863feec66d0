package ghost

// outers returns ‖Σ_u A_uᵀ G_u‖² by the cheapest of three forms of the same value
// (Goodfellow 2015 for T = 1; Li et al. 2022, eq. 3):
//
//	T = 1    ‖a‖²·‖g‖²
//	Gram     Σ (A Aᵀ ∘ G Gᵀ)
//	direct   ‖AᵀG‖²
//
// A weight used several times joins its uses along the rows: T is then their
// total.
func (n *normer) outers(o []outer) string {
	first := o[0]
	switch {
	case len(o) == 1 && n.Shape(first.A)[1].Is(1):
		a := n.ReduceSumSquare(first.A, false, 1, 2)
		g := n.ReduceSumSquare(n.scaled(first).G, false, 1, 2)
		return n.Mul(a, g)
	case n.directCost(o) < n.gramCost(o):
		return n.ReduceSumSquare(n.instantiate(o), false, 1, 2)
	}
	as, gs := make([]string, len(o)), make([]string, len(o))
	for i, u := range o {
		as[i], gs[i] = u.A, n.scaled(u).G
	}
	return n.rowSum(n.Mul(n.gram(n.concatRows(as)), n.gram(n.concatRows(gs))))
}

// traffic is what an element that is written and read again costs, in
// multiplications and additions of a matrix product: the processor makes about that
// many of them in the time that memory takes.
const traffic = 64

// gramCost is the cost of the Gram form for one record at the planned length:
// T²(r + c) products, T²r of them only where no other weight reads the same input,
// and two matrices of T² elements.
func (n *normer) gramCost(o []outer) float64 {
	t, r, c := n.extents(o)
	if _, shared := n.grams[o[0].A]; shared && len(o) == 1 {
		r = 0
	}
	return t * t * (r + c + 2*traffic)
}

// directCost is that of the direct form: T·r·c products and the gradient itself.
func (n *normer) directCost(o []outer) float64 {
	t, r, c := n.extents(o)
	return r * c * (t + traffic)
}

// extents are the total planned rows and the columns of both sides.
func (n *normer) extents(o []outer) (t, r, c float64) {
	for _, u := range o {
		t += float64(n.planned(u.A))
	}
	return t, float64(columnsOf(n.Builder, o[0].A)), float64(columnsOf(n.Builder, o[0].G))
}
