package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip"
)

// A serveRequest is what the flags of serve say.
type serveRequest struct {
	models       string
	named        map[string]string
	listen, grpc string
	keyFile      string
	cert, key    string
	batching     string
	logFormat    string
	logLevel     string
	limits       serve.Limits
	batch        serve.Batching
	engine       runtime.EngineOptions
}

func (a *app) serveCommand() *cobra.Command {
	var r serveRequest
	c := &cobra.Command{
		Use:   "serve --models TREE [--listen 127.0.0.1:8080] [--grpc-listen HOST:PORT]",
		Short: "Answer requests with the models of a folder",
		Long: "Serve answers the Open Inference Protocol (REST, and gRPC with --grpc-listen), OpenAI's completions, chat and embeddings,\n" +
			"and TEI's routes, with every model of TREE: TREE/NAME/ or TREE/NAME/VERSION/ is a model directory. SIGHUP reads TREE, the\n" +
			"keys and the certificate again; SIGTERM and SIGINT let the requests in work end, a second one does not.",
		Example: "  ghostwriter serve --models models/\n" +
			"  ghostwriter serve --models models/ --listen :8443 --grpc-listen :8444 --api-key-file keys.txt --tls-cert cert.pem --tls-key key.pem",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), &r) },
	}
	r.flags(c)
	return c
}

func (r *serveRequest) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&r.models, "models", "", "the folder of models")
	fl.StringToStringVar(&r.named, "model", nil, "NAME=DIR: a model directory beside the folder; repeat for more")
	fl.StringVar(&r.listen, "listen", "127.0.0.1:8080", "address for HTTP; port 0 takes a free one")
	fl.StringVar(&r.grpc, "grpc-listen", "", "address for gRPC (default: none)")
	fl.StringVar(&r.keyFile, "api-key-file", "", "API keys, one a line; requests carry one as Authorization: Bearer KEY or X-API-Key: KEY")
	fl.StringVar(&r.cert, "tls-cert", "", "certificate chain, PEM")
	fl.StringVar(&r.key, "tls-key", "", "its private key, PEM")

	l := serve.Limits{}.WithDefaults()
	fl.Int64Var(&r.limits.Body, "max-body", l.Body, "bytes of a request's body")
	fl.IntVar(&r.limits.Concurrent, "max-concurrent", l.Concurrent, "requests in work at once; more are answered with 429")
	fl.IntVar(&r.limits.Inputs, "max-inputs", l.Inputs, "texts or rows of one request")
	fl.IntVar(&r.limits.Queue, "max-queue", l.Queue, "requests that wait for one model; more are answered with 429")
	fl.DurationVar(&r.limits.Header, "header-timeout", l.Header, "time to send a request's headers")
	fl.DurationVar(&r.limits.Read, "read-timeout", l.Read, "time to send a request's body")
	fl.DurationVar(&r.limits.Write, "write-timeout", l.Write, "time to take each part of an answer")
	fl.DurationVar(&r.limits.Idle, "idle-timeout", l.Idle, "time between two requests of a connection")
	fl.DurationVar(&r.limits.DrainDelay, "drain-delay", 0, "time to say not ready, still answering, before a shutdown begins")
	fl.DurationVar(&r.limits.Drain, "drain-timeout", l.Drain, "time for requests in work to end at shutdown")

	b := serve.Batching{}.WithDefaults()
	fl.StringVar(&r.batching, "batching", "on", "on: requests are computed together where that is proven to change nothing; off: each alone")
	fl.IntVar(&r.batch.Tokens, "batch-tokens", b.Tokens, "most longest length × rows of a batch")
	fl.IntVar(&r.batch.Rows, "batch-rows", b.Rows, "most rows of a batch")
	fl.DurationVar(&r.batch.Delay, "batch-delay", b.Delay, "time that a batch which is not full waits for more")
	fl.Float64Var(&r.batch.Padding, "batch-padding", b.Padding, "most made-up tokens of a batch, as a share of all; negative lets only equal lengths together")
	fl.IntVar(&r.batch.Workers, "workers", b.Workers, "batches of one model computed at once")
	fl.IntVar(&r.engine.MaxSequences, "max-sequences", 0, "texts of one model generated at once (default 16)")
	fl.IntVar(&r.engine.MaxTokens, "max-cache-tokens", 0, "their summed lengths (default: no bound)")
	fl.StringVar(&r.logFormat, "log-format", "text", "text or json, on standard error")
	fl.StringVar(&r.logLevel, "log-level", "info", "debug, info, warn or error")
}

