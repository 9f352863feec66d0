package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// An Error is what a request is refused with. Each API writes it in its own
// form (API.Error).
type Error struct {
	Status  int    // HTTP
	Code    string // for machines and logs: lower case, underscores
	Param   string // the field of the request that is at fault, or ""
	Message string // for the client; it may quote what the client sent
	// RetryAfter is when trying again makes sense; 0 where it does not.
	RetryAfter time.Duration
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// BadRequest is an Error about a field of the request; param may be "".
func BadRequest(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: CodeInvalid, Param: param, Message: fmt.Sprintf(format, args...)}
}

// The codes of errors that this package makes; APIs may have more.
const (
	CodeInvalid       = "invalid_request"
	CodeUnauthorized  = "invalid_api_key"
	CodeForbidden     = "forbidden"
	CodeNotFound      = "not_found"
	CodeMethod        = "method_not_allowed"
	CodeModelNotFound = "model_not_found"
	CodeModelNotReady = "model_not_ready"
	CodeTooLarge      = "request_too_large"
	CodeTooSlow       = "request_timeout"
	CodeOverloaded    = "overloaded"
	CodeDraining      = "shutting_down"
	CodeCancelled     = "client_gone"
	CodeFailed        = "inference_failed"
	CodeInternal      = "internal_error"
	CodeUnsupported   = "unsupported"
	CodeMediaType     = "unsupported_media_type"
)

// StatusClientGone is the status that logs and metrics show for a request whose
// client went away; nobody reads the answer.
const StatusClientGone = 499

// retryOverload is what Retry-After says when there is no room: a batch is over
// in less.
const retryOverload = time.Second

// Overloaded is the answer where a bound on waiting or running requests is hit.
func Overloaded(format string, args ...any) *Error {
	e := Errorf(http.StatusTooManyRequests, CodeOverloaded, format, args...)
	e.RetryAfter = retryOverload
	return e
}

// AsError sorts any error into an Error, nil into nil: what the caller gave (runtime.ErrUsage)
// is 400, a client that went away 499, a body beyond the bound 413, all else 500.
func AsError(err error) *Error {
	var e *Error
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.As(err, &tooLarge):
		return Errorf(http.StatusRequestEntityTooLarge, CodeTooLarge, "the request body is larger than %d bytes; send less, or raise --max-body", tooLarge.Limit)
	case errors.Is(err, context.Canceled):
		return Errorf(StatusClientGone, CodeCancelled, "the client went away")
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(http.StatusServiceUnavailable, CodeTooSlow, "the request took too long")
	case errors.Is(err, runtime.ErrBusy):
		return Overloaded("too many requests wait for the model; try again in a second")
	case errors.Is(err, runtime.ErrEngineClosed):
		return Errorf(http.StatusServiceUnavailable, CodeModelNotReady, "the model is being taken out")
	case errors.Is(err, runtime.ErrUsage):
		return BadRequest("", "%v", err)
	}
	return Errorf(http.StatusInternalServerError, CodeFailed, "%v", err)
}
