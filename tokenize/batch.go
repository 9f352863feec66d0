package tokenize

import "fmt"

// A Batch holds examples of one bucket as flat row-major int64 arrays, the form in which ONNX models take them.
// B is Rows, T is Length.
type Batch struct {
	Rows, Length int

	InputIDs      []int64 // [B,T], filled up with the pad id
	AttentionMask []int64 // [B,T], 1 on tokens, 0 on padding
	TokenTypeIDs  []int64 // [B,T]
	PositionIDs   []int64 // [B,T], 0 to T-1 in every row
	Labels        []int64 // [B,T], Unscored on padding; for causal-lm and, of a decoder, seq2seq
	ClassLabels   []int64 // [B], 0 where Real is false; for classify and infill
	MaskPosition  []int64 // [B], 0 where there is none; for infill
	// Real says which rows count. The others, dropped examples and rows added to fill the batch, are a fixed valid
	// dummy (every token the pad id, attention mask 1, nothing scored), to be deselected from the loss and from both
	// factors of every gradient product.
	Real []bool // [B]
}

// Pad puts examples into a batch of rows rows, at least as many as there are examples, each padded at its end to length
// tokens. An example longer than length is an error. padID is the tokenizer's [Tokenizer.PadID].
func Pad(examples []*Example, length, rows int, padID int32) (*Batch, error) {
	if length < 1 || rows < 1 || rows < len(examples) {
		return nil, fmt.Errorf("a batch of %d rows and %d tokens cannot hold %d examples", rows, length, len(examples))
	}
	n := rows * length
	b := &Batch{Rows: rows, Length: length,
		InputIDs: make([]int64, n), AttentionMask: make([]int64, n), TokenTypeIDs: make([]int64, n),
		PositionIDs: make([]int64, n), Labels: make([]int64, n),
		ClassLabels: make([]int64, rows), MaskPosition: make([]int64, rows), Real: make([]bool, rows)}
	for i := range n {
		b.InputIDs[i] = int64(padID)
		b.Labels[i] = Unscored
		b.PositionIDs[i] = int64(i % length)
	}
	for r := range rows {
		if r < len(examples) && examples[r].Dropped == Kept && examples[r].Len() > 0 {
			if err := b.fill(r, examples[r]); err != nil {
				return nil, err
			}
			continue
		}
		for t := range length {
			b.AttentionMask[r*length+t] = 1
		}
	}
	return b, nil
}

// Shifted are the ids that a decoder reads while it is scored on Labels, and their mask: the start token and then the
// labels, each one place later, as transformers' shift_tokens_right. Where nothing is scored it reads padding, which the
// mask leaves out; a row that does not count keeps a mask of 1.
func (b *Batch) Shifted(start, padID int32) (ids, mask []int64) {
	ids, mask = make([]int64, len(b.Labels)), make([]int64, len(b.Labels))
	for i, label := range b.Labels {
		row, t := i/b.Length, i%b.Length
		ids[i] = int64(padID)
		switch {
		case t == 0:
			ids[i] = int64(start)
		case b.Labels[i-1] != Unscored:
			ids[i] = b.Labels[i-1]
		}
		if label != Unscored || !b.Real[row] {
			mask[i] = 1
		}
	}
	return ids, mask
}

// fill writes an example into row r.
func (b *Batch) fill(r int, e *Example) error {
	if e.Len() > b.Length {
		return &RowError{Row: e.Row, Problem: fmt.Sprintf("it has %d tokens, but the bucket %d", e.Len(), b.Length)}
	}
	if e.Target != nil && e.Labels != nil {
		return &RowError{Row: e.Row, Problem: "it has labels of its own and a target of a decoder"}
	}
	if e.TypeIDs != nil && len(e.TypeIDs) != e.Len() || e.Labels != nil && len(e.Labels) != e.Len() {
		return &RowError{Row: e.Row, Problem: fmt.Sprintf("it has %d tokens, but %d segment ids and %d labels", e.Len(), len(e.TypeIDs), len(e.Labels))}
	}
	at := r * b.Length
	for t, id := range e.IDs {
		b.InputIDs[at+t] = int64(id)
		b.AttentionMask[at+t] = 1
	}
	for t, id := range e.TypeIDs {
		b.TokenTypeIDs[at+t] = int64(id)
	}
	for t, l := range e.Labels {
		b.Labels[at+t] = int64(l)
	}
	for t, id := range e.Target {
		b.Labels[at+t] = int64(id)
	}
	b.ClassLabels[r] = int64(max(e.Label, 0))
	b.MaskPosition[r] = int64(max(e.MaskPosition, 0))
	b.Real[r] = true
	return nil
}
