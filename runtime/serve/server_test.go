package serve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRoutes(t *testing.T) {
	_, web, _, _ := newServer(t, Options{})
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"a handler and its path value", "POST", "/test/echo/a%2Fb", `{"x":1}`, 200, `["a/b",{"x":1}]`},
		{"an unknown path", "GET", "/test/nothing", "", 404, `{"error":"there is nothing at /test/nothing"}`},
		{"a wrong method", "PUT", "/test/open", "", 405, `{"error":"PUT is not answered at /test/open; GET, HEAD is"}`},
		{"a path out of the tree", "GET", "/test/../../etc/passwd", "", 404, ""},
		{"a doubled slash", "GET", "//test/open", "", 404, ""},
		{"no JSON", "POST", "/test/echo/a", "{", 400, `{"error":"the body is not JSON: unexpected end of JSON input at byte 1"}`},
		{"no body", "POST", "/test/echo/a", "", 400, `{"error":"the request has no body; send a JSON object"}`},
		{"a panic", "GET", "/test/panic", "", 500, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := do(t, c.method, web.URL+c.path, c.body)
			if resp == nil || resp.StatusCode != c.status || c.want != "" && body != c.want {
				t.Errorf("%s %s: %v %s, want %d %s", c.method, c.path, resp, body, c.status, c.want)
			}
			if strings.Contains(body, "secret") {
				t.Error("the panic's words reached the client")
			}
		})
	}
	if resp, body := do(t, "PUT", web.URL+"/test/open", ""); resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow %q; %s", resp.Header.Get("Allow"), body)
	}
}

// A handler that fails in the middle of its answer leaves the client with a broken
// answer, not one that looks whole.
func TestErrorAfterBeginning(t *testing.T) {
	_, web, _, _ := newServer(t, Options{})
	if resp, body := do(t, "GET", web.URL+"/test/broken", ""); resp != nil && body == "half" {
		t.Errorf("the client saw a whole answer: %s", body)
	}
}

func TestKeysAtTheDoor(t *testing.T) {
	keys, err := ParseKeys([]byte("# two keys\nfirst-key-0123456789\n\nsecond-key-987654321\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, web, _, _ := newServer(t, Options{Keys: keys})
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{nil, 401},
		{[]string{"Authorization", "Bearer first-key-0123456789"}, 200},
		{[]string{"Authorization", "bearer second-key-987654321"}, 200},
		{[]string{"X-API-Key", "second-key-987654321"}, 200},
		{[]string{"Authorization", "Basic first-key-0123456789"}, 401},
		{[]string{"Authorization", "Bearer first-key-012345678"}, 401},
		{[]string{"X-API-Key", "# two keys"}, 401},
	} {
		resp, body := do(t, "POST", web.URL+"/test/echo/a", "1", c.headers...)
		if resp.StatusCode != c.status {
			t.Errorf("%v: %d %s, want %d", c.headers, resp.StatusCode, body, c.status)
		}
		if c.status == 401 && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%v: no WWW-Authenticate", c.headers)
		}
	}
	if resp, _ := do(t, "GET", web.URL+"/test/open", ""); resp.StatusCode != 200 {
		t.Errorf("a public route asked for a key: %d", resp.StatusCode)
	}
	if resp, _ := do(t, "GET", web.URL+"/test/unknown", ""); resp.StatusCode != 401 {
		t.Errorf("without a key a client learns which paths exist: %d", resp.StatusCode)
	}
}

