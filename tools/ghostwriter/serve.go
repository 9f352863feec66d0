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
	if err := a.checkDevice(); err != nil { // not once for each model, in the log
		return err
	}
	repo, err := serve.NewRepository(r.models, serve.RepositoryOptions{Models: r.named, Model: runtime.Options{Library: a.library, Threads: a.threads, Device: a.device},
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
