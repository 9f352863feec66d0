package serve

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTree(t *testing.T) {
	tree := newTree(t, map[string]string{"plain": "distilbert-ts17", "many/2": "gpt2-ts17", "many/10": "gpt2-dyn18", "both": "gpt2-ts17", "both/1": "gpt2-ts17"})
	write(t, filepath.Join(tree, "broken", "model.onnx"), "no model")
	write(t, filepath.Join(tree, "empty", "readme"), "")
	write(t, filepath.Join(tree, ".hidden", "model.onnx"), "")
	write(t, filepath.Join(tree, "file.txt"), "")
	write(t, filepath.Join(tree, "many", "03", "model.onnx"), "a second spelling of 3")
	if err := os.Symlink(filepath.Join(tree, "plain"), filepath.Join(tree, "linked")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(tree, "dangling")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "bad name", "model.onnx"), "")
	r := openTree(t, tree)
	want := map[string]State{"plain 1": StateReady, "linked 1": StateReady, "many 2": StateReady, "many 10": StateReady, "both 1": StateUnavailable,
		"broken 1": StateUnavailable, "empty 1": StateUnavailable, "dangling 1": StateUnavailable, "bad name 1": StateUnavailable}
	for _, v := range r.Index() {
		key := v.Name + " " + v.Version
		if want[key] != v.State {
			t.Errorf("%s is %s (%s), want %q", key, v.State, v.Reason, want[key])
		}
		if v.State == StateUnavailable && v.Reason == "" {
			t.Errorf("%s: no reason", key)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("not in the index: %v", want)
	}
	if !r.Ready() {
		t.Error("a broken model keeps the others from serving")
	}
	l, err := r.Acquire("many", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if l.Version() != "10" {
		t.Errorf("the default is version %s, want 10", l.Version())
	}
	for _, c := range []struct {
		name, version string
		status        int
	}{{"none", "", 404}, {"many", "3", 404}, {"broken", "", 503}, {"../plain", "", 404}, {".hidden", "", 404}, {"plain/../plain", "", 404}, {"many", "../plain", 404}} {
		_, err := r.Acquire(c.name, c.version)
		var e *Error
		if !errors.As(err, &e) || e.Status != c.status {
			t.Errorf("Acquire(%q, %q): %v, want status %d", c.name, c.version, err, c.status)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTreeItself(t *testing.T) {
	for dir, want := range map[string]string{
		filepath.Join(models, "gpt2-ts17"):               "is itself a model directory",
		filepath.Join(models, "gpt2-ts17", "model.onnx"): "is a file",
		filepath.Join(models, "no-such-folder"):          "no such file",
	} {
		if _, err := OpenRepository(t.Context(), dir, RepositoryOptions{Log: quiet}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}

// A lease keeps its model through unloading and replacement; the model is freed
// with the last lease, not before.
func TestLease(t *testing.T) {
	tree := newTree(t, map[string]string{"m": "gpt2-ts17"})
	r := openTree(t, tree)
	old, err := r.Acquire("m", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Load(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	fresh, err := r.Acquire("m", "")
	if err != nil {
		t.Fatal(err)
	}
	if old.instance == fresh.instance {
		t.Error("loading again gave the same instance")
	}
	if err := r.Unload("m"); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := r.Acquire("m", ""); !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable {
		t.Errorf("after unloading: %v", err)
	}
	for _, l := range []*Lease{old, fresh} {
		if err := warm(t.Context(), l.instance); err != nil {
			t.Errorf("a leased model does not run: %v", err)
		}
		select {
		case <-l.freed:
			t.Error("a leased model was freed")
		default:
		}
		l.Release()
		l.Release() // once more changes nothing
		<-l.freed
	}
	if err := r.Load(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	if err := r.Load(t.Context(), "n"); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("loading what is not there: %v", err)
	}
}

func TestRescan(t *testing.T) {
	tree := newTree(t, map[string]string{"same": "gpt2-ts17", "changed": "gpt2-ts17", "gone": "gpt2-ts17"})
	r := openTree(t, tree)
	before := map[string]*instance{}
	for _, name := range []string{"same", "changed", "gone"} {
		before[name] = r.models[name]["1"].live
	}
	if err := os.RemoveAll(filepath.Join(tree, "gone")); err != nil {
		t.Fatal(err)
	}
	copyModel(t, filepath.Join(models, "distilbert-ts17"), filepath.Join(tree, "new", "7"))
	data, err := os.ReadFile(filepath.Join(models, "distilbert-ts17", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "changed", "model.onnx"), string(data))
	if err := r.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.models["same"]["1"].live != before["same"] {
		t.Error("an unchanged model was loaded again")
	}
	if r.models["changed"]["1"].live == before["changed"] {
		t.Error("a changed model was not loaded again")
	}
	if _, ok := r.models["gone"]; ok {
		t.Error("a model whose folder is gone is still there")
	}
	if v, err := r.Versions("new"); err != nil || len(v) != 1 || v[0] != "7" {
		t.Errorf("the new model: %v %v", v, err)
	}
	// A successor that can't be loaded leaves its predecessor in place.
	write(t, filepath.Join(tree, "changed", "model.onnx"), "broken")
	if err := r.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, err := r.Acquire("changed", ""); err != nil {
		t.Errorf("the predecessor of a broken model: %v", err)
	} else {
		l.Release()
	}
	if err := r.Load(t.Context(), "changed"); err == nil {
		t.Error("loading a broken model is no error")
	}
}

func TestStatement(t *testing.T) {
	good := `{"private":true,"epsilon":2.5,"delta":1e-5,"unit_of_privacy":"record","relation":"add-remove","accountant":"pld"}`
	for name, c := range map[string]struct{ json, text, kind, words string }{
		"private":              {good, "In words.", Private, "In words."},
		"seeded":               {`{"private":false,"not_private":"seeded","epsilon":null}`, "Not private.", NotPrivate, "Not private."},
		"none":                 {"", "", NoStatement, noStatementText},
		"no numbers":           {`{"private":true}`, "Private!", UnreadStatement, ""},
		"no words":             {good, "", UnreadStatement, ""},
		"damaged":              {good[:20], "In words.", UnreadStatement, ""},
		"says nothing of that": {`{"epsilon":1,"delta":1e-5}`, "In words.", UnreadStatement, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.json != "" {
				write(t, filepath.Join(dir, "release", "privacy.json"), c.json)
			}
			if c.text != "" {
				write(t, filepath.Join(dir, "release", "statement.txt"), c.text)
			}
			s := ReadStatement(dir)
			if s.Kind != c.kind || c.words != "" && s.Text != c.words || s.Text == "" {
				t.Errorf("got %+v", s)
			}
			if (s.Epsilon != nil) != (s.Kind == Private) {
				t.Errorf("an epsilon without a claim, or a claim without: %+v", s)
			}
		})
	}
}

func TestModelsBesideTheTree(t *testing.T) {
	tree := newTree(t, map[string]string{"plain": "distilbert-ts17"})
	dir := filepath.Join(tree, "plain")
	for _, c := range []struct {
		tree   string
		models map[string]string
		want   string // the ready ones
		fails  string
	}{
		{"", map[string]string{"alone": dir}, "alone", ""},
		{tree, map[string]string{"alone": dir}, "alone plain", ""},
		{"", map[string]string{"bad name": dir, "alone": dir}, "alone", ""},
		{"", map[string]string{"gone": filepath.Join(tree, "nothing"), "alone": dir}, "alone", ""},
		{tree, map[string]string{"plain": dir}, "", "one place"},
		{"", nil, "", "folder of models"},
	} {
		r, err := OpenRepository(t.Context(), c.tree, RepositoryOptions{Models: c.models})
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%q %v: %v", c.tree, c.models, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var ready []string
		for _, v := range r.Index() {
			if v.State == StateReady {
				ready = append(ready, v.Name)
			}
		}
		if got := strings.Join(ready, " "); got != c.want {
			t.Errorf("%q %v: %q ready, want %q", c.tree, c.models, got, c.want)
		}
		if err := r.Load(t.Context(), "alone"); err != nil {
			t.Errorf("reload: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Loading a model again and again loses no request of those that use it.
func TestReloadUnderLoad(t *testing.T) {
	r := openTree(t, newTree(t, map[string]string{"m": "distilbert-ts17"}))
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for k := range 4 {
		callers.Go(func() {
			rng := rand.New(rand.NewPCG(9, uint64(k)))
			for n := 0; ; n++ {
				select {
				case <-stop:
					if n == 0 {
						t.Error("a caller never got its turn")
					}
					return
				default:
				}
				l, err := r.Acquire("m", "")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Run(t.Context(), randomRows(l, rng, 1, 1+rng.Int64N(8))); err != nil {
					t.Error(err)
				}
				l.Release()
			}
		})
	}
	for range 8 {
		if err := r.Load(t.Context(), "m"); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	callers.Wait()
}

// While the tree is being loaded its models are known and not ready, and so is the
// server.
func TestLoading(t *testing.T) {
	r, err := NewRepository(newTree(t, map[string]string{"a": "gpt2-ts17", "b/3": "gpt2-ts17"}), RepositoryOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Ready() {
		t.Error("ready before anything was loaded")
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Rescan(stopped); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var e *Error
	if _, err := r.Acquire("b", "3"); !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable {
		t.Errorf("a model that is still to be loaded: %v", err)
	}
	if r.Ready() {
		t.Error("ready while loading")
	}
	if err := r.Rescan(t.Context()); err != nil || !r.Ready() {
		t.Errorf("loaded: %v, ready %v", err, r.Ready())
	}
}
