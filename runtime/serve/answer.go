package serve

import (
	"io"
	"net/http"
	"time"
)

// An answer is a ResponseWriter that knows what was written, and gives the client
// a bounded time to take each part: a reader that stops holds a connection, never
// a model.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	status   int
}

// WriteHeader writes the status once.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// part is how much of a body a client must take within its time: a long answer may
// take as long as it needs, as long as it moves.
const part = 256 << 10

// Write writes a body, part by part, each within the time for one.
func (a *answer) Write(b []byte) (n int, err error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	for first := true; first || n < len(b); first = false {
		_ = a.control.SetWriteDeadline(time.Now().Add(a.patience))
		k, err := a.ResponseWriter.Write(b[n:min(len(b), n+part)])
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Flush sends what was written; streams of events need it.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush with the error of a client that went away.
func (a *answer) FlushError() error {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.patience))
	return a.control.Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// untilEnd calls ended when the body has been read. After a failure the deadline
// stays: the connection is of no more use, and net/http reads on before it
// answers.
type untilEnd struct {
	io.ReadCloser
	ended func()
}

func (u *untilEnd) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	if err == io.EOF && u.ended != nil { //nolint:errorlint // a Reader returns it as it is
		u.ended()
		u.ended = nil
	}
	return n, err
}
