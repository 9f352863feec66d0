//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A serving is a running serve verb.
type serving struct {
	t      *testing.T
	url    string
	report struct {
		Listen string `json:"listen"`
		GRPC   string `json:"grpc_listen"`
		Models []struct{ Name, Version, State, Reason string }
	}
	stop func() int
	log  *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// startServing runs the verb until stop, which returns its exit code.
func startServing(t *testing.T, args ...string) *serving {
	t.Helper()
	s := &serving{t: t, log: &lockedBuffer{}}
	ctx, cancel := context.WithCancel(context.Background())
	stdout, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"serve", "--json", "--listen", "127.0.0.1:0"}, args...), w, s.log)
		w.Close()
	}()
	s.stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { s.stop() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("nothing announced: %v; exit code %d\n%s", err, s.stop(), s.log)
	}
	if err := json.Unmarshal(line, &s.report); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	s.url = "http://" + s.report.Listen
	return s
}

func (s *serving) get(path string, headers ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest("GET", s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// eventually waits for what a signal brings about.
func (s *serving) eventually(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s\n%s", what, s.log)
		}
	}
}

func TestServe(t *testing.T) {
	b := newBench(t)
	tree, keys := b.path("tree"), b.path("keys.txt")
	if err := os.CopyFS(filepath.Join(tree, "one"), os.DirFS(b.path("model"))); err != nil {
		t.Fatal(err)
	}
	b.write(t, "tree/broken/model.onnx", []byte("no model"))
	b.write(t, "keys.txt", []byte("the-first-key-of-two\n"))
	s := startServing(t, "--models", tree, "--model", "beside="+b.path("model"), "--grpc-listen", "127.0.0.1:0", "--api-key-file", keys, "--log-format", "json")
	if s.report.GRPC == "" || len(s.report.Models) != 3 {
		t.Errorf("announced %+v", s.report)
	}
	if code, body := s.get("/v2/health/ready"); code != 200 || !strings.Contains(body, `"ready":true`) {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, _ := s.get("/v2/models/one"); code != 401 {
		t.Errorf("without a key: %d", code)
	}
	key := []string{"X-API-Key", "the-first-key-of-two"}
	for _, name := range []string{"one", "beside"} {
		if code, body := s.get("/v2/models/"+name, key...); code != 200 {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	// SIGHUP: a new model, other keys.
	if err := os.CopyFS(filepath.Join(tree, "two"), os.DirFS(b.path("model"))); err != nil {
		t.Fatal(err)
	}
	b.write(t, "keys.txt", []byte("the-second-key-of-two\n"))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.eventually("the second key opens the new model", func() bool {
		code, _ := s.get("/v2/models/two", "Authorization", "Bearer the-second-key-of-two")
		return code == 200
	})
	if code, _ := s.get("/v2/models/one", key...); code != 401 {
		t.Errorf("the old key still opens: %d", code)
	}
	// A key file that is no good leaves the keys as they are.
	b.write(t, "keys.txt", []byte("short\n"))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.eventually("the bad file is reported", func() bool { return strings.Contains(s.log.String(), "the old ones stay") })
	if code, _ := s.get("/v2/models/two", "X-API-Key", "the-second-key-of-two"); code != 200 {
		t.Errorf("after a bad key file: %d", code)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.log)
	}
	for _, word := range []string{"the-first-key", "the-second-key"} {
		if strings.Contains(s.log.String(), word) {
			t.Errorf("a key is in the log:\n%s", s.log)
		}
	}
}

func TestServeWrongUsage(t *testing.T) {
	b := newBench(t)
	b.write(t, "keys.txt", []byte("short\n"))
	b.write(t, "tree/m/readme", nil)
	tree := b.path("tree")
	for want, args := range map[string][]string{
		"--models TREE is missing": nil,
		"is itself a model":        {"--models", b.path("model")},
		"no such file":             {"--models", b.path("nothing")},
		"go together":              {"--models", tree, "--tls-cert", "x"},
		"--batching":               {"--models", tree, "--batching", "maybe"},
		"--log-level":              {"--models", tree, "--log-level", "loud"},
		"device cuda:99":           {"--models", tree, "--device", "cuda:99"},
		"--max-body must be":       {"--models", tree, "--max-body", "0"},
		"line 1: a key of 5":       {"--models", tree, "--api-key-file", b.path("keys.txt")},
		"the TLS certificate":      {"--models", tree, "--tls-cert", b.path("keys.txt"), "--tls-key", b.path("keys.txt")},
		"unknown command":          {"--models", tree, "more"},
		"unknown flag":             {"--models", tree, "--listne", "x"},
	} {
		var out, err bytes.Buffer
		if code := run(t.Context(), append([]string{"serve"}, args...), &out, &err); code != 2 && !strings.Contains(want, "unknown flag") || !strings.Contains(err.String(), want) {
			t.Errorf("%v: exit code %d: %s, want 2 with %q", args, code, err.String(), want)
		}
	}
	// An address that is taken is a failure, not wrong usage.
	s := startServing(t, "--models", tree)
	var out, err bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--models", tree, "--listen", s.report.Listen}, &out, &err); code != 1 || !strings.Contains(err.String(), "--listen") {
		t.Errorf("a taken address: exit code %d: %s", code, err.String())
	}
}

// What others can reach without a key or encryption is warned of.
func TestServeWarns(t *testing.T) {
	b := newBench(t)
	b.write(t, "tree/.keep", nil)
	s := startServing(t, "--models", b.path("tree"), "--listen", "0.0.0.0:0")
	for _, want := range []string{"--api-key-file", "plain text"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("no warning with %q:\n%s", want, s.log)
		}
	}
	quiet := startServing(t, "--models", b.path("tree"))
	if strings.Contains(quiet.log.String(), "WARN") {
		t.Errorf("a warning on the loopback:\n%s", quiet.log)
	}
}