// check refuses flags that can't be meant.
func (r *serveRequest) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", errCommandLine, fmt.Sprintf(format, args...))
	}
	switch {
	case r.models == "" && len(r.named) == 0:
		return wrong("--models TREE is missing: a folder with one folder for each model")
	case (r.cert == "") != (r.key == ""):
		return wrong("--tls-cert and --tls-key go together")
	case r.batching != "on" && r.batching != "off":
		return wrong("--batching %q: there is on and off", r.batching)
	case r.logFormat != "text" && r.logFormat != "json":
		return wrong("--log-format %q: there is text and json", r.logFormat)
	case r.batch.Delay < 0 || r.limits.DrainDelay < 0 || r.engine.MaxSequences < 0 || r.engine.MaxTokens < 0:
		return wrong("a negative duration or number")
	}
	for name, n := range map[string]int64{
		"max-body": r.limits.Body, "max-concurrent": int64(r.limits.Concurrent), "max-inputs": int64(r.limits.Inputs), "max-queue": int64(r.limits.Queue),
		"header-timeout": int64(r.limits.Header), "read-timeout": int64(r.limits.Read), "write-timeout": int64(r.limits.Write), "idle-timeout": int64(r.limits.Idle),
		"drain-timeout": int64(r.limits.Drain), "batch-tokens": int64(r.batch.Tokens), "batch-rows": int64(r.batch.Rows), "workers": int64(r.batch.Workers),
	} {
		if n < 1 {
			return wrong("--%s must be positive", name)
		}
	}
	return nil
}

// logger is where serve writes its lines.
func (r *serveRequest) logger(a *app) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(r.logLevel)); err != nil {
		return nil, fmt.Errorf("%w: --log-level %q: there is debug, info, warn and error", errCommandLine, r.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	if r.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(a.stderr, o)), nil
}

func (a *app) serve(ctx context.Context, r *serveRequest) error {
	if err := r.check(); err != nil {
		return err
	}
	log, err := r.logger(a)
	if err != nil {
		return err
	}
	r.batch.Off, r.batch.Waiting = r.batching == "off", r.limits.Queue
	r.engine.Queue = r.limits.Queue
	repo, err := serve.NewRepository(r.models, serve.RepositoryOptions{Models: r.named, Model: runtime.Options{Library: a.library, Threads: a.threads},
		Batching: r.batch, Engine: r.engine, Log: log})
	if err != nil {
		return fmt.Errorf("%w: %v", errCommandLine, err)
	}
	secrets, err := r.secrets()
	if err != nil {
		return fmt.Errorf("%w: %v", errCommandLine, err)
	}
	o := serve.Options{Limits: r.limits, Keys: secrets.keys, Log: log}
	if secrets.cert != nil {
		o.TLS = secrets.cert.Config()
	}
	s := serve.New(repo, o)
	if err := mountAll(s); err != nil {
		return err
	}
	endpoints, err := r.listenAll(s, log)
	if err != nil {
		return err
	}
	return a.serveUntil(ctx, s, secrets, endpoints)
}

