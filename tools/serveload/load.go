package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Report is what came of it.
type Report struct {
	Counts
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"answered_per_second"`
	P50, P99   float64 // milliseconds
	Goroutines trend   `json:"goroutines"`
	Resident   trend   `json:"resident_mb"`
}

// A trend is a number of the server's over the time of the load: when warm, a third
// of the way in, its largest afterwards, and when the load was over.
type trend struct {
	Before, Early, Largest, After float64
	samples                       []float64
}

// load runs all clients for the time.
func load(ctx context.Context, o *options) (*Report, error) {
	if o.model == "" {
		return nil, fmt.Errorf("--model is missing")
	}
	a := newAPI(o)
	list, err := a.prepare()
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.sample(a)
	r.Goroutines.Before, r.Resident.Before = last(r.Goroutines.samples), last(r.Resident.samples)
	timed, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var t tallies
	var clients sync.WaitGroup
	for range o.good {
		clients.Go(func() { a.good(timed, &t, list, 0) })
	}
	for range o.idle {
		own := newAPI(o) // with a connection of its own
		clients.Go(func() {
			own.good(timed, &t, list, 20*time.Second)
			own.client.CloseIdleConnections()
		})
	}
	for range o.slow {
		clients.Go(func() { a.slow(timed, &t, list) })
	}
	for range o.bad {
		clients.Go(func() { a.rude(timed, &t, list) })
	}
	clients.Go(func() { a.reload(timed, &t) })
	begun := time.Now()
	for sleep(timed, max(time.Second, o.duration/120)) {
		r.sample(a)
	}
	clients.Wait()
	r.Seconds = time.Since(begun).Seconds()
	a.client.CloseIdleConnections()
	time.Sleep(3 * time.Second)
	r.sample(a)
	r.finish(&t)
	return r, r.verdict()
}

func newAPI(o *options) *api {
	return &api{o, &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: o.good + o.bad + 4}}}
}

// sample reads the server's own numbers.
func (r *Report) sample(a *api) {
	code, data, err := a.do("GET", "/metrics", nil)
	if err != nil || code != http.StatusOK {
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "go_goroutines":
			r.Goroutines.samples = append(r.Goroutines.samples, v)
		case "process_resident_memory_bytes":
			r.Resident.samples = append(r.Resident.samples, v/1e6)
		}
	}
}

func last(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1]
}

func (r *Report) finish(t *tallies) {
	r.Counts = t.Counts
	r.PerSecond = float64(r.Answered) / r.Seconds
	slices.Sort(t.waits)
	if n := len(t.waits); n > 0 {
		r.P50, r.P99 = t.waits[n/2], t.waits[n*99/100]
	}
	for _, tr := range []*trend{&r.Goroutines, &r.Resident} {
		if n := len(tr.samples); n > 3 {
			tr.Early = slices.Max(tr.samples[n/6 : n/3+1])
			tr.Largest = slices.Max(tr.samples[n/3 : n-1])
			tr.After = last(tr.samples)
		}
	}
}

// verdict is an error where the server lost a request or grew: when the load is
// over few goroutines may be left, and memory may not have grown by a quarter, and
// 64 MB, since a third of the time.
func (r *Report) verdict() error {
	switch {
	case r.Lost > 0 || r.Wrong > 0 || r.Failed > 0:
		return fmt.Errorf("%d requests lost, %d with a wrong answer, %d loads failed", r.Lost, r.Wrong, r.Failed)
	case r.Answered == 0:
		return fmt.Errorf("nothing was answered")
	case r.Goroutines.After > r.Goroutines.Before+20:
		return fmt.Errorf("%.0f goroutines are left of the load, %.0f before it", r.Goroutines.After, r.Goroutines.Before)
	case r.Resident.Largest > 1.25*r.Resident.Early+64:
		return fmt.Errorf("memory grew from %.0f to %.0f MB under a steady load", r.Resident.Early, r.Resident.Largest)
	}
	return nil
}
