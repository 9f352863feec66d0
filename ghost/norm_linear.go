package ghost

// outers returns ‖Σ_u A_uᵀ G_u‖² by the cheapest of three forms of the same value
// (Goodfellow 2015 for T = 1; Li et al. 2022, eq. 3):
//
//	T = 1    ‖a‖²·‖g‖²
//	Gram     Σ (A Aᵀ ∘ G Gᵀ), T² (r + c) products
//	direct   ‖AᵀG‖², T·r·c products, taken where 2T² ≥ r·c
//
// A weight used several times joins its uses along the rows: T is then their
// total.
func (n *normer) outers(o []outer) string {
	total := int64(0)
	for _, u := range o {
		total += n.planned(u.A)
	}
	first := o[0]
	r, c := n.width(first.A), n.width(first.G)
	switch {
	case len(o) == 1 && n.Shape(first.A)[1].Is(1):
		a := n.ReduceSumSquare(first.A, false, 1, 2)
		g := n.ReduceSumSquare(n.scaled(first).G, false, 1, 2)
		return n.Mul(a, g)
	case 2*total*total >= r*c:
		return n.ReduceSumSquare(n.instantiate(o), false, 1, 2)
	}
	as, gs := make([]string, len(o)), make([]string, len(o))
	for i, u := range o {
		as[i], gs[i] = u.A, n.scaled(u).G
	}
	return n.rowSum(n.Mul(n.gram(n.concatRows(as)), n.gram(n.concatRows(gs))))
}
