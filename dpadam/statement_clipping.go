package dpadam

// clippingRows are the rows of the statement's table about clipping.
func (st *Statement) clippingRows(row func(name, format string, args ...any)) {
	if st.ClipNorm == 0 {
		row("Clipping norm", "none")
		return
	}
	if a := st.adaptive(); a != nil {
		row("Clipping norm", "%g at first, then following the norms' quantile %g at rate %g (gradients are clipped to %.9g of it)",
			st.ClipNorm, a.Quantile, a.Rate, 1-st.Rho)
		row("Noise on the sum", "%g times the clipping norm", st.SumMultiplier)
		row("Noise on the count", "standard deviation %g records; sum and count are one release with the noise multiplier above", a.CountNoise)
	} else {
		row("Clipping norm", "%g (gradients are clipped to %.9g of it)", st.ClipNorm, 1-st.Rho)
	}
	row("Clipping rule", "%s", st.Clipping.String())
}

func (st *Statement) adaptive() *Adaptive {
	if st.Clipping == nil {
		return nil
	}
	return st.Clipping.Adaptive
}

// clippingCovered is what the guarantee covers of clipping and averaging.
func (st *Statement) clippingCovered() (items []string) {
	if st.adaptive() != nil {
		items = append(items, "The clipping norms of all steps, which follow from noised counts.")
	}
	if st.AverageDecay > 0 {
		items = append(items, "The average of the weights over the steps: it is computed from released weights (post-processing).")
	}
	return items
}
