package oip

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// FuzzRepository loads, unloads and lists with any name and body. Nothing beside the
// tree can be reached: the tree's one folder is broken, and the model beside it
// would load.
func FuzzRepository(f *testing.F) {
	above := f.TempDir()
	write(f, filepath.Join(above, "tree", "m", "model.onnx"), "no model")
	if err := os.CopyFS(filepath.Join(above, "outside"), os.DirFS("../../../testdata/models/distilbert-ts17")); err != nil {
		f.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	repo, err := serve.OpenRepository(f.Context(), filepath.Join(above, "tree"), serve.RepositoryOptions{Log: log})
	if err != nil {
		f.Fatal(err)
	}
	s := serve.New(repo, serve.Options{Log: log})
	if err := s.Mount(New(s)); err != nil {
		f.Fatal(err)
	}
	f.Add("m", []byte(""))
	f.Add("../outside", []byte(`{"parameters":{"unload_dependents":true}}`))
	f.Add("m/../../outside", []byte(`{"parameters":{"file:1/model.onnx":"AAAA"}}`))
	f.Add("..", []byte(`{"parameters":null}`))
	f.Add(above+"/outside", []byte(`{"ready":true}`))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		for _, path := range []string{"/v2/repository/models/" + url.PathEscape(name) + "/load", "/v2/repository/models/" + url.PathEscape(name) + "/unload", "/v2/repository/index"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(string(body))))
			if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		for _, v := range repo.Index() {
			if v.Name != "m" || v.State == serve.StateReady {
				t.Errorf("%+v came from outside of the tree", v)
			}
		}
	})
}
