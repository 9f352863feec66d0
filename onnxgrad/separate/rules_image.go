package separate

// imagewise: operators that work on each [channels, places…] of a batch alone.
// Records lie along the first axis and all other operands are constants.
func imagewise(c *step) []Label {
	l, constant := c.in(0), true
	for i := 1; i < len(c.node.Inputs); i++ {
		constant = constant && c.in(i).Kind == Invariant
	}
	switch {
	case l.Kind == Invariant && constant:
		return one(invariant())
	case l.Kind == Batch && l.Axis == 0 && constant:
		return one(l)
	}
	return one(mixed(c.node, "slides or normalises along the records, or by weights that depend on them"))
}

// maxPool's second result counts places through the whole batch.
func maxPool(c *step) []Label {
	return append(imagewise(c), mixed(c.node, "numbers places through the whole batch"))
}

// batchNorm in evaluation mode is elementwise; in training mode it takes
// statistics over the batch.
func batchNorm(c *step) []Label {
	if c.node.Int("training_mode", 0) != 0 || len(c.node.Outputs) > 1 {
		return one(mixed(c.node, "takes its statistics over the batch (training mode)"))
	}
	for i := 1; i < len(c.node.Inputs); i++ {
		if c.in(i).Kind != Invariant {
			return one(mixed(c.node, "has statistics that depend on the records"))
		}
	}
	if l := c.in(0); l.Kind == Invariant || l.Kind == Batch && l.Axis != 1 {
		return one(l)
	}
	return one(mixed(c.node, "has the records on the channel axis"))
}

// meanVariance normalises over axes that include the first unless it says
// otherwise.
func meanVariance(c *step) []Label {
	l, x := c.in(0), c.info(0)
	axes, ok := c.node.Ints("axes")
	if !ok {
		axes = []int64{0, 2, 3}
	}
	if l.Kind == Invariant {
		return one(l)
	}
	if l.Kind != Batch || !x.Ranked {
		return one(mixed(c.node, "normalises a value that %s", l))
	}
	for _, a := range axes {
		if normal(a, x.Rank()) == l.Axis {
			return one(mixed(c.node, "normalises over the records"))
		}
	}
	return one(l)
}

// reverseSequence reverses along one axis as far as each row of another says:
// the lengths belong to the records when that other axis is theirs.
func reverseSequence(c *step) []Label {
	x, n := c.in(0), c.in(1)
	if x.Kind == Invariant && n.Kind == Invariant {
		return one(invariant())
	}
	rows, time := c.node.Int("batch_axis", 1), c.node.Int("time_axis", 0)
	switch {
	case x.Kind != Batch || int64(x.Axis) == time:
	case int64(x.Axis) == rows && n.Leading() && x.Block.Is(1), int64(x.Axis) != rows && n.Kind == Invariant:
		return one(x)
	}
	return one(mixed(c.node, "reverses the records, or by lengths that are not theirs"))
}

// othersInvariant reports that no operand but one may depend on the records.
func (c *step) othersInvariant(but int) bool {
	for i := range c.node.Inputs {
		if i != but && c.in(i).Kind != Invariant {
			return false
		}
	}
	return true
}

// quantizeByBatch chooses its scale by the least and the largest number of all
// records together.
func quantizeByBatch(c *step) []Label {
	if l := c.in(0); l.Kind == Invariant {
		return one(l)
	}
	return one(mixed(c.node, "quantises by the range of the whole batch; export in floating point, or quantise weights only (MatMulNBits)"))
}

// dequantize: a scale for all, for places along another axis than the records', or
// for blocks of such.
func dequantize(c *step) []Label {
	l, x, scale := c.in(0), c.info(0), c.info(1)
	if !c.othersInvariant(0) {
		return one(mixed(c.node, "has a scale that depends on the records"))
	}
	if l.Kind == Invariant {
		return one(l)
	}
	if l.Kind != Batch || !x.Ranked || !scale.Ranked {
		return one(mixed(c.node, "reads a value of unknown rank"))
	}
	single := scale.Rank() == 0 || scale.Rank() == 1 && scale.Shape[0].Is(1)
	if !single && (normal(c.node.Int("axis", 1), x.Rank()) == l.Axis || scale.Rank() > 1 && !scale.Shape[min(l.Axis, scale.Rank()-1)].Is(1)) {
		return one(mixed(c.node, "scales records by their place"))
	}
	return one(l)
}

// packedProduct multiplies rows with packed weights.
func packedProduct(c *step) []Label {
	l, x := c.in(0), c.info(0)
	if !c.othersInvariant(0) {
		return one(mixed(c.node, "has weights that depend on the records"))
	}
	if l.Kind == Invariant {
		return one(l)
	}
	if l.Kind != Batch || !x.Ranked || l.Axis == x.Rank()-1 {
		return one(mixed(c.node, "contracts the axis of the records"))
	}
	return one(l)
}
