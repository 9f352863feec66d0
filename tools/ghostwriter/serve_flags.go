package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
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
