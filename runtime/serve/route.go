package serve

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// A Handler answers one request. An error that it returns before it has written
// anything is written by its API; one after that ends the connection, so that
// the client sees a broken answer and not a short one.
type Handler func(w http.ResponseWriter, r *http.Request) error

// A Route is one line of an API's table.
type Route struct {
	Method  string // "GET" answers HEAD too
	Pattern string // a path pattern of net/http.ServeMux: "/v2/models/{model}/infer"
	Handler Handler
	// Public routes need no key: health, metrics, the page's own files.
	Public bool
	// Light routes do no work worth bounding: they are answered even when as many
	// requests are in work as may be, and while the server drains.
	Light bool
}

// An API is a protocol: a table of routes and a way of writing errors.
type API struct {
	Name   string // in logs and metrics: "oip"
	Routes []Route
	// Prefix is the part of the path space whose unknown paths and wrong methods
	// are answered in this API's form: "/v2". The longest that fits wins.
	Prefix string
	// Error writes headers and body. Retry-After and WWW-Authenticate are set
	// already.
	Error func(w http.ResponseWriter, e *Error)
}

// Mount adds an API's routes. It must be called before the server runs.
func (s *Server) Mount(apis ...API) error {
	for _, a := range apis {
		if a.Name == "" || a.Error == nil {
			return fmt.Errorf("an API needs a name and a way of writing errors")
		}
		for _, r := range a.Routes {
			if err := s.mount(&a, r); err != nil {
				return err
			}
		}
		s.apis = append(s.apis, &a)
	}
	return nil
}

// mount adds one route; net/http panics on a bad pattern and on two that overlap.
func (s *Server) mount(a *API, r Route) (err error) {
	pattern := r.Method + " " + r.Pattern
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("API %s: route %q: %v", a.Name, pattern, p)
		}
	}()
	if r.Method == "" || r.Handler == nil {
		return fmt.Errorf("API %s: route %q needs a method and a handler", a.Name, pattern)
	}
	m := &mounted{Route: r, api: a}
	s.mux.Handle(pattern, s.chain(m))
	s.routes[pattern] = m
	return nil
}

// A mounted route knows its API.
type mounted struct {
	Route
	api *API
}

// ServeHTTP answers a request: by its route, or with 404 or 405 in the form of the
// API that the path belongs to. A path that is not in its shortest form is
// unknown: a redirect would turn a POST into a GET.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, pattern := s.mux.Handler(r)
	if p := r.URL.EscapedPath(); path.Clean(p) == p && s.routes[pattern] != nil {
		s.mux.ServeHTTP(w, r)
		return
	}
	probe := &probeWriter{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	s.chain(s.missing(r, probe)).ServeHTTP(w, r)
}

// missing is the route of a path or method that has none; probe is what the mux
// answered.
func (s *Server) missing(r *http.Request, probe *probeWriter) *mounted {
	refusal := Errorf(http.StatusNotFound, CodeNotFound, "there is nothing at %s", r.URL.Path)
	allow := probe.header.Get("Allow")
	if probe.status == http.StatusMethodNotAllowed {
		refusal = Errorf(http.StatusMethodNotAllowed, CodeMethod, "%s is not answered at %s; %s is", r.Method, r.URL.Path, allow)
	}
	return &mounted{Route: Route{Pattern: "none", Light: true, Handler: func(w http.ResponseWriter, _ *http.Request) error {
		if allow != "" {
			w.Header().Set("Allow", allow)
		}
		return refusal
	}}, api: s.owner(r.URL.Path)}
}

// owner is the API whose prefix fits the path best.
func (s *Server) owner(path string) *API {
	best := &s.builtin
	for _, a := range s.apis {
		if a.Prefix != "" && strings.HasPrefix(path+"/", strings.TrimSuffix(a.Prefix, "/")+"/") && len(a.Prefix) > len(best.Prefix) {
			best = a
		}
	}
	return best
}

// A probeWriter keeps the status and headers that a handler writes.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header { return p.header }
func (p *probeWriter) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}
func (p *probeWriter) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return len(b), nil
}
