package tokenize

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Unscored marks a position that the loss leaves out, as in transformers.
const Unscored = -100

// A Drop says why an example contributes zero. The example keeps its place: it counts in N and may be sampled.
type Drop string

// The reasons to drop an example; Kept is the zero value.
const (
	Kept         Drop = ""
	DropTooLong  Drop = "longer than the maximum length"
	DropMaskCut  Drop = "its mask was cut off"
	DropUnscored Drop = "nothing in it is scored"
)

// An Example is a record as token ids, of length T.
type Example struct {
	Row int // the record's
	// IDs are the token ids, nil when the example is dropped.
	IDs []int32
	// TypeIDs are the segment ids (token_type_ids); nil stands for all 0.
	TypeIDs []int32
	// Labels are aligned with IDs, as in transformers: the logits at t are scored against Labels[t+1]; Unscored is left
	// out. nil for classification.
	Labels []int32
	// Target are the ids that a decoder beside the encoder of IDs has to produce, all of them scored; nil for models of
	// one sequence.
	Target []int32
	// Label is the class, -1 where the format has none.
	Label int32
	// MaskPosition is where an infill example is scored, -1 for other formats.
	MaskPosition int32
	// Dropped says why the example contributes zero.
	Dropped Drop
}

// Len is the number of tokens, of the longer of two sequences, 0 for a dropped example. A bucket depends on it alone.
func (e Example) Len() int { return max(len(e.IDs), len(e.Target)) }

// Scored is the number of labels that a loss over tokens counts: a whole target, and of a single sequence those after
// the first position that are not Unscored.
func (e Example) Scored() int {
	n := len(e.Target)
	for i, l := range e.Labels {
		if i > 0 && l != Unscored {
			n++
		}
	}
	return n
}

// drop is an example that contributes zero.
func drop(rec Record, why Drop) Example {
	return Example{Row: rec.Row, Label: -1, MaskPosition: -1, Dropped: why}
}

// A Formatter turns a record into an example. It is immutable, safe for concurrent use, and looks at no other record.
type Formatter interface {
	// Format gives the example. Its errors name fields, never content.
	Format(rec Record) (Example, error)
	// MaxLength is the largest length of an example.
	MaxLength() int
}

// FormatAll formats records in parallel, workers at a time (0: as many as there are processors); example i is that of
// records[i]. An error is a *RowError with the row's number and no file name.
func FormatAll(ctx context.Context, f Formatter, records []Record, workers int) ([]Example, error) {
	out := make([]Example, len(records))
	_, err := parallel(ctx, len(records), workers, func(i int) error {
		e, err := f.Format(records[i])
		if err != nil {
			return formatError(records[i], err)
		}
		out[i] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func formatError(rec Record, err error) error {
	var row *RowError
	if errors.As(err, &row) {
		row.Row = rec.Row
		return row
	}
	return &RowError{Row: rec.Row, Problem: err.Error()}
}

// DropCounts counts the dropped examples by reason. It depends on private data: it belongs in debug/.
func DropCounts(examples []Example) map[Drop]int {
	counts := map[Drop]int{}
	for i := range examples {
		if d := examples[i].Dropped; d != Kept {
			counts[d]++
		}
	}
	return counts
}

// CheckIDs is an error when an example holds an id that a model with modelVocab entries does not have.
func CheckIDs(examples []Example, modelVocab int) error {
	for i := range examples {
		for _, id := range slices.Concat(examples[i].IDs, examples[i].Target) {
			if id < 0 || int(id) >= modelVocab {
				return &RowError{Row: examples[i].Row,
					Problem: fmt.Sprintf("a token has id %d, but the model's vocabulary has %d entries; use the tokenizer the model was trained with", id, modelVocab)}
			}
		}
	}
	return nil
}

// checkLength refuses a maximum length that leaves no room.
func checkLength(maxLength, needed int) error {
	if maxLength < needed {
		return fmt.Errorf("maximum length is %d; this format needs at least %d", maxLength, needed)
	}
	return nil
}

// roleID is the id of a token with a role, or an error that says what is missing.
func roleID(id int32, role string) (int32, error) {
	if id < 0 {
		return 0, fmt.Errorf("the tokenizer has no %s token, which this format needs; name it in tokenizer_config.json", role)
	}
	return id, nil
}
