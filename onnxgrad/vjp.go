package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A VJP is one rule at work: it has the node's operands, results and output
// gradients, and gives the gradients of the operands it is asked for.
//
// Usually gradients have the shapes of their values. Where the node lies
// between a parameter and its use and gradients are kept apart by record, Lead
// is 1: GY has one more axis in front, over the batch, and so must what is set.
// Elementwise rules need not care, for broadcasting aligns at the end;
// structural ones use Axis and WithLead.
type VJP struct {
	*Builder
	Node *ir.Node
	Lead int

	walk *walk
	gy   []string
	read map[int]bool // results whose gradient the rule asked for
	skip map[int]bool
	err  error
}

// X returns operand i, Y result i.
func (v *VJP) X(i int) string { return v.Node.Input(i) }
func (v *VJP) Y(i int) string { return v.Node.Output(i) }

// GY returns the gradient of result i: zeros where the loss does not read it.
func (v *VJP) GY(i int) string {
	v.read[i] = true
	if v.gy[i] == "" {
		lead := []sym.Dim{}
		for _, g := range v.gy {
			if g != "" && v.Lead > 0 {
				lead = v.Shape(g)[:1]
			}
		}
		v.gy[i] = v.Zeros(slices.Concat(lead, v.Shape(v.Y(i))))
	}
	return v.gy[i]
}

// ignored returns a further result (a mean, a mask, …) whose gradient the rule
// did not ask for although the loss reads it.
func (v *VJP) ignored() (int, bool) {
	for i, g := range v.gy {
		if i > 0 && g != "" && !v.read[i] {
			return i, true
		}
	}
	return 0, false
}

// Want reports whether the gradient of operand i is asked for.
func (v *VJP) Want(i int) bool {
	in := v.Node.Input(i)
	return in != "" && v.walk.active[in] && !v.skip[i] && v.Values.Of(in).DType.IsFloat()
}

func (v *VJP) wantsAny() bool {
	for i := range v.Node.Inputs {
		if v.Want(i) {
			return true
		}
	}
	return false
}

// perRecord reports that operand i depends on no record while the node's
// result does: its gradient is to be kept apart by record.
func (v *VJP) perRecord(i int) bool { return v.Lead == 0 && v.walk.parametric(v.X(i)) }

// Set gives the gradient of operand i in the operand's own shape.
func (v *VJP) Set(i int, g string) {
	if v.perRecord(i) {
		v.fail(fmt.Errorf("%w: %v: operand %d has no per-example gradient", ErrNoGradient, v.Node, i))
		return
	}
	v.add(i, part{g, true})
}

// SetRepeated gives the gradient of operand i with extent 1 along axes where it
// is the same number throughout.
func (v *VJP) SetRepeated(i int, g string) {
	if v.perRecord(i) {
		v.fail(fmt.Errorf("%w: %v: operand %d has no per-example gradient", ErrNoGradient, v.Node, i))
		return
	}
	v.add(i, part{g, false})
}

// SetBroadcast gives the gradient of operand i in the shape of the node's
// broadcast result: summing over repeated axes happens here, and where records
// are kept apart, over all axes but theirs.
func (v *VJP) SetBroadcast(i int, raw string) {
	target := v.Shape(v.X(i))
	if v.perRecord(i) {
		g := v.byRecord(raw, target)
		v.add(i, part{g, true})
		return
	}
	v.add(i, part{v.Unbroadcast(raw, target, v.Lead), true})
}

func (v *VJP) add(i int, p part) {
	in := v.X(i)
	if v.walk.parametric(in) {
		v.walk.lifted[in] = append(v.walk.lifted[in], p)
		return
	}
	v.walk.adjoint[in] = append(v.walk.adjoint[in], p)
}

