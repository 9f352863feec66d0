package serve

import (
	"context"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A Lease is the right to use a loaded model. It must be released once, when the
// request is over; a model that was unloaded or replaced meanwhile stays until
// then.
type Lease struct {
	*instance
	repo *Repository
	once sync.Once
}

// Release gives the model back. Releasing again does nothing.
func (l *Lease) Release() {
	l.once.Do(func() {
		l.repo.mu.Lock()
		defer l.repo.mu.Unlock()
		l.refs--
		if l.retired && l.refs == 0 {
			go l.repo.free(l.instance)
		}
	})
}

// An instance is a model in memory.
type instance struct {
	name, version string
	print         fingerprint
	model         *runtime.Model
	inputs        []ort.Info
	outputs       []ort.Info
	statement     Statement
	plan          *plan
	queue         *runQueue
	engineOptions runtime.EngineOptions
	engines       engineOnce
	stats         statsBox
	template      templateOnce

	// Guarded by the repository's lock.
	refs    int
	retired bool
	freed   chan struct{} // closed when it is
}

// Name is the model's name: its folder in the tree.
func (i *instance) Name() string { return i.name }

// Version is the model's version.
func (i *instance) Version() string { return i.version }

// Model is the opened model. What it computes is joined with what other requests
// compute at the same time, where that changes nothing.
func (i *instance) Model() *runtime.Model { return i.model }

// Inputs are what a run must be fed, in the model's order.
func (i *instance) Inputs() []ort.Info { return i.inputs }

// Outputs are what a run gives, in the model's order; those that are no tensors
// can't be asked for.
func (i *instance) Outputs() []ort.Info { return i.outputs }

// Statement is the model's privacy statement.
func (i *instance) Statement() Statement { return i.statement }

// Rows reports that the model's inputs count rows along their first axis, and that
// it keeps them apart.
func (i *instance) Rows() bool { return len(i.plan.rows) > 0 }

// Batching says in words which requests are computed together.
func (i *instance) Batching() string { return i.plan.describe() }

// Run runs the forward pass, see runtime.Model.Run.
func (i *instance) Run(ctx context.Context, inputs map[string]*ort.Tensor, outputs ...string) (map[string]*ort.Tensor, error) {
	return i.model.Run(ctx, inputs, outputs...)
}

// waiting is the number of requests in the model's queue.
func (i *instance) waiting() int { return i.queue.Waiting() }
