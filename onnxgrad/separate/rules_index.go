package separate

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// gather: a table read with the records' indices, records read along another
// axis with indices that are the same for all, or flattened records read by
// flat indices that stay with their record (TorchScript writes
// mask[batch, position] so).
func gather(c *step) []Label {
	data, idx := c.in(0), c.in(1)
	if !c.info(0).Ranked || !c.info(1).Ranked {
		return one(mixed(c.node, "gathers from a value of unknown rank"))
	}
	k := normal(c.node.Int("axis", 0), c.info(0).Rank())
	switch {
	case data.Kind == Invariant && idx.Kind == Invariant:
		return one(invariant())
	case data.Kind == Invariant && idx.Kind == Batch:
		return one(records(k+idx.Axis, idx.Block))
	case data.Kind == Batch && data.Axis == 0 && k == 0 && idx.Kind == FlatRow && sym.Equal(idx.Scale, data.Block):
		return one(records(idx.Axis, idx.Block)) // record i reads positions i·block … of itself
	case data.Kind == Batch && idx.Kind == Invariant && data.Axis != k:
		l := data
		if k < l.Axis {
			l.Axis += c.info(1).Rank() - 1
		}
		return one(l)
	}
	return one(mixed(c.node, "picks records by index"))
}

// gatherElements also covers ScatterElements: all operands carry the records
// along one axis, which is not the indexed one.
func gatherElements(c *step) []Label {
	k := normal(c.node.Int("axis", 0), c.info(0).Rank())
	found := invariant()
	for i := range c.node.Inputs {
		l := c.in(i)
		if l.Kind == Invariant && (c.proof.Size.Is(1) || found.Kind == Invariant && c.allInvariant()) {
			continue
		}
		if l.Kind != Batch || l.Axis == k || found.Kind == Batch && (found.Axis != l.Axis || !sym.Equal(found.Block, l.Block)) {
			return one(mixed(c.node, "indexes across records"))
		}
		found = l
	}
	return one(found)
}

// gatherND reads with index tuples. With record numbers as their first
// component every record reads itself: transformers writes masks as
// mask[batch, position]. With batch_dims ≥ 1 the operator pairs rows itself. Tuples
// that are the same for all must not reach the axis of the records: Falcon takes
// its shared key's head so.
func gatherND(c *step) []Label {
	data, idx := c.in(0), c.in(1)
	rank := c.info(1).Rank()
	switch {
	case data.Kind == Invariant && idx.Kind == Invariant:
		return one(invariant())
	case data.Kind == Invariant && idx.Kind == Batch && idx.Axis < rank-1 && c.node.Int("batch_dims", 0) == 0:
		return one(idx)
	case data.Leading() && c.isRowTuple(idx) && idx.Block.Is(1) && c.node.Int("batch_dims", 0) == 0:
		return one(records(idx.Axis, idx.Block))
	case data.Leading() && idx.Leading() && c.node.Int("batch_dims", 0) >= 1:
		return one(data)
	}
	if idx.Kind == Invariant && data.Kind == Batch && c.info(1).Ranked && rank > 0 && c.node.Int("batch_dims", 0) == 0 {
		if width, known := c.info(1).Shape[rank-1].Const(); known && int64(data.Axis) >= width {
			return one(records(rank-1+data.Axis-int(width), data.Block))
		}
	}
	return one(mixed(c.node, "picks records by index"))
}

// scatterND writes with index tuples into data that carry records. With record
// numbers as their first component every record writes into itself; tuples that
// are the same for all must not reach the axis of the records.
func scatterND(c *step) []Label {
	data, idx, updates := c.in(0), c.in(1), c.in(2)
	if data.Kind == Invariant && idx.Kind == Invariant && updates.Kind == Invariant {
		return one(invariant())
	}
	rank := c.info(1).Rank()
	if !c.info(0).Ranked || !c.info(1).Ranked || rank == 0 || data.Kind != Batch || updates.Kind != Batch {
		return one(mixed(c.node, "writes records into values that carry none, or at places that depend on them"))
	}
	width, known := c.info(1).Shape[rank-1].Const()
	switch {
	case data.Leading() && c.isRowTuple(idx) && idx.Block.Is(1) && updates.Axis == idx.Axis && updates.Block.Is(1):
		return one(data)
	case idx.Kind == Invariant && known && int64(data.Axis) >= width &&
		updates.Axis == rank-1+data.Axis-int(width) && sym.Equal(updates.Block, data.Block):
		return one(data)
	}
	return one(mixed(c.node, "writes records by index"))
}