// byRecord turns a gradient in the shape of the node's result into one of shape
// [batch, target]: the axis of the records moves to the front, every other axis
// along which the operand was repeated is summed.
func (v *VJP) byRecord(raw string, target []sym.Dim) string {
	l := v.walk.Proof.Of(v.Y(0))
	axis := l.Axis + v.Rank(raw) - v.Rank(v.Y(0))
	x, axis := v.RecordsFirst(raw, axis, l)
	// Now x is [batch, …]; what was at the records' place has extent block, or
	// is gone when block is 1: put an axis of extent 1 there for alignment.
	if l.Block.Is(1) {
		x = v.Unsqueeze(x, axis+1)
	}
	return v.Unbroadcast(x, target, 1)
}

// RecordsFirst moves the records, which lie along axis in blocks, to a first
// axis of their own. A block other than 1 stays behind at axis+1; an axis of
// block 1 is gone. It returns the value and the axis.
func (b *Builder) RecordsFirst(x string, axis int, l separate.Label) (string, int) {
	shape := b.Shape(x)
	if !l.Block.Is(1) {
		batch, ok := sym.DivExact(shape[axis], l.Block)
		if !ok {
			b.fail(fmt.Errorf("%w: %q: extent %s is no whole number of blocks of %s", ir.ErrUnsupported, x, shape[axis], l.Block))
			return x, axis
		}
		x = b.Reshape(x, slices.Concat(shape[:axis], []sym.Dim{batch, l.Block}, shape[axis+1:]))
	}
	perm := []int{axis}
	for i := range b.Rank(x) {
		if i != axis {
			perm = append(perm, i)
		}
	}
	return b.Transpose(x, perm...), axis
}

// setByRecord gives the per-example gradient [batch, operand's shape] of an
// operand that depends on no record.
func (v *VJP) setByRecord(i int, g string) { v.add(i, part{g, true}) }

// RowsByRecord returns x, which carries records as labelled l and features
// along its last axis, as [batch, rows, features]; a value of one row per record
// has rows = 1.
func (b *Builder) RowsByRecord(x string, l separate.Label) string {
	if l.Kind != separate.Batch || l.Axis >= b.Rank(x)-1 {
		b.fail(fmt.Errorf("%w: %q %v: it has no rows by record", ir.ErrUnsupported, x, l))
		return x
	}
	x, _ = b.RecordsFirst(x, l.Axis, l)
	s := b.Shape(x)
	last := len(s) - 1
	return b.Reshape(x, []sym.Dim{s[0], sym.Product(s[1:last]...), s[last]})
}

// Axis returns an axis of operand 0's rank, possibly negative, as an axis of
// its gradient.
func (v *VJP) Axis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(a) + v.Lead
}

// WithLead returns shape as the shape of a gradient.
func (v *VJP) WithLead(shape []sym.Dim) []sym.Dim {
	if v.Lead == 0 {
		return shape
	}
	for _, g := range v.gy {
		if g != "" {
			return slices.Concat(v.Shape(g)[:1], shape)
		}
	}
	return shape
}

// constInts returns the elements of operand i when they are known here.
func (v *VJP) constInts(i int) ([]int64, bool) { return v.Values.Of(v.X(i)).Ints() }

// axes returns the normalised axes of a reduction (operand 1; absent means
// all), or an error where they are computed.
func (v *VJP) axes() ([]int, error) {
	rank := v.Rank(v.X(0))
	if v.X(1) == "" {
		if v.Node.Int("noop_with_empty_axes", 0) != 0 {
			return nil, nil
		}
		return seq(0, rank), nil
	}
	list, ok := v.constInts(1)
	if !ok {
		return nil, fmt.Errorf("its axes are computed at run time")
	}
	if len(list) == 0 && v.Node.Int("noop_with_empty_axes", 0) == 0 {
		return seq(0, rank), nil
	}
	out := make([]int, len(list))
	for i, a := range list {
		if a < 0 {
			a += int64(rank)
		}
		out[i] = int(a)
	}
	slices.Sort(out)
	return out, nil
}
