// Command serveload loads a running `ghostwriter serve` with good and bad clients
// at once, and fails if a good one loses a request, gets another's answer, or if
// the server grows.
//
//	ghostwriter serve --models models/ &
//	go run ./tools/serveload --url http://127.0.0.1:8080 --model NAME --duration 10m
//
// Good clients ask over kept connections, each request's answer being compared
// with the one the server gave before the load. Beside them are clients that read
// their answer a byte at a time, that go away in the middle, that send what is no
// request, that hold a connection open, and one that loads the model anew every
// few seconds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// options are the flags.
type options struct {
	url, model, key       string
	duration, reloadEvery time.Duration
	good, idle, slow, bad int
	vocabulary            int
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "http://127.0.0.1:8080", "the server")
	flag.StringVar(&o.model, "model", "", "the model to ask")
	flag.StringVar(&o.key, "key", "", "an API key")
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long")
	flag.DurationVar(&o.reloadEvery, "reload-every", 5*time.Second, "time between two loadings of the model")
	flag.IntVar(&o.good, "good", 32, "clients that ask as fast as they are answered")
	flag.IntVar(&o.idle, "idle", 900, "connections that ask seldom")
	flag.IntVar(&o.slow, "slow", 16, "clients that send or read slowly")
	flag.IntVar(&o.bad, "bad", 16, "clients that go away or send no request")
	flag.IntVar(&o.vocabulary, "vocabulary", 100, "token ids are below it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	report, err := load(ctx, &o)
	if report != nil {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = errors.Join(err, enc.Encode(report))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "serveload:", err)
		os.Exit(1)
	}
}
