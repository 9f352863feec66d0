package serve

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

// An Info is what the log line of a request says beside what every line does; the
// handler fills it in through InfoOf.
type Info struct {
	ID      string // the request's id: the client's X-Request-Id, or one made here
	Model   string // name of a loaded model, once it is known to exist
	Version string
}

type infoKey struct{}

// InfoOf is the Info of a request's context; one of its own where there is none.
func InfoOf(ctx context.Context) *Info {
	if i, ok := ctx.Value(infoKey{}).(*Info); ok {
		return i
	}
	return &Info{}
}

// WithInfo gives a context an Info; protocols beside HTTP use it.
func WithInfo(ctx context.Context, i *Info) context.Context {
	return context.WithValue(ctx, infoKey{}, i)
}

// requestID is what a client may call its request; anything else is replaced, so
// that nothing else gets into the logs by it.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// RequestID returns the client's id when it is one, else a new one.
func RequestID(given string) string {
	if requestID.MatchString(given) {
		return given
	}
	return rand.Text()
}

// ReadBody reads the whole body within the limit of Limits.Body. Once it has
// returned, the request's context ends when the client goes.
func ReadBody(r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	data, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return data, nil
	case errors.As(err, &tooLarge):
		return nil, AsError(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, Errorf(http.StatusRequestTimeout, CodeTooSlow, "the request body came too slowly")
	}
	return nil, BadRequest("", "the request body ended early")
}

// ReadJSON reads the body as one JSON value into v. Unknown fields are ignored,
// since clients send fields of their own.
func ReadJSON(r *http.Request, v any) error {
	data, err := ReadBody(r)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return BadRequest("", "the request has no body; send a JSON object")
	}
	return ParseJSON(data, v)
}

// ParseJSON parses one JSON value and says what is wrong with it by field and
// position.
func ParseJSON(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var own *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return BadRequest("", "the body is not JSON: %v at byte %d", err, syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return BadRequest(kind.Field, "%q is a JSON %s; it must be %s", kind.Field, kind.Value, jsonKind(kind.Type.String()))
	case errors.As(err, &kind):
		return BadRequest("", "the body is a JSON %s; it must be an object", kind.Value)
	}
	return BadRequest("", "the body: %v", err)
}

// jsonKind names a Go type as JSON does where it is one of JSON's.
func jsonKind(t string) string {
	switch t {
	case "string", "*string":
		return "a string"
	case "bool", "*bool":
		return "true or false"
	case "int", "int32", "int64", "*int", "*int64", "uint64", "*uint64":
		return "a whole number"
	case "float64", "float32", "*float64", "*float32":
		return "a number"
	case "[]string":
		return "a list of strings"
	}
	return "of another kind"
}

// WriteJSON writes v with a status. A value that can't be written is a fault of
// the caller and becomes the error.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return Errorf(http.StatusInternalServerError, CodeInternal, "the answer can't be written as JSON: %v", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(data)
	return err
}

// A Record is what a request came to.
type Record struct {
	API, Method, Route string // the route's pattern
	Status             int    // HTTP's, whatever the protocol
	Code               string // of an Error, or ""
	Took               time.Duration
	Light              bool // not worth a line where it went well
}

// Done counts a request and writes its line. HTTP routes are counted by the server;
// protocols beside it use this.
func (s *Server) Done(i *Info, r Record) {
	s.metrics.requests.WithLabelValues(r.API, r.Route, strconv.Itoa(r.Status)).Inc()
	s.metrics.seconds.WithLabelValues(r.API, r.Route).Observe(r.Took.Seconds())
	level := slog.LevelInfo
	switch {
	case r.Status >= 500:
		level = slog.LevelWarn
	case r.Light && r.Status < 400:
		level = slog.LevelDebug // probes ask every second
	}
	attrs := []slog.Attr{
		slog.String("id", i.ID), slog.String("api", r.API), slog.String("method", r.Method), slog.String("route", r.Route),
		slog.Int("status", r.Status), slog.Duration("took", r.Took.Round(time.Microsecond)),
	}
	if i.Model != "" {
		attrs = append(attrs, slog.String("model", i.Model), slog.String("version", i.Version))
	}
	if r.Code != "" {
		attrs = append(attrs, slog.String("error", r.Code))
	}
	s.log.LogAttrs(context.Background(), level, "request", attrs...)
}
