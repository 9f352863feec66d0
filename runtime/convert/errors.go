package convert

import (
	"errors"
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// ErrInput is wrapped by errors about what the caller gave: a directory, a
// config.json, a checkpoint, options. It also is ir.ErrInvalid, by which callers
// sort models that can't be read.
var ErrInput = errors.New("bad input")

func bad(format string, args ...any) error { return &inputError{fmt.Errorf(format, args...)} }

type inputError struct{ err error }

func (e *inputError) Error() string        { return e.err.Error() }
func (e *inputError) Unwrap() error        { return e.err }
func (e *inputError) Is(target error) bool { return target == ErrInput || target == ir.ErrInvalid }