// serveUntil loads the models while it answers already, announces itself, and
// serves until ctx ends.
func (a *app) serveUntil(ctx context.Context, s *serve.Server, secrets *secrets, endpoints []serve.Listening) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Repository().Rescan(ctx); err != nil && ctx.Err() == nil {
			cancel(err)
			return
		}
		if err := a.announce(s, endpoints); err != nil {
			cancel(err)
			return
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				secrets.reload(s)
				if err := s.Repository().Rescan(ctx); err != nil {
					s.Log().Error("the models were not read again", "error", err)
				}
			}
		}
	}()
	err := s.Run(ctx, endpoints...)
	cancel(nil)
	<-done
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// announce prints what serves where, once the models are loaded.
func (a *app) announce(s *serve.Server, endpoints []serve.Listening) error {
	type model struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		State   string `json:"state"`
		Reason  string `json:"reason,omitempty"`
	}
	report := struct {
		Listen string  `json:"listen"`
		GRPC   string  `json:"grpc_listen,omitempty"`
		Models []model `json:"models"`
	}{Listen: endpoints[0].Listener.Addr().String(), Models: []model{}}
	if len(endpoints) > 1 {
		report.GRPC = endpoints[1].Listener.Addr().String()
	}
	for _, v := range s.Repository().Index() {
		report.Models = append(report.Models, model{v.Name, v.Version, string(v.State), v.Reason})
	}
	return a.print(report, func() {
		a.printf("serving on %s", report.Listen)
		if report.GRPC != "" {
			a.printf(", gRPC on %s", report.GRPC)
		}
		a.printf("\n")
		for _, m := range report.Models {
			a.printf("%s version %s: %s %s\n", m.Name, m.Version, strings.ToLower(m.State), m.Reason)
		}
	})
}

// listenAll opens the addresses; HTTP comes first.
func (r *serveRequest) listenAll(s *serve.Server, log *slog.Logger) ([]serve.Listening, error) {
	l, err := net.Listen("tcp", r.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	endpoints := []serve.Listening{{Listener: l, Endpoint: s.HTTP()}}
	if r.grpc != "" {
		g, err := net.Listen("tcp", r.grpc)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--grpc-listen: %w", err), l.Close())
		}
		endpoints = append(endpoints, serve.Listening{Listener: g, Endpoint: oip.NewGRPC(s)})
	}
	for _, e := range endpoints {
		r.warnOpen(e.Listener.Addr(), log)
	}
	return endpoints, nil
}

// warnOpen says so when others than this machine can reach an address without a
// key, or can read what is sent.
func (r *serveRequest) warnOpen(a net.Addr, log *slog.Logger) {
	if serve.Loopback(a) {
		return
	}
	if r.keyFile == "" {
		log.Warn("everyone who reaches this address can use, load and unload models: give --api-key-file, or listen on 127.0.0.1", "address", a.String())
	}
	if r.cert == "" {
		log.Warn("requests and keys travel in plain text: give --tls-cert and --tls-key, or put a proxy with TLS before it", "address", a.String())
	}
}

// secrets are the files that SIGHUP reads again.
type secrets struct {
	keyFile string
	keys    *serve.Keys
	cert    *serve.Certificate
}

func (r *serveRequest) secrets() (*secrets, error) {
	s := &secrets{keyFile: r.keyFile}
	var err error
	if r.keyFile != "" {
		if s.keys, err = serve.ReadKeys(r.keyFile); err != nil {
			return nil, err
		}
	}
	if r.cert != "" {
		if s.cert, err = serve.ReadCertificate(r.cert, r.key); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// reload reads keys and certificate again; what is no good leaves the old.
func (s *secrets) reload(server *serve.Server) {
	if s.keyFile != "" {
		if keys, err := serve.ReadKeys(s.keyFile); err != nil {
			server.Log().Error("the API keys were not read again; the old ones stay", "error", err)
		} else {
			server.SetKeys(keys)
		}
	}
	if s.cert != nil {
		if err := s.cert.Reload(); err != nil {
			server.Log().Error("the certificate was not read again; the old one stays", "error", err)
		}
	}
}
