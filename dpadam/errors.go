package dpadam

import (
	"errors"
	"fmt"
)

// The sentinels below classify every error of this package. A caller tests them with
// errors.Is and maps them to exit codes.
var (
	// ErrInvalid marks a parameter outside its bounds (exit code 2). The error
	// is a *ParamError that names parameter, value and bound.
	ErrInvalid = errors.New("invalid parameter")

	// ErrBudgetSpent marks a step that the privacy budget does not pay for
	// (exit code 4). Nothing was charged and no noise was drawn.
	ErrBudgetSpent = errors.New("privacy budget spent")

	// ErrLedger marks a ledger that is missing, damaged, shorter than a stored
	// head, no extension of it, or that belongs to another plan (exit code 2).
	ErrLedger = errors.New("ledger refused")

	// ErrLocked marks a ledger that another process holds. It is an ErrLedger too.
	ErrLocked = fmt.Errorf("%w: locked", ErrLedger)

	// ErrMisuse marks a call that would break the order charge, sample, sum, release:
	// a permit used twice, a microbatch left out, a vector of the wrong length.
	ErrMisuse = errors.New("misuse of the private step")

	// ErrSensitivity marks a sum whose norm is larger than its records can
	// make it: the gradients were not clipped, or the sum is not finite.
	ErrSensitivity = errors.New("sensitivity bound broken")

	// ErrUnsupported marks an event or a relation that an accountant has no proof for.
	ErrUnsupported = errors.New("not supported by this accountant")
)

// ParamError says which parameter was refused, its value and the bound it broke.
type ParamError struct {
	Parameter string // the field's name in the terms of the literature
	Value     any    // what was given
	Bound     string // what is allowed, and if it is not obvious, what to do
}

// Error returns "parameter = value: bound".
func (e *ParamError) Error() string {
	return fmt.Sprintf("%s = %v: %s", e.Parameter, e.Value, e.Bound)
}

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *ParamError) Unwrap() error { return ErrInvalid }

func invalid(parameter string, value any, bound string) error {
	return &ParamError{Parameter: parameter, Value: value, Bound: bound}
}
