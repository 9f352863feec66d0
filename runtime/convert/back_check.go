package convert

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// check compares outputs, and refuses guesses that could not be compared.
func (b *back) check(ctx context.Context) error {
	guessed, free := append(b.r.names(ByOrder), b.r.names(ByAbsence)...), b.r.free()
	switch {
	case b.options.NoCompare:
		b.report.Why = "asked not to"
	case !b.known:
		b.report.Why = "graphs of a " + b.config.ModelType + " are not written here"
	default:
		d, err := compare(ctx, b.options.Library, b.models, b.graph, b.final)
		switch {
		case errors.Is(err, errNotComparable):
			b.report.Why = err.Error()
		case err != nil:
			return err
		default:
			b.report.Compared = d
			return b.agrees(d, len(guessed) > 0)
		}
	}
	if len(guessed) > 0 {
		return bad("the model names these parameters nowhere, and what their place tells could not be checked (%s): %s; name the checkpoint that it was exported from with --like",
			b.report.Why, strings.Join(guessed, ", "))
	}
	if len(free) > 0 {
		return bad("the model reads %q %v, which %s has no parameter for", free[0].tensor.Name, free[0].tensor.Dims, b.r.class.class)
	}
	return nil
}

func (b *back) agrees(d *Comparison, guessed bool) error {
	limit := closeFloat32
	if guessed {
		limit = closeOrder
	}
	for _, u := range b.uses {
		if u.tensor.DType != ir.Float32 {
			limit = closeHalf
		}
	}
	if d.MaxDifference <= limit*max(d.MaxValue, 1e-3) {
		return nil
	}
	free := ""
	if list := b.r.free(); len(list) > 0 {
		free = fmt.Sprintf("; it also reads %q %v, which has no place there", list[0].tensor.Name, list[0].tensor.Dims)
	}
	return bad("what was found is not the model: as a %s it gives %q up to %.3g apart (largest value %.3g) on a random batch%s", b.r.class.class, d.Output, d.MaxDifference, d.MaxValue, free)
}
