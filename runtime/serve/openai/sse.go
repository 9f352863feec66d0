package openai

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// events writes an answer as server-sent events, each sent off at once.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not collect it
	w.WriteHeader(http.StatusOK)
	return &events{w, http.NewResponseController(w)}
}

// send writes one event. The error is a client that went away or reads too slowly.
func (e *events) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.raw(data)
}

func (e *events) raw(data []byte) error {
	event := make([]byte, 0, len(data)+8)
	event = append(append(append(event, "data: "...), data...), "\n\n"...)
	if _, err := e.w.Write(event); err != nil {
		return err
	}
	return e.control.Flush()
}

// done ends the stream as clients expect it.
func (e *events) done() error { return e.raw([]byte("[DONE]")) }

// fail tells the client of an error in the middle of a stream and returns it, so that the connection ends without the
// mark of a whole answer.
func (e *events) fail(err error) error {
	if failure := serve.AsError(err); failure.Status != serve.StatusClientGone {
		return errors.Join(err, e.send(bodyOf(failure)))
	}
	return err
}
