package separate

import (
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// normal returns a possibly negative axis counted from the front.
func normal(axis int64, rank int) int {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis)
}

// alongAxis is the rule of operators that combine numbers along one axis and
// keep the shape; def is the axis where the attribute is absent.
func alongAxis(def int64) rule {
	return func(c *step) []Label {
		x, l := c.info(0), c.in(0)
		if l.Kind == Invariant && c.shapedBy(1) {
			return one(l)
		}
		if l.Kind != Batch || !x.Ranked || normal(c.node.Int("axis", def), x.Rank()) == l.Axis {
			return one(mixed(c.node, "combines numbers along the axis of the records"))
		}
		if !c.shapedBy(1) {
			return one(mixed(c.node, "takes as many as a number says that may depend on the records"))
		}
		return one(l)
	}
}

// cumSum takes its axis from an input.
func cumSum(c *step) []Label {
	x, l := c.info(0), c.in(0)
	if l.Kind == Invariant && c.in(1).Kind == Invariant {
		return one(l)
	}
	axis, ok := c.info(1).Ints()
	if l.Kind != Batch || !ok || len(axis) != 1 || !x.Ranked || normal(axis[0], x.Rank()) == l.Axis {
		return one(mixed(c.node, "sums along the axis of the records, or along one that is computed"))
	}
	return one(l)
}

// normalization covers x with scale and shift over the axes from "axis" on.
func normalization(c *step) []Label {
	x, l := c.info(0), c.in(0)
	for i := 1; i < len(c.node.Inputs); i++ {
		if c.in(i).Kind != Invariant {
			return one(mixed(c.node, "has a scale or shift that depends on the records"))
		}
	}
	if l.Kind == Invariant {
		return one(l)
	}
	first := normal(c.node.Int("axis", -1), x.Rank())
	if l.Kind != Batch || !x.Ranked || l.Axis >= first {
		return one(mixed(c.node, "normalises along the axis of the records"))
	}
	return one(l)
}

// reduction over any axes but the records'.
func reduction(c *step) []Label {
	x, l := c.info(0), c.in(0)
	if l.Kind == Invariant && (len(c.node.Inputs) < 2 || c.in(1).Kind == Invariant) {
		return one(l)
	}
	set, ok := c.axes(x, c.node.Int("noop_with_empty_axes", 0) != 0)
	if l.Kind != Batch || !ok || set[l.Axis] {
		return one(mixed(c.node, "reduces over the records, or over axes that are computed"))
	}
	return one(drop(l, set, c.node.Int("keepdims", 1) != 0))
}

func argReduction(c *step) []Label {
	x, l := c.info(0), c.in(0)
	if l.Kind == Invariant {
		return one(l)
	}
	k := normal(c.node.Int("axis", 0), x.Rank())
	if l.Kind != Batch || !x.Ranked || k == l.Axis {
		return one(mixed(c.node, "searches along the records"))
	}
	return one(drop(l, map[int]bool{k: true}, c.node.Int("keepdims", 1) != 0))
}

// axes reads a reduction's axes input; absent axes mean all.
func (c *step) axes(x infer.Info, noop bool) (map[int]bool, bool) {
	if !x.Ranked {
		return nil, false
	}
	set := map[int]bool{}
	if c.node.Input(1) == "" {
		for i := range x.Shape {
			set[i] = !noop
		}
		return set, true
	}
	list, ok := c.info(1).Ints()
	if !ok {
		return nil, false
	}
	for _, a := range list {
		set[normal(a, x.Rank())] = true
	}
	if len(list) == 0 && !noop {
		for i := range x.Shape {
			set[i] = true
		}
	}
	return set, true
}

// drop moves the label of a value whose axes in set are removed.
func drop(l Label, set map[int]bool, keep bool) Label {
	if keep {
		return l
	}
	out := l
	for k := range l.Axis {
		if set[k] {
			out.Axis--
		}
	}
	return out
}

// trilu works on the last two axes by position.
func trilu(c *step) []Label {
	l := c.in(0)
	if c.in(1).Kind != Invariant || l.Kind != Invariant && (l.Kind != Batch || l.Axis >= c.info(0).Rank()-2) {
		return one(mixed(c.node, "treats records by their place in the batch"))
	}
	return one(l)
}

