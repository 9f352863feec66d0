// Package separate proves that the records of a batch do not mix: that output
// row i of a graph depends on input row i and on the parameters alone.
//
// Differential privacy rests on this. Clipping bounds what one record
// contributes only if its loss is a function of that record; a batch mean, an
// attention across the batch or an in-batch negative breaks the bound without
// any error. The proof is static: every value gets a label saying along which
// axis the records lie, and an operator that could carry numbers between
// records makes its output Mixed. It fails closed: an operator that has no rule
// here mixes.
package separate

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A Kind says how a value relates to the records of the batch.
type Kind int

const (
	// Invariant values are the same whatever the records are: constants,
	// parameters, and what is computed from them.
	Invariant Kind = iota
	// Batch values hold record i's numbers at positions i·Block … (i+1)·Block−1
	// of Axis, and nowhere else.
	Batch
	// Row values hold, along Axis, record number times Scale: Range(batch).
	Row
	// FlatRow values hold record number times Scale plus a number in
	// [0, Scale): positions in a flattened [batch, Scale] tensor that stay
	// with their record.
	FlatRow
	// RowTuple values are index tuples whose first component is a Row.
	RowTuple
	// Size values depend on how many records there are. They may shape other
	// values, but not enter arithmetic with them.
	Size
	// Mixed values hold numbers of several records, or could.
	Mixed
)

// A Label is what is proven of one value.
type Label struct {
	Kind  Kind
	Axis  int     // for Batch, Row, FlatRow and RowTuple
	Block sym.Dim // positions per record along Axis; 1 except after a reshape joined axes
	Scale sym.Dim // for Row and FlatRow
	// Bound, where it is not 0, says of an Invariant integer value that all
	// its elements lie in [0, Bound).
	Bound sym.Dim
	// Why says, for Mixed, where and how records first mixed.
	Why string
}

// onAxis reports whether the label places records along an axis.
func (l Label) onAxis() bool {
	return l.Kind == Batch || l.Kind == Row || l.Kind == FlatRow || l.Kind == RowTuple
}

// Leading reports whether the label is Batch with one position per record along
// the first axis: the form in which a loss or a hook reads a value.
func (l Label) Leading() bool { return l.Kind == Batch && l.Axis == 0 && l.Block.Is(1) }

func (l Label) String() string {
	switch l.Kind {
	case Invariant:
		return "is the same for all records"
	case Size:
		return "depends on the batch size"
	case Mixed:
		return "mixes records: " + l.Why
	}
	name := map[Kind]string{Batch: "records", Row: "record numbers", FlatRow: "flat indices by record", RowTuple: "index tuples by record"}[l.Kind]
	return fmt.Sprintf("holds %s along axis %d, %s each", name, l.Axis, l.Block)
}

func invariant() Label { return Label{Kind: Invariant} }

func records(axis int, block sym.Dim) Label { return Label{Kind: Batch, Axis: axis, Block: block} }

func mixed(n *ir.Node, format string, args ...any) Label {
	return Label{Kind: Mixed, Why: fmt.Sprintf("%v %s", n, fmt.Sprintf(format, args...))}
}
