package servetest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// Serve starts a server of a fresh tree with an API on it, and stops it with the test. testdata is the repository's folder
// of that name.
func Serve(t testing.TB, testdata string, o serve.Options, apis ...func(*serve.Server) serve.API) (*serve.Server, *httptest.Server) {
	t.Helper()
	return ServeModels(t, testdata, serve.RepositoryOptions{}, o, apis...)
}

// ServeModels is Serve with options for the models, too.
func ServeModels(t testing.TB, testdata string, models serve.RepositoryOptions, o serve.Options, apis ...func(*serve.Server) serve.API) (*serve.Server, *httptest.Server) {
	t.Helper()
	tree := t.TempDir()
	if err := WriteTree(tree, testdata); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	models.Log = quiet
	repo, err := serve.OpenRepository(t.Context(), tree, models)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := repo.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Log = quiet
	s := serve.New(repo, o)
	for _, a := range apis {
		if err := s.Mount(a(s)); err != nil {
			t.Fatal(err)
		}
	}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, web
}

// Do sends a request and returns the answer and its body.
func Do(t testing.TB, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(data)
}
