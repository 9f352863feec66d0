package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// RepositoryOptions say how models are loaded.
type RepositoryOptions struct {
	// Model are the options that every model is opened with.
	Model runtime.Options
	// Batching says how requests are computed together.
	Batching Batching
	// Engine bounds each model's generation engine.
	Engine runtime.EngineOptions
	// Models are model directories by name, served beside those of the tree,
	// which may then be "". Like a tree's they may have version folders.
	Models map[string]string
	// Log is where loading is reported; nil takes slog.Default().
	Log *slog.Logger
}

// A Repository is the models of a tree: TREE/NAME or TREE/NAME/VERSION is a model
// directory. Nothing watches the files; Load, Unload and Rescan change what is
// served. It is safe for concurrent use.
type Repository struct {
	tree    string
	options RepositoryOptions
	log     *slog.Logger
	metrics *Metrics

	admin sync.Mutex // one change at a time

	mu     sync.Mutex
	models map[string]map[string]*entry // name → version
	loaded bool                         // the tree has been looked through once
	closed bool
	leases sync.WaitGroup // of instances that are being freed
}

// An entry is a version that the repository knows.
type entry struct {
	place
	state  State
	reason string    // of StateUnavailable
	live   *instance // of StateReady, and while its successor is loading
}

// A State is that of a version.
type State string

// The states, as the Open Inference Protocol's repository extension names them.
const (
	StateReady       State = "READY"
	StateUnavailable State = "UNAVAILABLE"
	StateLoading     State = "LOADING"
	StateUnloading   State = "UNLOADING"
)

// A Version is a line of the repository's index.
type Version struct {
	Name, Version string
	State         State
	Reason        string // why it is not ready
	Waiting       int    // requests in its queue
}

// NewRepository makes a repository of a tree that has not been looked into yet:
// Rescan loads it. The error is about the tree itself.
func NewRepository(tree string, o RepositoryOptions) (*Repository, error) {
	if tree != "" || len(o.Models) == 0 {
		if err := CheckTree(tree); err != nil {
			return nil, err
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Repository{tree: tree, options: o, log: o.Log, metrics: newMetrics(), models: map[string]map[string]*entry{}}
	r.metrics.registry.MustRegister(newStates(r))
	return r, nil
}

// OpenRepository makes a repository and loads every model of the tree. One that
// can't be loaded is reported and not ready; the others serve.
func OpenRepository(ctx context.Context, tree string, o RepositoryOptions) (*Repository, error) {
	r, err := NewRepository(tree, o)
	if err != nil {
		return nil, err
	}
	if err := r.Rescan(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Acquire gives out a model that is ready: a version, or with "" the highest that
// is ready. The Lease keeps it alive until it is released, whatever happens to the
// model meanwhile. The errors have status 404 for what is not there and 503 for
// what is not ready.
func (r *Repository) Acquire(name, version string) (*Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, err := r.lookup(name, version)
	if err != nil {
		return nil, err
	}
	if e.live == nil {
		return nil, Errorf(http.StatusServiceUnavailable, CodeModelNotReady, "model %s version %s is not ready: %s", e.name, e.version, notReady(e))
	}
	e.live.refs++
	return &Lease{instance: e.live, repo: r}, nil
}

func notReady(e *entry) string {
	if e.reason != "" {
		return e.reason
	}
	return "it is " + string(e.state)
}

// lookup finds an entry; with version "" the highest ready one, or the highest.
func (r *Repository) lookup(name, version string) (*entry, error) {
	versions := r.models[name]
	if len(versions) == 0 {
		return nil, Errorf(http.StatusNotFound, CodeModelNotFound, "there is no model %q", name)
	}
	if version != "" {
		if e := versions[version]; e != nil {
			return e, nil
		}
		return nil, Errorf(http.StatusNotFound, CodeModelNotFound, "model %s has no version %q", name, version)
	}
	return slices.MaxFunc(entriesOf(versions), func(a, b *entry) int {
		return cmp.Or(cmp.Compare(btoi(a.live != nil), btoi(b.live != nil)), compareVersions(a.version, b.version))
	}), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// entriesOf lists entries in the order of their versions.
func entriesOf(versions map[string]*entry) []*entry {
	list := make([]*entry, 0, len(versions))
	for _, e := range versions {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int { return compareVersions(a.version, b.version) })
	return list
}

// Versions lists the versions of a model that are ready, lowest first; an error
// with status 404 where there is no such model.
func (r *Repository) Versions(name string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.models[name]) == 0 {
		_, err := r.lookup(name, "")
		return nil, err
	}
	ready := []string{}
	for _, e := range entriesOf(r.models[name]) {
		if e.live != nil {
			ready = append(ready, e.version)
		}
	}
	return ready, nil
}

// Index lists every version that the repository knows, by name and version.
func (r *Repository) Index() []Version {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Version{}
	for _, versions := range r.models {
		for _, e := range entriesOf(versions) {
			v := Version{Name: e.name, Version: e.version, State: e.state, Reason: e.reason}
			if e.live != nil {
				v.Waiting = e.live.waiting()
			}
			list = append(list, v)
		}
	}
	slices.SortStableFunc(list, func(a, b Version) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Ready reports that the tree has been loaded, and that there is a model to serve
// or none failed: an empty tree is ready for models to be loaded into it.
func (r *Repository) Ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.loaded {
		return false
	}
	failed := false
	for _, versions := range r.models {
		for _, e := range versions {
			if e.live != nil {
				return true
			}
			failed = failed || e.reason != ""
		}
	}
	return !failed
}

// Close takes every model out and waits until they are freed.
func (r *Repository) Close() error {
	r.admin.Lock()
	defer r.admin.Unlock()
	r.mu.Lock()
	r.closed = true
	var errs []error
	for _, versions := range r.models {
		for _, e := range versions {
			if old := e.live; old != nil {
				e.live, e.state = nil, StateUnloading
				errs = append(errs, r.retire(old))
			}
		}
	}
	r.mu.Unlock()
	r.leases.Wait()
	return errors.Join(errs...)
}

// retire frees an instance once its last lease is back. The repository's lock is
// held.
func (r *Repository) retire(old *instance) error {
	if old.retired {
		return fmt.Errorf("model %s version %s is retired twice", old.name, old.version)
	}
	old.retired = true
	r.leases.Add(1)
	if old.refs == 0 {
		go r.free(old)
	}
	return nil
}

// free closes an instance that nobody holds.
func (r *Repository) free(old *instance) {
	defer r.leases.Done()
	defer close(old.freed)
	if err := old.close(); err != nil {
		r.log.Error("a model could not be freed", "model", old.name, "version", old.version, "error", err)
		return
	}
	r.log.Info("model freed", "model", old.name, "version", old.version)
}
