package runtime

import (
	"context"
)

// A text is one row of a turn: the ids so far, and which row of the turn before
// it continues by one token, −1 for a new text.
type text struct {
	ids  []int32
	from int
	// source is what an encoder–decoder model's encoder reads; only of new texts.
	source []int32
}

// A stepper computes the logits behind texts, turn by turn. It may keep what
// the turn before computed. It is not safe for concurrent use.
type stepper interface {
	// next returns the logits [vocabulary] of the position behind each text, valid
	// until the next call. The result for one text does not depend on the others.
	// After an error the stepper can only be closed.
	next(ctx context.Context, texts []text) ([][]float32, error)
	close()
}
