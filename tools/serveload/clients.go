package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// tallies count what clients saw.
type tallies struct {
	mu    sync.Mutex
	waits []float64 // milliseconds of answered requests, a sample of them
	Counts
}

// Counts are the numbers of the report.
type Counts struct {
	Answered int            `json:"answered"`       // good requests, with the right answer
	Refused  int            `json:"refused_by_429"` // good requests that were told to come later
	Lost     int            `json:"lost"`           // good requests without an answer, or with another status
	Wrong    int            `json:"wrong"`          // good requests with another's answer
	Bad      int            `json:"bad_clients"`    // requests of bad and slow clients
	Loads    int            `json:"loads"`          // of the model, under load
	Failed   int            `json:"failed_loads"`
	Problems map[string]int `json:"problems,omitempty"`
}

func (t *tallies) add(f func(*Counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.Counts)
}

func (t *tallies) problem(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Problems == nil {
		t.Problems = map[string]int{}
	}
	if text := fmt.Sprintf(format, args...); len(t.Problems) < 20 || t.Problems[text] > 0 {
		t.Problems[text]++
	}
}

// good asks until ctx ends; pause is the time between two requests.
func (a *api) good(ctx context.Context, t *tallies, list []question, pause time.Duration) {
	for k := rand.IntN(len(list)); ctx.Err() == nil; k = (k + 1) % len(list) {
		begun := time.Now()
		code, data, err := a.do("POST", a.inferPath(), list[k].body)
		took := float64(time.Since(begun).Microseconds()) / 1000
		t.add(func(c *Counts) {
			switch {
			case err == nil && code == http.StatusTooManyRequests:
				c.Refused++
			case err != nil || code != http.StatusOK:
				c.Lost++
			case !list[k].same(data):
				c.Wrong++
			default:
				c.Answered++
				if len(t.waits) < 1_000_000 {
					t.waits = append(t.waits, took)
				}
			}
		})
		if err != nil {
			t.problem("%v", err)
		} else if code != http.StatusOK && code != http.StatusTooManyRequests {
			t.problem("status %d: %.200s", code, data)
		}
		if pause > 0 || code == http.StatusTooManyRequests {
			sleep(ctx, pause+50*time.Millisecond)
		}
	}
}

// reload loads the model anew again and again.
func (a *api) reload(ctx context.Context, t *tallies) {
	for sleep(ctx, a.o.reloadEvery) {
		code, data, err := a.do("POST", "/v2/repository/models/"+a.o.model+"/load", nil)
		t.add(func(c *Counts) { c.Loads++ })
		if err != nil || code != http.StatusOK && code != http.StatusTooManyRequests {
			t.add(func(c *Counts) { c.Failed++ })
			t.problem("loading: status %d %.200s %v", code, data, err)
		}
	}
}

// malformed are bodies that are no request.
var malformed = []string{"", "{", "[]", `{"inputs":1}`, `{"inputs":[{"name":"x"}]}`, `{"inputs":[{"name":"input_ids","shape":[-1,2],"datatype":"INT64","data":[[1],[2,3]]}]}`,
	`{"inputs":[{"name":"input_ids","shape":[9999999999,9999999999],"datatype":"INT64","data":[]}]}`, "\x00\xff\xfe"}

// rude goes away, sends what is no request, or half of one, until ctx ends.
func (a *api) rude(ctx context.Context, t *tallies, list []question) {
	for ctx.Err() == nil {
		t.add(func(c *Counts) { c.Bad++ })
		switch q := list[rand.IntN(len(list))]; rand.IntN(3) {
		case 0:
			body := malformed[rand.IntN(len(malformed))]
			code, _, err := a.do("POST", a.inferPath(), []byte(body))
			if err != nil || code != http.StatusBadRequest && code != http.StatusTooManyRequests {
				t.problem("a malformed body: status %d %v", code, err)
			}
		case 1: // asks and goes
			a.raw(ctx, func(c net.Conn) {
				a.head(c, len(q.body))
				_, _ = c.Write(q.body)
				sleep(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
			})
		case 2: // sends half and goes
			a.raw(ctx, func(c net.Conn) {
				a.head(c, len(q.body))
				_, _ = c.Write(q.body[:len(q.body)/2])
			})
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// slow sends a byte at a time, or reads its answer so, until ctx ends.
func (a *api) slow(ctx context.Context, t *tallies, list []question) {
	for ctx.Err() == nil {
		t.add(func(c *Counts) { c.Bad++ })
		q := list[rand.IntN(len(list))]
		a.raw(ctx, func(c net.Conn) {
			a.head(c, len(q.body))
			send := len(q.body)
			if rand.IntN(2) == 0 {
				send = rand.IntN(send)
				for k := 0; k < send; k++ {
					if _, err := c.Write(q.body[k : k+1]); err != nil || !sleep(ctx, 100*time.Millisecond) {
						return
					}
				}
				return
			}
			_, _ = c.Write(q.body)
			one := make([]byte, 1)
			for {
				if _, err := c.Read(one); err != nil || !sleep(ctx, 50*time.Millisecond) {
					return
				}
			}
		})
	}
}

// raw opens a connection of its own.
func (a *api) raw(ctx context.Context, use func(net.Conn)) {
	u, err := url.Parse(a.o.url)
	if err != nil {
		return
	}
	c, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err != nil {
		sleep(ctx, 100*time.Millisecond)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	use(c)
}

func (a *api) head(w io.Writer, length int) {
	_, _ = fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: load\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n", a.inferPath(), a.o.key, length)
}

// sleep waits unless ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
