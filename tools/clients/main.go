// Command clients is `make clients`: it makes model directories with the command ghostwriter, serves them, and lets clients
// that others wrote use them: the packages of package.json, Chromium, promtool and grpcurl. A client that is not installed is
// skipped and said to be; docs/clients.md has the results.
//
//	go run ./tools/clients --ghostwriter bin/ghostwriter
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

// A job is everything that the clients need to know.
type job struct {
	command  string // ghostwriter
	root     string // of the repository
	work     string // for model directories and pictures
	chromium string
	only     string
}

func run(ctx context.Context) error {
	j := job{root: "."}
	flag.StringVar(&j.command, "ghostwriter", "bin/ghostwriter", "the command")
	flag.StringVar(&j.work, "work", "", "where to keep model directories and pictures (default: nowhere)")
	flag.StringVar(&j.chromium, "chromium", "", "the browser (default: chromium, chromium-browser or google-chrome of the path)")
	flag.StringVar(&j.only, "only", "", "the client to try (default: all)")
	flag.Parse()
	if j.work == "" {
		dir, err := os.MkdirTemp("", "clients-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
		j.work = dir
	}
	var err error
	if j.work, err = filepath.Abs(j.work); err != nil {
		return err
	}
	if j.command, err = filepath.Abs(j.command); err != nil {
		return err
	}
	if err := j.models(ctx); err != nil {
		return fmt.Errorf("making models: %w", err)
	}
	server, err := j.serve(ctx)
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	defer server.stop()
	return j.all(ctx, server)
}

// all tries every client and prints what each did.
func (j job) all(ctx context.Context, s *server) error {
	var failed []string
	for _, c := range clients {
		if j.only != "" && j.only != c.name {
			continue
		}
		begun := time.Now()
		said, err := c.try(ctx, j, s)
		var missing skipped
		switch {
		case errors.As(err, &missing):
			fmt.Printf("skip  %-26s %s\n", c.name, missing.why)
		case err != nil:
			failed = append(failed, c.name)
			fmt.Printf("FAIL  %-26s %v\n", c.name, err)
		default:
			fmt.Printf("ok    %-26s %s (%.1f s)\n", c.name, strings.TrimSpace(said), time.Since(begun).Seconds())
		}
	}
	if failed != nil {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}
