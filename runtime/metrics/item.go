package metrics

import (
	"errors"
	"fmt"
)

// ErrInput is wrapped by errors about what is scored.
var ErrInput = errors.New("bad input")

// inputError makes an error that wraps ErrInput without repeating its words.
func inputError(format string, args ...any) error { return &badInput{fmt.Errorf(format, args...)} }

type badInput struct{ error }

func (e *badInput) Unwrap() error        { return e.error }
func (e *badInput) Is(target error) bool { return target == ErrInput }

// An Item is one output with the texts that it is compared with, at least one.
type Item struct {
	Output     string
	References []string
}

// checkItems refuses what no metric is defined for.
func checkItems(items []Item) error {
	if len(items) == 0 {
		return inputError("there is nothing to score")
	}
	for i, item := range items {
		if len(item.References) == 0 {
			return inputError("output %d has no reference", i+1)
		}
	}
	return nil
}
