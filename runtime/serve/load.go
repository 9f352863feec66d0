package serve

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Load loads every version of a model that lies in the tree, anew where it is
// loaded already: the successor is loaded and warmed first, then takes the
// place, then the old one is freed when its last request is over. Versions that
// the tree no longer has are taken out. A version that can't be loaded keeps its
// predecessor, and is in the error.
func (r *Repository) Load(ctx context.Context, name string) error {
	r.admin.Lock()
	defer r.admin.Unlock()
	found, err := r.scan()
	if err != nil {
		return err
	}
	places, ok := found[name]
	if !ok {
		return Errorf(http.StatusNotFound, CodeModelNotFound, "there is no model %q on disk", name)
	}
	failed := 0
	var first error
	for _, p := range places {
		if err := r.load(ctx, p); err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
	}
	r.dropMissing(name, places)
	if failed > 0 {
		return Errorf(http.StatusBadRequest, CodeModelNotReady, "%d of %d versions of model %s could not be loaded: %v", failed, len(places), name, first)
	}
	return nil
}

// Unload takes a model out, all versions of it: requests that are in work end,
// later ones are refused. It returns when no request can get the model any more.
func (r *Repository) Unload(name string) error {
	r.admin.Lock()
	defer r.admin.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	versions := r.models[name]
	if len(versions) == 0 {
		_, err := r.lookup(name, "")
		return err
	}
	for _, e := range versions {
		r.takeOut(e, "unloaded")
	}
	return nil
}

// Rescan makes what is served equal to what lies in the tree: new versions are
// loaded, those whose files changed (names, sizes, times, links) loaded anew,
// those that are gone taken out; failed and unloaded ones are tried again. A
// model that can't be loaded is reported; the error is about the tree.
func (r *Repository) Rescan(ctx context.Context) error {
	r.admin.Lock()
	defer r.admin.Unlock()
	found, err := r.scan()
	if err != nil {
		return err
	}
	r.expect(found)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		for _, p := range found[name] {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if p.bad == nil && r.unchanged(p) {
				continue
			}
			_ = r.load(ctx, p) // reported, and in the index
		}
		r.dropMissing(name, found[name])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = true
	for name, versions := range r.models {
		if _, ok := found[name]; ok {
			continue
		}
		for _, e := range versions {
			r.takeOut(e, "its folder is gone")
		}
		delete(r.models, name)
	}
	return nil
}

// expect enters what is not known yet as loading: until its turn has come a request
// for it is told to wait, not that there is nothing.
func (r *Repository) expect(found map[string][]place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, places := range found {
		for _, p := range places {
			if r.models[name] == nil {
				r.models[name] = map[string]*entry{}
			}
			if r.models[name][p.version] == nil {
				r.models[name][p.version] = &entry{place: p, state: StateLoading}
			}
		}
	}
}

// dropMissing takes out the versions of a model that the tree no longer has.
func (r *Repository) dropMissing(name string, places []place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for version, e := range r.models[name] {
		if !slices.ContainsFunc(places, func(p place) bool { return p.version == version }) {
			r.takeOut(e, "its folder is gone")
			delete(r.models[name], version)
		}
	}
}

// takeOut makes an entry unavailable and frees its instance when the last lease is
// back. The lock is held.
func (r *Repository) takeOut(e *entry, reason string) {
	if e.live == nil {
		return
	}
	old := e.live
	e.live, e.state, e.reason = nil, StateUnavailable, ""
	if err := r.retire(old); err != nil {
		r.log.Error("a model could not be taken out", "model", e.name, "version", e.version, "error", err)
	}
	r.log.Info("model taken out", "model", e.name, "version", e.version, "why", reason)
}

// unchanged reports that a version is loaded from just these files.
func (r *Repository) unchanged(p place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.models[p.name][p.version]
	if e == nil || e.live == nil || e.reason != "" {
		return false
	}
	print, err := fingerprintOf(p.dir)
	return err == nil && print == e.live.print
}

// load loads one version and puts it in its predecessor's place. The admin lock is
// held, so the entry can't go away meanwhile.
func (r *Repository) load(ctx context.Context, p place) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return Errorf(http.StatusServiceUnavailable, CodeDraining, "the server is shutting down")
	}
	if r.models[p.name] == nil {
		r.models[p.name] = map[string]*entry{}
	}
	e := r.models[p.name][p.version]
	if e == nil {
		e = &entry{}
		r.models[p.name][p.version] = e
	}
	e.place, e.state = p, StateLoading
	r.mu.Unlock()

	begun := time.Now()
	next, err := r.open(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		e.reason, e.state = err.Error(), StateUnavailable
		if e.live != nil {
			e.state = StateReady // the predecessor still serves
		}
		r.metrics.loads.WithLabelValues(p.name, "failed").Inc()
		r.log.Error("a model could not be loaded", "model", p.name, "version", p.version, "still_serving", e.live != nil, "error", err)
		return err
	}
	old := e.live
	e.live, e.state, e.reason = next, StateReady, ""
	r.metrics.loads.WithLabelValues(p.name, "loaded").Inc()
	r.log.Info("model loaded", "model", p.name, "version", p.version, "took", time.Since(begun).Round(time.Millisecond), "privacy", next.statement.Summary(), "batching", next.Batching())
	if old != nil {
		return r.retire(old)
	}
	return nil
}

// open opens and warms a model.
func (r *Repository) open(ctx context.Context, p place) (*instance, error) {
	if p.bad != nil {
		return nil, p.bad
	}
	print, err := fingerprintOf(p.dir)
	if err != nil {
		return nil, err
	}
	m, err := runtime.Open(p.dir, r.options.Model)
	if err != nil {
		return nil, err
	}
	i := &instance{name: p.name, version: p.version, print: print, model: m, freed: make(chan struct{}), engineOptions: r.options.Engine}
	if err := i.prepare(ctx, r); err != nil {
		return nil, errors.Join(err, i.close())
	}
	return i, nil
}

// prepare opens the session, reads the statement and runs the model once, so that
// the first request finds memory and threads in place.
func (i *instance) prepare(ctx context.Context, r *Repository) (err error) {
	if i.inputs, i.outputs, err = i.model.Signature(); err != nil {
		return err
	}
	i.statement = ReadStatement(i.model.Dir())
	i.startQueue(ctx, r)
	if err := warm(ctx, i); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.log.Warn("the model did not run on made-up inputs; its first request will be slow", "model", i.name, "version", i.version, "error", err)
	}
	return nil
}
