package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// ServerName is what the server calls itself.
const ServerName = "ghostwriter"

// Options say how a Server answers.
type Options struct {
	Limits Limits
	Keys   *Keys        // nil: no key is asked for
	TLS    *tls.Config  // nil: plain text
	Log    *slog.Logger // nil: slog.Default()
}

// A Server answers HTTP with the routes that are mounted on it.
type Server struct {
	repo    *Repository
	limits  Limits
	keys    atomic.Pointer[Keys]
	tls     *tls.Config
	log     *slog.Logger
	metrics *Metrics
	origin  *http.CrossOriginProtection

	mux     *http.ServeMux
	routes  map[string]*mounted
	apis    []*API
	builtin API
	room    chan struct{}

	draining atomic.Bool
	base     context.Context // ends when requests must
	abort    context.CancelFunc
}

// New makes a server of a repository's models. The server shares the repository's
// metrics and answers /metrics itself.
func New(repo *Repository, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{repo: repo, limits: o.Limits.WithDefaults(), tls: o.TLS, log: o.Log, metrics: repo.metrics,
		origin: http.NewCrossOriginProtection(), mux: http.NewServeMux(), routes: map[string]*mounted{}}
	s.keys.Store(o.Keys)
	s.room = make(chan struct{}, s.limits.Concurrent)
	s.base, s.abort = context.WithCancel(context.Background())
	metrics := s.metrics.handler()
	s.builtin = API{Name: "server", Error: plainError, Routes: []Route{
		{Method: "GET", Pattern: "/metrics", Public: true, Light: true, Handler: func(w http.ResponseWriter, r *http.Request) error {
			metrics.ServeHTTP(w, r)
			return nil
		}},
	}}
	for _, r := range s.builtin.Routes {
		if err := s.mount(&s.builtin, r); err != nil {
			panic(err) // the table above is wrong
		}
	}
	return s
}

// plainError writes {"error": message}.
func plainError(w http.ResponseWriter, e *Error) {
	data, _ := json.Marshal(map[string]string{"error": e.Message})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(data)
}

// Repository is where the models are.
func (s *Server) Repository() *Repository { return s.repo }

// Limits are the server's bounds, defaults filled in.
func (s *Server) Limits() Limits { return s.limits }

// Metrics are what /metrics shows.
func (s *Server) Metrics() *Metrics { return s.metrics }

// TLS is how its endpoints encrypt; nil where they don't.
func (s *Server) TLS() *tls.Config { return s.tls }

// Log is where the server's lines go.
func (s *Server) Log() *slog.Logger { return s.log }

// SetKeys replaces the API keys; nil asks for none.
func (s *Server) SetKeys(k *Keys) { s.keys.Store(k) }

// Admit checks a request's headers for a key; protocols beside HTTP use it.
func (s *Server) Admit(h http.Header) *Error { return s.keys.Load().admit(h) }

// Draining reports that the server is shutting down.
func (s *Server) Draining() bool { return s.draining.Load() }

// Ready reports that the server takes requests: it is not shutting down, and not
// every model of its tree failed to load.
func (s *Server) Ready() bool { return !s.Draining() && s.repo.Ready() }

// An Endpoint answers on a listener: http.Server, or gRPC's behind a small
// adapter. Serve returns nil after Shutdown.
type Endpoint interface {
	Serve(net.Listener) error
	// Shutdown lets requests in work end and then returns; when ctx ends it returns
	// its error.
	Shutdown(ctx context.Context) error
}

// Listening is an endpoint on its listener.
type Listening struct {
	Listener net.Listener
	Endpoint Endpoint
}

// HTTP returns the endpoint of the mounted routes.
func (s *Server) HTTP() Endpoint {
	return &httpEndpoint{tls: s.tls != nil, server: &http.Server{
		Handler: s, ReadHeaderTimeout: s.limits.Header, IdleTimeout: s.limits.Idle, MaxHeaderBytes: 64 << 10, TLSConfig: s.tls,
		BaseContext: func(net.Listener) context.Context { return s.base },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // broken connections
	}}
}

type httpEndpoint struct {
	server *http.Server
	tls    bool
}

func (h *httpEndpoint) Serve(l net.Listener) error {
	serve := h.server.Serve
	if h.tls {
		serve = func(l net.Listener) error { return h.server.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (h *httpEndpoint) Shutdown(ctx context.Context) error {
	err := h.server.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, h.server.Close())
	}
	return nil
}

// Run answers until ctx ends or an endpoint fails, then shuts down: it says that
// it is not ready, waits Limits.DrainDelay, takes no more connections, lets the
// requests in work end, and frees the models. Requests that are still in work
// after Limits.Drain are ended, and the error says so.
func (s *Server) Run(ctx context.Context, endpoints ...Listening) error {
	failed := make(chan error, len(endpoints))
	for _, e := range endpoints {
		go func() {
			if err := e.Endpoint.Serve(e.Listener); err != nil {
				failed <- fmt.Errorf("listening on %s: %w", e.Listener.Addr(), err)
			}
		}()
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	s.draining.Store(true)
	s.log.Info("shutting down", "in_work", len(s.room))
	if cause == nil && s.limits.DrainDelay > 0 {
		time.Sleep(s.limits.DrainDelay)
	}
	return errors.Join(cause, s.shutdown(endpoints), s.repo.Close())
}

// shutdown ends the endpoints side by side within the time for it.
func (s *Server) shutdown(endpoints []Listening) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.Drain)
	defer cancel()
	defer s.abort()
	late := context.AfterFunc(ctx, s.abort) // what is still in work must end now
	defer late()
	var wait sync.WaitGroup
	errs := make([]error, len(endpoints))
	for i, e := range endpoints {
		wait.Go(func() { errs[i] = e.Endpoint.Shutdown(ctx) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("requests were still in work after %v and were ended", s.limits.Drain)
	}
	return nil
}

// Version is the server's version.
func (s *Server) Version() string { return runtime.Version }
