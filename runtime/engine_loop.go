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

// turn runs the batch, or a suspect alone, one token further and passes the
// tokens on.
func (e *Engine) turn(ctx context.Context, b *batch) error {
	members := e.members()
	by := make(map[*task]*request, len(members))
	b.tasks = nil
	for _, r := range members {
		by[r.task] = r
		b.tasks = append(b.tasks, r.task)
	}
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
	if err != nil {
		return err
	}
	for _, r := range members {
		r.suspect = false
	}
	e.running = slices.DeleteFunc(e.running, func(r *request) bool { return gone[r] })
	return nil
}

// members are the requests of the next turn: the first suspect, or all. Those
// that sit out lose what the stepper holds of them.
func (e *Engine) members() []*request {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := slices.IndexFunc(e.running, func(r *request) bool { return r.suspect })
	if at < 0 {
		return slices.Clone(e.running)
	}
	for i, r := range e.running {
		if i != at {
			r.begun = false
		}
	}
	return []*request{e.running[at]}
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

// recover goes on after a turn that failed or was stopped. What the stepper held
// is lost, so the requests begin anew from their texts. Of several that a turn
// failed with, each runs alone next; one that fails alone ends with the error. A
// turn that was stopped because nobody waited for it fails nobody.
func (e *Engine) recover(ctx context.Context, b *batch, err error) {
	b.step.close()
	b.step = nil
	e.mu.Lock()
	if ctx.Err() != nil {
		err = ErrEngineClosed
	}
	for _, r := range e.running {
		r.begun = false
		if !errors.Is(err, context.Canceled) {
			r.suspect = r.suspect || len(b.tasks) > 1
		}
	}
	if len(b.tasks) == 1 && !errors.Is(err, context.Canceled) || ctx.Err() != nil {
		e.running = slices.DeleteFunc(e.running, func(r *request) bool {
			failed := ctx.Err() != nil || slices.Contains(b.tasks, r.task)
			if failed {
				r.stream.end(err)
			}
			return failed
		})
	}
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
