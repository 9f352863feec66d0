package serve

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const models = "../../testdata/models"

// quiet is a log that nobody reads.
var quiet = slog.New(slog.DiscardHandler)

// newTree makes a tree with copies of models: "name" or "name/version" → a folder
// of testdata/models.
func newTree(t *testing.T, content map[string]string) string {
	t.Helper()
	tree := t.TempDir()
	for place, from := range content {
		copyModel(t, filepath.Join(models, from), filepath.Join(tree, place))
	}
	return tree
}

func copyModel(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func openTree(t *testing.T, tree string) *Repository {
	t.Helper()
	r, err := OpenRepository(t.Context(), tree, RepositoryOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// testAPI has a route that waits until it may go on, one that panics and one that
// reads its body.
func testAPI(held chan struct{}, entered chan struct{}) API {
	return API{Name: "test", Prefix: "/test", Error: plainError, Routes: []Route{
		{Method: "GET", Pattern: "/test/wait", Handler: func(w http.ResponseWriter, r *http.Request) error {
			entered <- struct{}{}
			select {
			case <-held:
				return WriteJSON(w, 200, "waited")
			case <-r.Context().Done():
				return r.Context().Err()
			}
		}},
		{Method: "GET", Pattern: "/test/panic", Handler: func(http.ResponseWriter, *http.Request) error { panic("secret words") }},
		{Method: "GET", Pattern: "/test/broken", Handler: func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			return BadRequest("", "too late")
		}},
		{Method: "POST", Pattern: "/test/echo/{name}", Handler: func(w http.ResponseWriter, r *http.Request) error {
			var v any
			if err := ReadJSON(r, &v); err != nil {
				return err
			}
			return WriteJSON(w, 200, []any{r.PathValue("name"), v})
		}},
		{Method: "GET", Pattern: "/test/open", Public: true, Light: true, Handler: func(w http.ResponseWriter, _ *http.Request) error {
			return WriteJSON(w, 200, true)
		}},
	}}
}

// newServer serves an empty tree with the test API.
func newServer(t *testing.T, o Options) (*Server, *httptest.Server, chan struct{}, chan struct{}) {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	s := New(openTree(t, t.TempDir()), o)
	held, entered := make(chan struct{}), make(chan struct{}, 16)
	if err := s.Mount(testAPI(held, entered)); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, web, held, entered
}

func do(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, err.Error()
	}
	return resp, string(data)
}
