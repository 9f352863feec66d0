package runtime

import (
	"errors"
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// ErrUsage is wrapped by errors about what the caller gave: files, batches,
// options.
var ErrUsage = errors.New("bad input")

// usage makes an error that wraps ErrUsage without repeating its words.
func usage(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

type usageError struct{ err error }

func (e *usageError) Error() string        { return e.err.Error() }
func (e *usageError) Unwrap() error        { return e.err }
func (e *usageError) Is(target error) bool { return target == ErrUsage }

// Exit codes of the command; see ExitCode.
const (
	ExitFailed      = 1 // failed while running
	ExitUsage       = 2 // wrong usage or bad input
	ExitUntrainable = 3 // the model can't be trained as asked
	ExitBudget      = 4 // the privacy budget is spent
)

// ExitCode sorts an error into the command's exit codes; 0 for nil.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, dpadam.ErrBudgetSpent):
		return ExitBudget
	case errors.Is(err, onnxgrad.ErrNoGradient), errors.Is(err, separate.ErrMixed), errors.Is(err, ir.ErrUnsupported):
		return ExitUntrainable
	case errors.Is(err, ErrUsage), errors.Is(err, ir.ErrInvalid), errors.Is(err, dpadam.ErrInvalid), errors.Is(err, dpadam.ErrUnsupported), errors.Is(err, dpadam.ErrLedger), errors.Is(err, dpadam.ErrBudgetFile), isDeviceError(err), isMetricsError(err):
		return ExitUsage
	}
	return ExitFailed
}
