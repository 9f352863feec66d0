package serve

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// chain is what every request goes through: id, log and metrics around all, then
// key, room, deadlines and the bound of the body, then the handler; errors and
// panics are written in the API's form.
func (s *Server) chain(m *mounted) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		info := &Info{ID: RequestID(r.Header.Get("X-Request-Id"))}
		out := &answer{ResponseWriter: w, control: http.NewResponseController(w), patience: s.limits.Write}
		out.Header().Set("X-Request-Id", info.ID)
		if s.Draining() {
			out.Header().Set("Connection", "close")
		}
		r = r.WithContext(WithInfo(r.Context(), info))
		err := s.answer(m, out, r)
		code, status, cut := "", out.status, err != nil && out.status != 0
		switch e := AsError(err); {
		case err == nil && out.status == 0:
			out.WriteHeader(http.StatusOK)
			status = out.status
		case cut:
			code = e.Code
		case err != nil:
			code, status = e.Code, e.Status
			writeError(m.api, out, e)
		}
		s.Done(info, Record{API: m.api.Name, Method: methodOf(r), Route: m.Pattern, Status: status, Code: code, Took: time.Since(begun), Light: m.Light})
		if cut {
			panic(http.ErrAbortHandler) // a broken answer must not look whole
		}
	})
}

// methodOf is a request's method for the log; HTTP lets clients make up others.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// answer runs the checks and the handler.
func (s *Server) answer(m *mounted, w *answer, r *http.Request) error {
	if !m.Public {
		if refusal := s.keys.Load().admit(r.Header); refusal != nil {
			s.metrics.refused.WithLabelValues("key").Inc()
			return refusal
		}
	}
	if err := s.origin.Check(r); err != nil {
		s.metrics.refused.WithLabelValues("origin").Inc()
		return Errorf(http.StatusForbidden, CodeForbidden, "a request that a page of another origin sent is not answered")
	}
	if !m.Light {
		leave, refusal := s.Enter()
		if refusal != nil {
			return refusal
		}
		defer leave()
	}
	if r.ContentLength != 0 {
		// Until the body is there the client must keep sending; afterwards nothing is read, so
		// the deadline must go: when it passed the request's context would end.
		_ = w.control.SetReadDeadline(time.Now().Add(s.limits.Read))
		body := http.MaxBytesReader(w, r.Body, s.limits.Body)
		r.Body = &untilEnd{ReadCloser: body, ended: func() { _ = w.control.SetReadDeadline(time.Time{}) }}
		if r.ContentLength > s.limits.Body {
			return AsError(&http.MaxBytesError{Limit: s.limits.Body})
		}
	}
	return s.Guard(r.Context(), m.Pattern, func() error { return m.Handler(w, r) })
}

// Enter counts a request in, unless as many are in work as may be, or the server
// is shutting down; leave counts it out. Protocols beside HTTP use it.
func (s *Server) Enter() (leave func(), refusal *Error) {
	select {
	case s.room <- struct{}{}:
	default:
		s.metrics.refused.WithLabelValues("concurrent").Inc()
		return nil, Overloaded("%d requests are in work, which is the limit; try again in a second", cap(s.room))
	}
	s.metrics.inFlight.Inc()
	return func() {
		s.metrics.inFlight.Dec()
		<-s.room
	}, nil
}

// errPanic marks the error that a panic became.
var errPanic = Errorf(http.StatusInternalServerError, CodeInternal, "the server has a fault; the operator finds it in the log under this request's id")

// Guard turns a panic of f into an error. The log gets the stack, and the panic's
// type but not its words, which can hold what the client sent.
func (s *Server) Guard(ctx context.Context, route string, f func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // the value that net/http documents
			panic(p)
		}
		s.metrics.panics.Inc()
		s.log.Error("a handler panicked", "id", InfoOf(ctx).ID, "route", route, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		err = errPanic
	}()
	return f()
}

// writeError lets the API write an error.
func writeError(a *API, w http.ResponseWriter, e *Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, (e.RetryAfter+time.Second-1)/time.Second))))
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="ghostwriter"`)
	}
	a.Error(w, e)
}
