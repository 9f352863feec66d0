package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrBusy is wrapped by the error of Submit when the engine's queue is full.
var ErrBusy = errors.New("the queue of the generation engine is full")

// ErrEngineClosed is wrapped by the error of Submit after Close.
var ErrEngineClosed = errors.New("the generation engine is closed")

// EngineOptions bound what an engine holds at once. Zero values take defaults.
type EngineOptions struct {
	// MaxSequences bounds the texts of one turn, a beam counting as a text; 0
	// takes 16.
	MaxSequences int
	// MaxTokens bounds the summed lengths, prompt and most new tokens, of all
	// texts in the batch; 0 sets no bound beside MaxSequences.
	MaxTokens int
	// Queue bounds the requests that wait for a place; 0 takes 64.
	Queue int
}

func (o EngineOptions) defaults() (EngineOptions, error) {
	if o.MaxSequences < 0 || o.MaxTokens < 0 || o.Queue < 0 {
		return o, usage("engine options %+v: bounds can't be negative", o)
	}
	if o.MaxSequences == 0 {
		o.MaxSequences = 16
	}
	if o.Queue == 0 {
		o.Queue = 64
	}
	return o, nil
}

// An Engine generates for many requests at once by continuous batching: each
// turn every text in the batch grows by one token, requests that are done or
// cancelled leave, and waiting ones join, first come first served. Every request
// has its own options, and gets what it would get alone.
//
// An Engine is safe for concurrent use.
type Engine struct {
	model   *Model
	options EngineOptions

	mu      sync.Mutex
	wake    *sync.Cond // the loop waits on it for work
	waiting []*request
	running []*request
	closed  bool
	stopped chan struct{}      // closed when the loop has ended
	stop    context.CancelFunc // ends the loop without draining
	turning context.CancelFunc // ends the turn under way; nil between turns
}

// A request is a task with its place in the engine.
type request struct {
	*task
	ctx    context.Context
	finish func(search) []Continuation
	stream *Stream
	// suspect says that the request was in a turn that failed: it runs alone once,
	// so that one that the model can't compute takes no other with it.
	suspect bool
}

// NewEngine starts an engine on the model. It has a goroutine and memory until
// Close; the model must stay open as long.
func (m *Model) NewEngine(o EngineOptions) (*Engine, error) {
	o, err := o.defaults()
	if err != nil {
		return nil, err
	}
	if _, err := m.generator(GenerateOptions{EOS: []int64{}}); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	step, err := m.newStepper(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	e := &Engine{model: m, options: o, stopped: make(chan struct{}), stop: stop}
	e.wake = sync.NewCond(&e.mu)
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.wake.Broadcast()
	})
	go e.loop(ctx, step)
	return e, nil
}

// Submit asks for the continuation of a prompt and returns at once; tokens
// arrive by the stream. The request ends with ctx, and its place in the batch is
// free after the turn under way. The error wraps ErrBusy when the queue is full,
// ErrEngineClosed after Close, and ErrUsage for a prompt or options that can't
// be served. A beam search's tokens arrive together at its end.
func (e *Engine) Submit(ctx context.Context, prompt []int32, o GenerateOptions) (*Stream, error) {
	r, err := e.request(ctx, prompt, o)
	if err != nil {
		return nil, err
	}
	return r.stream, e.enqueue(r)
}

// request checks what Submit is given.
func (e *Engine) request(ctx context.Context, prompt []int32, o GenerateOptions) (*request, error) {
	g, err := e.model.generator(o)
	if err != nil {
		return nil, err
	}
	t, err := g.task(0, prompt)
	if err != nil {
		return nil, err
	}
	r := &request{task: t, ctx: ctx, finish: g.continuations, stream: newStream(ctx)}
	if r.beams > e.options.MaxSequences {
		return nil, usage("%d beams are more than the engine's %d sequences", r.beams, e.options.MaxSequences)
	}
	if e.options.MaxTokens > 0 && r.tokens > e.options.MaxTokens {
		return nil, usage("a prompt of %d tokens and what may follow, %d beams, need %d tokens in the cache; the engine has %d", len(prompt), r.beams, r.tokens, e.options.MaxTokens)
	}
	return r, nil
}

// enqueue lets requests wait for their place, all from the same turn on.
func (e *Engine) enqueue(list ...*request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrEngineClosed
	}
	if len(e.waiting)+len(list) > e.options.Queue {
		return fmt.Errorf("%w: %d requests wait", ErrBusy, len(e.waiting))
	}
	e.waiting = append(e.waiting, list...)
	for _, r := range list {
		r.stream.onCancel(func() { e.cancelled(r) })
	}
	e.wake.Broadcast()
	return nil
}

// cancelled is called when a request's context ends: the loop looks, and a turn
// that nobody waits for stops.
func (e *Engine) cancelled(r *request) {
	r.stream.end(context.Cause(r.ctx))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wake.Broadcast()
	for _, other := range e.running {
		if other.ctx.Err() == nil {
			return
		}
	}
	if e.turning != nil {
		e.turning()
	}
}

// Load reports how many requests run and wait, and how many tokens the running
// ones hold at most.
func (e *Engine) Load() (running, waiting, tokens int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.running {
		tokens += r.tokens
	}
	return len(e.running), len(e.waiting), tokens
}

// Close refuses new requests and waits until those that were accepted are done.
// When ctx ends first they end with ErrEngineClosed, and the error wraps
// ctx.Err(). Closing again waits again.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.wake.Broadcast()
	e.mu.Unlock()
	defer e.stop()
	select {
	case <-e.stopped:
		return nil
	case <-ctx.Done():
		e.stop()
		<-e.stopped
		return fmt.Errorf("the generation engine was closed before its requests were done: %w", ctx.Err())
	}
}
