package runtime

import (
	"context"
	"errors"
	"slices"
)

// loop makes turns until the engine is closed and drained, or ctx ends.
func (e *Engine) loop(ctx context.Context, step stepper) {
	defer close(e.stopped)
	b := &batch{step: step}
	defer func() {
		if b.step != nil {
			b.step.close()
		}
	}()
	for {
		turn, cancel, ok := e.admit(ctx)
		if !ok {
			return
		}
		err := e.turn(turn, b)
		cancel()
		if err != nil {
			e.recover(ctx, b, err)
		}
	}
}

// admit drops requests that are over, lets waiting ones join while there is
// room, and waits while there is nothing to do. It returns the next turn's
// context, or false when the loop ends.
func (e *Engine) admit(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	over := func(r *request) bool { return r.ctx.Err() != nil }
	for {
		if ctx.Err() != nil {
			e.abandon(ErrEngineClosed)
			return nil, nil, false
		}
		e.waiting = slices.DeleteFunc(e.waiting, over)
		e.running = slices.DeleteFunc(e.running, over)
		for len(e.waiting) > 0 && e.fits(e.waiting[0]) {
			e.running, e.waiting = append(e.running, e.waiting[0]), e.waiting[1:]
		}
		if len(e.running) > 0 {
			turn, cancel := context.WithCancel(ctx)
			e.turning = cancel
			return turn, cancel, true
		}
		if e.closed {
			return nil, nil, false
		}
		e.wake.Wait()
	}
}

// fits reports whether a request may join the running ones.
func (e *Engine) fits(r *request) bool {
	texts, tokens := r.beams, r.tokens
	for _, other := range e.running {
		texts, tokens = texts+other.beams, tokens+other.tokens
	}
	return texts <= e.options.MaxSequences && (e.options.MaxTokens == 0 || tokens <= e.options.MaxTokens)
}

// turn runs the batch one token further and passes the tokens on.
func (e *Engine) turn(ctx context.Context, b *batch) error {
	e.mu.Lock()
	by := make(map[*task]*request, len(e.running))
	tasks := make([]*task, 0, len(e.running))
	for _, r := range e.running {
		by[r.task] = r
		tasks = append(tasks, r.task)
	}
	e.mu.Unlock()
	b.tasks = tasks
	gone := map[*request]bool{}
	err := b.turn(ctx, func(t *task, token *Token, err error) bool {
		r := by[t]
		r.report(token, err)
		gone[r] = err != nil || t.search.done()
		return gone[r]
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turning = nil
	e.running = slices.DeleteFunc(e.running, func(r *request) bool { return gone[r] })
	return err
}

// report passes on what a turn gave a request.
func (r *request) report(token *Token, err error) {
	if err != nil {
		r.stream.end(err)
		return
	}
	if token != nil {
		r.stream.push(*token)
	}
	if !r.search.done() {
		return
	}
	if token == nil { // a beam search's best text
		best := r.finish(r.search)[0]
		for i, id := range best.IDs {
			t := Token{ID: id, LogProb: best.LogProbs[i]}
			if i == len(best.IDs)-1 {
				t.Finish = best.Finish
			}
			r.stream.push(t)
		}
	}
	r.stream.end(nil)
}

// recover goes on after a turn that failed or was stopped: what the stepper held
// is lost, so requests that are not over fail with it, except that a turn which
// was stopped because nobody waited for it fails nobody.
func (e *Engine) recover(ctx context.Context, b *batch, err error) {
	b.step.close()
	b.step, b.tasks = nil, nil
	e.mu.Lock()
	if ctx.Err() != nil {
		err = ErrEngineClosed
	}
	for _, r := range e.running {
		r.stream.end(err)
	}
	e.running = nil
	e.mu.Unlock()
	step, failed := e.model.newStepper(ctx)
	if failed != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.closed = true
		e.abandon(errors.Join(ErrEngineClosed, failed))
		return
	}
	b.step = step
}

// abandon ends every request with an error; e.mu is held.
func (e *Engine) abandon(err error) {
	for _, r := range slices.Concat(e.running, e.waiting) {
		r.stream.end(err)
	}
	e.running, e.waiting = nil, nil
}