// isRowTuple also takes bare record numbers as tuples of one component.
func (c *step) isRowTuple(idx Label) bool {
	shape := c.info(1).Shape
	bare := idx.Kind == Row && idx.Scale.Is(1) && idx.Axis < len(shape)-1 && shape[len(shape)-1].Is(1)
	return idx.Kind == RowTuple || bare
}

// rangeRule: numbers that are the same for all records, and bounded when they
// count from 0.
func rangeRule(c *step) []Label {
	for i := range 3 {
		if c.in(i).Kind != Invariant {
			return one(mixed(c.node, "counts by the records"))
		}
	}
	l := invariant()
	start, limit, delta := c.info(0).Content, c.info(1).Content, c.info(2).Content
	if len(start) == 1 && start[0].Is(0) && len(delta) == 1 && delta[0].Is(1) && len(limit) == 1 {
		l.Bound = limit[0]
	}
	return one(l)
}

// rowArithmetic follows the index arithmetic of a flattened gather: record
// number · S, plus a number in [0, S), stays within the record.
func (c *step) rowArithmetic(rank int) (Label, bool) {
	if len(c.node.Inputs) != 2 || c.node.Domain != "" {
		return Label{}, false
	}
	for i := range 2 {
		row, other := c.in(i), c.in(1-i)
		if row.Kind == FlatRow && c.node.Op == "Add" && other.Kind == Invariant && c.within(1-i, sym.Const(1)) && c.info(i).Ranked {
			row.Axis += rank - c.info(i).Rank()
			return row, true // plus 0
		}
		if row.Kind != Row || other.Kind != Invariant || !c.info(i).Ranked || !c.info(1-i).Ranked {
			continue
		}
		row.Axis += rank - c.info(i).Rank()
		k := row.Axis - (rank - c.info(1-i).Rank())
		if k >= 0 && !c.info(1 - i).Shape[k].Is(1) {
			return Label{}, false
		}
		factor := c.info(1 - i).Content
		switch {
		case c.node.Op == "Mul" && len(factor) == 1:
			row.Scale = sym.Mul(row.Scale, factor[0])
			return row, true
		case c.node.Op == "Add" && (!other.Bound.Is(0) && sym.Equal(other.Bound, row.Scale) || c.within(1-i, row.Scale)):
			row.Kind = FlatRow
			return row, true
		}
	}
	return Label{}, false
}

// within reports that operand i holds known numbers of which each is at least 0 and
// less than bound.
func (c *step) within(i int, bound sym.Dim) bool {
	limit, known := bound.Const()
	ints, ok := c.info(i).Ints()
	return known && ok && !slices.ContainsFunc(ints, func(n int64) bool { return n < 0 || n >= limit })
}

// oneHot adds an axis to the records' indices.
func oneHot(c *step) []Label {
	l := c.in(0)
	for i := 1; i < 3; i++ {
		if c.in(i).Kind != Invariant {
			return one(mixed(c.node, "has a depth or values that depend on the records"))
		}
	}
	if l.Kind == Invariant {
		return one(l)
	}
	if l.Kind != Batch {
		return one(mixed(c.node, "encodes record numbers"))
	}
	if a := normal(c.node.Int("axis", -1), c.info(0).Rank()+1); a <= l.Axis {
		l.Axis++
	}
	return one(l)
}

// gatherPacked is a look-up in a quantised table.
func gatherPacked(c *step) []Label {
	idx := c.in(1)
	if !c.othersInvariant(1) {
		return one(mixed(c.node, "reads a table that depends on the records"))
	}
	if idx.Kind != Batch || !c.info(0).Ranked {
		return one(mixed(c.node, "reads with indices that %s", idx))
	}
	return one(records(normal(c.node.Int("gather_axis", 0), c.info(0).Rank())+idx.Axis, idx.Block))
}
