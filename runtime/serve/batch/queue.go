package batch

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull is returned at once when as many callers wait as may.
var ErrFull = errors.New("too many callers wait")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the queue is closed")

// A Compute computes a batch: a result for each value, in their order. Its context
// ends when every caller is gone.
type Compute[T, R any] func(ctx context.Context, values []T) ([]R, error)

// A Queue joins callers into batches. It is safe for concurrent use.
type Queue[T, R any] struct {
	options Options
	compute Compute[T, R]

	mu      sync.Mutex
	changed *sync.Cond
	waiting list.List // of *caller[T, R], the oldest in front
	closed  bool
	workers sync.WaitGroup
}

// A caller is one that waits, or whose value is being computed.
type caller[T, R any] struct {
	ctx     context.Context
	key     string
	size    Size
	value   T
	arrived time.Time
	place   *list.Element // nil once it is in a batch
	answer  chan answer[R]
}

type answer[R any] struct {
	value R
	err   error
}

// New starts a queue; Close ends it.
func New[T, R any](o Options, compute Compute[T, R]) *Queue[T, R] {
	q := &Queue[T, R]{options: o.WithDefaults(), compute: compute}
	q.changed = sync.NewCond(&q.mu)
	for range q.options.Workers {
		q.workers.Go(q.work)
	}
	return q
}

// Do computes a value, with those of other callers of the same key where they
// fit. It returns ErrFull at once, and ctx's error as soon as ctx ends.
func (q *Queue[T, R]) Do(ctx context.Context, key string, size Size, value T) (R, error) {
	c := &caller[T, R]{ctx: ctx, key: key, size: size, value: value, arrived: time.Now(), answer: make(chan answer[R], 1)}
	var none R
	if size.Rows < 0 || size.Length < 0 {
		return none, fmt.Errorf("a batch can't have %d rows of %d tokens", size.Rows, size.Length)
	}
	if err := q.enter(c); err != nil {
		return none, err
	}
	select {
	case a := <-c.answer:
		return a.value, a.err
	case <-ctx.Done():
		q.leave(c)
		return none, ctx.Err()
	}
}

func (q *Queue[T, R]) enter(c *caller[T, R]) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case q.waiting.Len() >= q.options.Waiting:
		return ErrFull
	}
	c.place = q.waiting.PushBack(c)
	q.changed.Signal()
	return nil
}

// leave takes a caller out that still waits.
func (q *Queue[T, R]) leave(c *caller[T, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.place != nil {
		q.waiting.Remove(c.place)
		c.place = nil
	}
}

// Waiting is the number of callers that wait.
func (q *Queue[T, R]) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.Len()
}

// Close lets those that wait be computed, refuses others, and returns when the
// last batch is over.
func (q *Queue[T, R]) Close() {
	q.mu.Lock()
	q.closed = true
	q.changed.Broadcast()
	q.mu.Unlock()
	q.workers.Wait()
}

// work computes batches until the queue is closed and empty.
func (q *Queue[T, R]) work() {
	for {
		group := q.next()
		if group == nil {
			return
		}
		q.serve(group)
	}
}

// next waits for a batch and takes it out; nil when the queue is closed and empty.
func (q *Queue[T, R]) next() []*caller[T, R] {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for q.waiting.Len() == 0 {
			if q.closed {
				return nil
			}
			q.changed.Wait()
		}
		group, sum := q.gather()
		rest := q.options.Delay - time.Since(group[0].arrived)
		if rest <= 0 || q.closed || q.options.full(sum) {
			for _, c := range group {
				q.waiting.Remove(c.place)
				c.place = nil
			}
			if q.waiting.Len() > 0 {
				q.changed.Signal() // a worker may be asleep over what is left
			}
			return group
		}
		timer := time.AfterFunc(rest, q.wake)
		q.changed.Wait()
		timer.Stop()
	}
}

// wake ends the wait of a batch that is not full. It takes the lock, which its worker
// holds until it waits: a wake before that would be lost, and the batch with it.
func (q *Queue[T, R]) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// gather lists the oldest caller, of whom there is one, and those that fit beside
// it, the nearest in length first: they need the least padding.
func (q *Queue[T, R]) gather() ([]*caller[T, R], total) {
	oldest := q.waiting.Front().Value.(*caller[T, R])
	group, sum := []*caller[T, R]{oldest}, total{}.with(oldest.size)
	if q.options.full(sum) {
		return group, sum
	}
	var others []*caller[T, R]
	for e := q.waiting.Front().Next(); e != nil; e = e.Next() {
		if c := e.Value.(*caller[T, R]); c.key == oldest.key {
			others = append(others, c)
		}
	}
	slices.SortStableFunc(others, func(a, b *caller[T, R]) int {
		return cmp.Compare(distance(a.size, oldest.size), distance(b.size, oldest.size))
	})
	for _, c := range others {
		if grown := sum.with(c.size); q.options.fits(grown) {
			group, sum = append(group, c), grown
		}
		if q.options.full(sum) {
			break
		}
	}
	return group, sum
}

func distance(a, b Size) int { return max(a.Length-b.Length, b.Length-a.Length) }

// serve computes a batch and answers its callers.
func (q *Queue[T, R]) serve(group []*caller[T, R]) {
	results, err := q.run(group)
	if err != nil && len(group) > 1 {
		for _, c := range group {
			if c.ctx.Err() == nil {
				q.serve([]*caller[T, R]{c})
			}
		}
		return
	}
	for i, c := range group {
		a := answer[R]{err: err}
		if err == nil {
			a.value = results[i]
		}
		c.answer <- a
	}
}

// run computes a batch under a context that ends when its callers are all gone. A
// panic of the computation is an error: it must not end the process.
func (q *Queue[T, R]) run(group []*caller[T, R]) (results []R, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(group[0].ctx))
	defer cancel()
	var here atomic.Int64
	here.Store(int64(len(group)))
	values := make([]T, len(group))
	for i, c := range group {
		values[i] = c.value
		defer context.AfterFunc(c.ctx, func() {
			if here.Add(-1) == 0 {
				cancel()
			}
		})()
	}
	defer func() {
		if p := recover(); p != nil {
			results, err = nil, fmt.Errorf("computing a batch of %d: panic of type %T", len(group), p)
		}
	}()
	results, err = q.compute(ctx, values)
	if err == nil && len(results) != len(group) {
		err = fmt.Errorf("a batch of %d gave %d results", len(group), len(results))
	}
	return results, err
}
