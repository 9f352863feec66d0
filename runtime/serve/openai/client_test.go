package openai

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/servetest"
)

// TestClientGoes leaves in the middle of a stream: the engine must be free again at once.
func TestClientGoes(t *testing.T) {
	s, web := servetest.Serve(t, testdata, serve.Options{}, New)
	lease, err := s.Repository().Acquire(servetest.Writer, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	engine, err := lease.Engine()
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"true", "false"} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "POST", web.URL+"/v1/completions",
			strings.NewReader(`{"model":"writer","prompt":"a","max_tokens":120,"logit_bias":{"767":-100},"n":8,"stream":`+stream+`}`))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, cancel)
		if answer, err := http.DefaultClient.Do(r); err == nil {
			_, err = io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err == nil {
				t.Errorf("stream %s: the answer came whole before the client could leave", stream)
			}
		}
		cancel()
		idle(t, engine)
	}
}

// TestOverload asks for more than the engine's queue holds: 429 at once, before anything is streamed, and nothing is left
// running.
func TestOverload(t *testing.T) {
	s, web := servetest.ServeModels(t, testdata, serve.RepositoryOptions{Engine: runtime.EngineOptions{MaxSequences: 1, Queue: 1}}, serve.Options{}, New)
	for _, stream := range []string{"true", "false"} {
		answer, text := servetest.Do(t, "POST", web.URL+"/v1/completions", `{"model":"writer","prompt":"a","max_tokens":120,"logit_bias":{"767":-100},"n":8,"stream":`+stream+`}`)
		if answer.StatusCode != 429 || answer.Header.Get("Retry-After") == "" || !strings.Contains(text, `"type":"rate_limit_error"`) {
			t.Errorf("stream %s: %d %s", stream, answer.StatusCode, text)
		}
	}
	lease, err := s.Repository().Acquire(servetest.Writer, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	engine, err := lease.Engine()
	if err != nil {
		t.Fatal(err)
	}
	idle(t, engine)
}

// idle waits until an engine has nothing to do.
func idle(t *testing.T, engine *runtime.Engine) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		running, waiting, _ := engine.Load()
		if running+waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d requests run and %d wait after their client went", running, waiting)
		}
	}
}

func TestKeys(t *testing.T) {
	keys, err := serve.ParseKeys([]byte("0123456789abcdef\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, web := servetest.Serve(t, testdata, serve.Options{Keys: keys}, New)
	for key, want := range map[string]int{"": 401, "Bearer wrong-wrong-wrong": 401, "Bearer 0123456789abcdef": 200} {
		answer, text := servetest.Do(t, "GET", web.URL+"/v1/models", "", "Authorization", key)
		if answer.StatusCode != want || want == 401 && !strings.Contains(text, `"code":"invalid_api_key"`) {
			t.Errorf("key %q: %d %s", key, answer.StatusCode, text)
		}
	}
}

func TestErrorTypes(t *testing.T) {
	for status, want := range map[int]string{400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		413: "invalid_request_error", 429: "rate_limit_error", 500: "server_error", 503: "service_unavailable_error"} {
		if got := bodyOf(&serve.Error{Status: status, Message: "m"}); got.Error.Type != want || got.Error.Param != nil || got.Error.Code != nil {
			t.Errorf("%d: %+v, want %s", status, got, want)
		}
	}
}
