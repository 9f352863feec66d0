package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/batch"
)

// Batching says how runs of a model are joined.
type Batching struct {
	// Off runs every request alone.
	Off bool
	// Options bound the batches; zero values take the defaults.
	batch.Options
}

// A runQueue is a model's queue of runs.
type runQueue = batch.Queue[*job, map[string]*ort.Tensor]

// startQueue lets every run of the model go through a queue.
func (i *instance) startQueue(ctx context.Context, r *Repository) {
	o := r.options.Batching.Options
	i.plan = &plan{whyNot: "it was turned off"}
	if !r.options.Batching.Off {
		i.plan = newPlan(ctx, i)
	}
	if len(i.plan.rows) == 0 {
		o.Rows = 1
	}
	i.queue = batch.New(o, func(ctx context.Context, jobs []*job) ([]map[string]*ort.Tensor, error) {
		return i.runBatch(ctx, r.metrics, jobs)
	})
	i.model.SetRunner(func(ctx context.Context, feeds map[string]*ort.Tensor, outputs []string) (map[string]*ort.Tensor, error) {
		return i.enqueue(ctx, r.metrics, feeds, outputs)
	})
}

// enqueue waits for a run's turn.
func (i *instance) enqueue(ctx context.Context, m *Metrics, feeds map[string]*ort.Tensor, outputs []string) (map[string]*ort.Tensor, error) {
	if len(outputs) == 0 {
		outputs = tensorNames(i.outputs)
	}
	j, key := i.plan.newJob(feeds, outputs)
	if key == "" {
		key = fmt.Sprintf("%p", j) // like nobody else's
	}
	out, err := i.queue.Do(ctx, key, batch.Size{Rows: int(j.rows), Length: int(j.length)}, j)
	i.stats.answered(time.Since(j.arrived), err)
	switch {
	case errors.Is(err, batch.ErrFull):
		m.refused.WithLabelValues("queue").Inc()
		return nil, Overloaded("too many requests wait for model %s; try again in a second", i.name)
	case errors.Is(err, batch.ErrClosed):
		return nil, Errorf(http.StatusServiceUnavailable, CodeModelNotReady, "model %s is being taken out", i.name)
	}
	return out, err
}

// runBatch runs jobs of one key.
func (i *instance) runBatch(ctx context.Context, m *Metrics, jobs []*job) ([]map[string]*ort.Tensor, error) {
	begun := time.Now()
	var rows, longest, real int64
	for _, j := range jobs {
		rows, longest, real = rows+j.rows, max(longest, j.length), real+j.rows*j.length
		m.waiting.WithLabelValues(i.name, i.version).Observe(begun.Sub(j.arrived).Seconds())
	}
	out, err := i.plan.runJoined(ctx, i.model, jobs)
	i.stats.ran(jobs, begun)
	m.run.WithLabelValues(i.name, i.version).Observe(time.Since(begun).Seconds())
	m.rows.WithLabelValues(i.name, i.version).Observe(float64(rows))
	m.requestN.WithLabelValues(i.name, i.version).Observe(float64(len(jobs)))
	if i.plan.lengths {
		m.tokens.WithLabelValues(i.name, i.version, "input").Add(float64(real))
		m.tokens.WithLabelValues(i.name, i.version, "padding").Add(float64(longest*rows - real))
	}
	return out, err
}

// An engineOnce makes a model's generation engine when it is first asked for.
type engineOnce struct {
	mu     sync.Mutex
	engine *runtime.Engine
	closed bool
}

// Engine is the model's generation engine, which all requests share; an error
// where the model can't generate.
func (i *instance) Engine() (*runtime.Engine, error) {
	i.engines.mu.Lock()
	defer i.engines.mu.Unlock()
	if i.engines.closed {
		return nil, Errorf(http.StatusServiceUnavailable, CodeModelNotReady, "model %s is being taken out", i.name)
	}
	if i.engines.engine == nil {
		e, err := i.model.NewEngine(i.engineOptions)
		if err != nil {
			return nil, err
		}
		i.engines.engine = e
	}
	return i.engines.engine, nil
}

// close ends the engine and the queue, which nobody uses any more, and frees the
// model.
func (i *instance) close() error {
	i.engines.mu.Lock()
	i.engines.closed = true
	e := i.engines.engine
	i.engines.mu.Unlock()
	var errs []error
	if e != nil {
		errs = append(errs, e.Close(context.Background()))
	}
	if i.queue != nil {
		i.queue.Close()
	}
	return errors.Join(append(errs, i.model.Close())...)
}