// A page of another site must not reach a server on the loopback through its
// visitor's browser.
func TestOtherOrigin(t *testing.T) {
	_, web, _, _ := newServer(t, Options{})
	for _, headers := range [][]string{{"Origin", "https://elsewhere.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		if resp, body := do(t, "POST", web.URL+"/test/echo/a", "1", headers...); resp.StatusCode != 403 {
			t.Errorf("%v: %d %s", headers, resp.StatusCode, body)
		}
	}
	if resp, body := do(t, "POST", web.URL+"/test/echo/a", "1", "Origin", web.URL, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != 200 {
		t.Errorf("the server's own page: %d %s", resp.StatusCode, body)
	}
}

func TestRoom(t *testing.T) {
	_, web, held, entered := newServer(t, Options{Limits: Limits{Concurrent: 1}})
	answered := make(chan string)
	go func() {
		_, body := do(t, "GET", web.URL+"/test/wait", "")
		answered <- body
	}()
	<-entered
	resp, body := do(t, "POST", web.URL+"/test/echo/a", "1")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("with one request in work: %d, Retry-After %q, %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
	if resp, _ := do(t, "GET", web.URL+"/test/open", ""); resp.StatusCode != 200 {
		t.Errorf("a light route waits for room: %d", resp.StatusCode)
	}
	close(held)
	if body := <-answered; body != `"waited"` {
		t.Errorf("the first request: %s", body)
	}
	if resp, body := do(t, "POST", web.URL+"/test/echo/a", "1"); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", resp.StatusCode, body)
	}
}

func TestBodyLimit(t *testing.T) {
	_, web, _, _ := newServer(t, Options{Limits: Limits{Body: 10}})
	if resp, body := do(t, "POST", web.URL+"/test/echo/a", `"12345678"`); resp.StatusCode != 200 {
		t.Errorf("ten bytes: %d %s", resp.StatusCode, body)
	}
	resp, body := do(t, "POST", web.URL+"/test/echo/a", `"123456789"`)
	if resp.StatusCode != 413 || !strings.Contains(body, "10 bytes") {
		t.Errorf("eleven bytes: %d %s", resp.StatusCode, body)
	}
	// Without a length in front the bound holds too.
	r, _ := http.NewRequest("POST", web.URL+"/test/echo/a", io.MultiReader(strings.NewReader(`"`), strings.NewReader("0123456789\"")))
	chunked, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	chunked.Body.Close()
	if chunked.StatusCode != 413 {
		t.Errorf("eleven bytes in chunks: %d", chunked.StatusCode)
	}
}

// A client that sends its body a byte at a time is cut off; one that went away ends
// its request's context.
func TestSlowAndGoneClients(t *testing.T) {
	_, web, _, entered := newServer(t, Options{Limits: Limits{Read: 100 * time.Millisecond}})
	c, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /test/echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, _ := io.ReadAll(c)
	if !bytes.Contains(got, []byte("408 Request Timeout")) {
		t.Errorf("a slow body: %q", got)
	}

	gone, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(gone, "GET /test/wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	gone.Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, metrics := do(t, "GET", web.URL+"/metrics", ""); strings.Contains(metrics, `code="499",route="/test/wait"} 1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the request of a client that is gone did not end")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A client that never ends its headers is cut off.
func TestSlowHeaders(t *testing.T) {
	s := New(openTree(t, t.TempDir()), Options{Log: quiet, Limits: Limits{Header: 50 * time.Millisecond}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := s.HTTP()
	go e.Serve(l) //nolint:errcheck // it ends with Shutdown
	defer e.Shutdown(t.Context())
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(c); err != nil || bytes.Contains(got, []byte("200 OK")) {
		t.Errorf("the connection gave %q, %v", got, err)
	}
}

// A client that does not read its answer is cut off; one that reads a long answer
// slowly, and keeps reading, is not.
func TestSlowReaders(t *testing.T) {
	repo := openTree(t, t.TempDir())
	s := New(repo, Options{Log: quiet, Limits: Limits{Write: 200 * time.Millisecond}})
	long := make([]byte, 24<<20)
	wrote := make(chan error, 1)
	err := s.Mount(API{Name: "long", Error: plainError, Routes: []Route{{Method: "GET", Pattern: "/long", Handler: func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write(long)
		wrote <- err
		return err
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	for _, c := range []struct {
		pause time.Duration // after each MiB
		fails bool
	}{{10 * time.Second, true}, {30 * time.Millisecond, false}} {
		conn, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			io.WriteString(conn, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
			for buffer := make([]byte, 1<<20); ; time.Sleep(c.pause) {
				if _, err := io.ReadFull(conn, buffer); err != nil {
					return
				}
			}
		}()
		if err := <-wrote; (err != nil) != c.fails {
			t.Errorf("pausing %v a MiB: %v", c.pause, err)
		}
	}
}

// No key, no path, no query and no word of a request or an error is in the log.
func TestLogHoldsNoContent(t *testing.T) {
	var log bytes.Buffer
	keys, _ := ParseKeys([]byte("private-key-0123456789"))
	_, web, _, _ := newServer(t, Options{Keys: keys, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	key := []string{"Authorization", "Bearer private-key-0123456789", "X-Request-Id", "my-id-1"}
	do(t, "POST", web.URL+"/test/echo/pathword?q=queryword", `"bodyword"`, key...)
	do(t, "POST", web.URL+"/test/echo/pathword", `"bodyword`, key...)
	do(t, "GET", web.URL+"/test/pathword", "", key...)
	do(t, "GET", web.URL+"/test/panic", "", key...)
	do(t, "GET", web.URL+"/test/panic", "", "X-API-Key", "wrong-key-word")
	do(t, "GET", web.URL+"/test/open", "", "X-Request-Id", "idword \" with spaces")
	do(t, "METHODWORD", web.URL+"/test/open", "")
	for _, word := range []string{"METHODWORD", "pathword", "queryword", "bodyword", "private-key", "secret", "wrong-key", "idword"} {
		if strings.Contains(log.String(), word) {
			t.Errorf("the log holds %q:\n%s", word, log.String())
		}
	}
	for _, want := range []string{`"id":"my-id-1"`, `"route":"/test/echo/{name}"`, `"status":500`, `"error":"invalid_request"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

// Shutdown: not ready at once, the request in work ends, then Run returns nil.
func TestDrain(t *testing.T) {
	s := New(openTree(t, t.TempDir()), Options{Log: quiet, Limits: Limits{DrainDelay: 50 * time.Millisecond}})
	held, entered := make(chan struct{}), make(chan struct{}, 1)
	if err := s.Mount(testAPI(held, entered)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended, answered := make(chan error), make(chan string)
	go func() { ended <- s.Run(ctx, Listening{l, s.HTTP()}) }()
	go func() {
		_, body := do(t, "GET", "http://"+l.Addr().String()+"/test/wait", "")
		answered <- body
	}()
	<-entered
	if !s.Ready() {
		t.Error("not ready before the shutdown")
	}
	stop()
	for !s.Draining() {
		time.Sleep(time.Millisecond)
	}
	if s.Ready() {
		t.Error("ready while shutting down")
	}
	select {
	case err := <-ended:
		t.Fatalf("Run ended with a request in work: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(held)
	if body := <-answered; body != `"waited"` {
		t.Errorf("the request in work: %s", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What does not end in time is ended, and Run says so.
func TestDrainEnds(t *testing.T) {
	s := New(openTree(t, t.TempDir()), Options{Log: quiet, Limits: Limits{Drain: 50 * time.Millisecond}})
	entered := make(chan struct{}, 1)
	if err := s.Mount(testAPI(nil, entered)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, Listening{l, s.HTTP()}) }()
	go http.Get("http://" + l.Addr().String() + "/test/wait") //nolint:errcheck // it is cut off
	<-entered
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "still in work") {
		t.Errorf("Run returned %v", err)
	}
}