func transpose(c *step) []Label {
	x, l := c.info(0), c.in(0)
	if !l.onAxis() {
		return one(l)
	}
	if !x.Ranked {
		return one(mixed(c.node, "permutes a value of unknown rank"))
	}
	perm, err := infer.Perm(c.node, x.Rank())
	if err != nil {
		return one(mixed(c.node, "%v", err))
	}
	for i, p := range perm {
		if p == l.Axis {
			l.Axis = i
			return one(l)
		}
	}
	return one(mixed(c.node, "loses the axis of the records"))
}

// reshape covers Reshape, Flatten, Squeeze and Unsqueeze. In row-major order
// record i's numbers along axis k, with P positions before it, are P runs of
// length n = block · Π extents behind k. A new shape keeps records whole exactly
// when some axis j has the same P before it and Π extents behind it divide n:
// then that axis holds blocks of n/Π. The division is of polynomials, so it
// holds for every batch size; [B,3] → [−1,2] is refused although the first axis
// stays outermost, for a row of 2 straddles two records.
func reshape(c *step) []Label {
	l := c.in(0)
	if !l.onAxis() {
		return one(l)
	}
	x, y := c.info(0), c.outInfo(0)
	if !x.Ranked || !y.Ranked {
		return one(mixed(c.node, "reshapes a value of unknown rank"))
	}
	before := sym.Product(x.Shape[:l.Axis]...)
	run := sym.Mul(l.Block, sym.Product(x.Shape[l.Axis+1:]...))
	for j := range y.Shape {
		if !sym.Equal(sym.Product(y.Shape[:j]...), before) {
			continue
		}
		if sym.Equal(y.Shape[j], x.Shape[l.Axis]) { // then what is behind it is of equal size too, or the runtime refuses
			l.Axis = j
			return one(l)
		}
		block, ok := sym.DivExact(run, sym.Product(y.Shape[j+1:]...))
		if ok && sym.Equal(y.Shape[j], sym.Mul(c.proof.Size, block)) {
			l.Axis, l.Block = j, block
			return one(l)
		}
	}
	return one(mixed(c.node, "reshapes %v to %v, which cuts across records", x.Shape, y.Shape))
}

// expand repeats; the records' own axis may not be repeated, and an axis of the
// batch's extent made from nothing holds the same numbers for every record.
func expand(c *step) []Label {
	l, x, y := c.in(0), c.info(0), c.outInfo(0)
	if !y.Ranked || !x.Ranked {
		return one(mixed(c.node, "expands to an unknown rank"))
	}
	if l.onAxis() {
		k := y.Rank() - x.Rank() + l.Axis
		if !sym.Equal(y.Shape[k], x.Shape[l.Axis]) {
			return one(mixed(c.node, "repeats records"))
		}
		l.Axis = k
		return one(l)
	}
	wide := c.repeated(y, func(k int) bool {
		i := k - (y.Rank() - x.Rank())
		return i < 0 || x.Shape[i].Is(1)
	})
	if wide.Kind == Invariant {
		return one(l)
	}
	return one(wide)
}

// constantOfShape holds one number everywhere.
func constantOfShape(c *step) []Label {
	return one(c.repeated(c.outInfo(0), func(int) bool { return true }))
}

// repeated labels a value that is constant along the axes for which same holds:
// one of them may have the batch's extent.
func (c *step) repeated(y infer.Info, same func(axis int) bool) Label {
	if !y.Ranked {
		return mixed(c.node, "makes a value of unknown rank")
	}
	found := invariant()
	for k, d := range y.Shape {
		if !d.Contains(BatchSymbol) {
			continue
		}
		block, ok := sym.DivExact(d, c.proof.Size)
		if !ok || found.Kind == Batch || !same(k) {
			return mixed(c.node, "makes a tensor of shape %v that is not one row per record", y.Shape)
		}
		found = records(k, block)
	}
	return found
}

func tile(c *step) []Label {
	l, y := c.in(0), c.outInfo(0)
	reps := c.info(1).Content
	if !y.Ranked || !c.info(0).Ranked {
		return one(mixed(c.node, "repeats a value of unknown rank"))
	}
	if !l.onAxis() {
		return one(c.repeated(y, func(k int) bool { return c.info(0).Shape[k].Is(1) }))
	}
	if l.Axis >= len(reps) || !reps[l.Axis].Is(1) {
		return one(mixed(c.node, "repeats records"))
	}
	return one(l)
}

func pad(c *step) []Label {
	l, x := c.in(0), c.info(0)
	if !l.onAxis() && c.in(2).Kind == Invariant {
		return one(l)
	}
	if !x.Ranked || l.Kind != Batch || c.in(2).Kind != Invariant || !c.shapedBy(1) {
		return one(mixed(c.node, "pads by what may depend on the records"))
	}
	pads, axes := c.info(1).Content, make([]int64, x.Rank())
	for i := range axes {
		axes[i] = int64(i)
	}
	known := true
	if c.node.Input(3) != "" {
		axes, known = c.info(3).Ints()
	}
	if !known || len(pads) != 2*len(axes) {
		return one(mixed(c.node, "pads by amounts that are computed"))
	}
	for i, a := range axes {
		if normal(a, x.Rank()) == l.Axis && (!pads[i].Is(0) || !pads[i+len(axes)].Is(0)) {
			return one(mixed(c.node, "pads along the records"))
		}
	}
	return one(l)
}

// slice along the records only when it takes all of them.
func slice(c *step) []Label {
	l, x, y := c.in(0), c.info(0), c.outInfo(0)
	if !l.onAxis() {
		return one(l)
	}
	if !x.Ranked || !y.Ranked {
		return one(mixed(c.node, "slices a value of unknown rank"))
	}
	axes, ok := c.info(3).Ints()
	if c.node.Input(3) == "" {
		starts := c.info(1).Content
		for i := range starts {
			axes = append(axes, int64(i))
		}
		ok = starts != nil
	}
	if !ok {
		return one(mixed(c.node, "slices along an axis that is computed"))
	}
	if !c.shapedBy(1) || !c.shapedBy(2) {
		return one(mixed(c.node, "slices at bounds that may depend on the records"))
	}
	for i, a := range axes {
		if normal(a, x.Rank()) == l.Axis && !c.wholeAxis(i, x.Shape[l.Axis]) {
			return one(mixed(c.node, "takes part of the records"))
		}
	}
	if l.Kind == RowTuple {
		return one(mixed(c.node, "slices index tuples"))
	}
	return one(l)
}

// wholeAxis reports that the i-th slice starts at 0, ends at or behind the end
// and steps by 1.
func (c *step) wholeAxis(i int, extent sym.Dim) bool {
	starts, ends := c.info(1).Content, c.info(2).Content
	if i >= len(starts) || i >= len(ends) || !starts[i].Is(0) {
		return false
	}
	if steps, ok := c.info(4).Ints(); c.node.Input(4) != "" && (!ok || i >= len(steps) || steps[i] != 1) {
		return false
	}
	end, isConst := ends[i].Const()
	return sym.Equal(ends[i], extent) || isConst && end >= math.MaxInt32
}

func split(c *step) []Label {
	l, x := c.in(0), c.info(0)
	if l.Kind == Batch && x.Ranked && normal(c.node.Int("axis", 0), x.Rank()) == l.Axis || l.onAxis() && l.Kind != Batch {
		return one(mixed(c.node, "splits along the records"))
	}
	if !c.shapedBy(1) {
		return one(mixed(c.node, "splits into sizes that may depend on the records"))
	}
	return one(l)
}

// concat joins values along an axis that is not the records'. Joining record
// numbers with other indices along the last axis makes index tuples.
func concat(c *step) []Label {
	out := c.outInfo(0)
	if !out.Ranked {
		return one(mixed(c.node, "joins values of unknown rank"))
	}
	k := normal(c.node.Int("axis", 0), out.Rank())
	first, found := c.in(0), invariant()
	for i := range c.node.Inputs {
		l := c.in(i)
		switch {
		case l.Kind == Invariant && c.proof.Size.Is(1), l.Kind == Invariant && found.Kind == Invariant && c.allInvariant():
			continue
		case l.Kind == Row && l.Scale.Is(1) && i == 0 && k == out.Rank()-1 && c.info(0).Shape[k].Is(1) && l.Axis != k:
		case l.Kind != Batch || l.Axis == k:
			return one(mixed(c.node, "joins records, or records with values that are none"))
		}
		if found.Kind != Invariant && (found.Axis != l.Axis || !sym.Equal(found.Block, l.Block)) {
			return one(mixed(c.node, "joins records along different axes"))
		}
		found = l
	}
	if first.Kind == Row {
		found.Kind = RowTuple
	}
	return one(found)
}

func (c *step) allInvariant() bool {
	for i := range c.node.Inputs {
		if c.in(i).Kind != Invariant {
			return false
		}
	}
	return true
}
