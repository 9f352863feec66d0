package openai

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A job is one continuation: choice of the answer, its prompt and options.
type job struct {
	choice  int
	prompt  []int32
	options runtime.GenerateOptions
}

// A piece is what came of a job with one of its tokens, or at its end.
type piece struct {
	choice int
	text   string
	tokens []spelled
	finish string // "stop" or "length" with the last piece
	count  int    // tokens that the model made so far
	sum    float64
	err    error
}

// A batch runs jobs side by side and gives their pieces, each job's in order, until all are done or ctx ends.
type batch struct {
	tokenizer *tokenize.Tokenizer
	stops     []string
	spell     bool // pieces carry tokens
	streams   []*runtime.Stream
	cancels   []context.CancelFunc
	jobs      []job
}

// submit hands all jobs to the engine. If one is refused none runs.
func (b *batch) submit(ctx context.Context, e *runtime.Engine, jobs []job) error {
	b.jobs = jobs
	for _, j := range jobs {
		one, cancel := context.WithCancel(ctx)
		stream, err := e.Submit(one, j.prompt, j.options)
		b.cancels = append(b.cancels, cancel)
		if err != nil {
			b.close()
			return err
		}
		b.streams = append(b.streams, stream)
	}
	return nil
}

// close ends what is still running.
func (b *batch) close() {
	for _, cancel := range b.cancels {
		cancel()
	}
}

// each calls f with every piece, one at a time. Tokens that f is not quick enough for wait in their streams and hold
// nothing up. The first error, f's or a job's, ends all.
func (b *batch) each(ctx context.Context, f func(piece) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pieces := make(chan piece)
	var readers sync.WaitGroup
	for i := range b.jobs {
		readers.Go(func() { b.read(ctx, i, pieces) })
	}
	go func() {
		readers.Wait()
		close(pieces)
	}()
	var failed error
	for p := range pieces {
		if failed != nil {
			continue // the others are on their way out
		}
		if failed = p.err; failed == nil {
			failed = f(p)
		}
		if failed != nil {
			b.close()
			cancel()
		}
	}
	return failed
}

// read turns one job's tokens into pieces.
func (b *batch) read(ctx context.Context, i int, pieces chan<- piece) {
	j := b.jobs[i]
	defer b.cancels[i]()
	send := func(p piece) bool {
		p.choice = j.choice
		select {
		case pieces <- p:
			return true
		case <-ctx.Done():
			return false
		}
	}
	w, count, sum := newWriter(b.tokenizer, j.prompt, b.stops), 0, 0.0
	for {
		token, err := b.streams[i].Next()
		if errors.Is(err, io.EOF) {
			err = errors.New("the generation ended without a reason")
		}
		if err != nil {
			send(piece{err: err})
			return
		}
		count, sum = count+1, sum+token.LogProb
		p := piece{finish: token.Finish, count: count, sum: sum}
		p.text, p.tokens = w.push(token, b.spell && !endOf(token))
		if p.finish != "" && !w.stopped {
			text, tokens := w.end()
			p.text, p.tokens = p.text+text, append(p.tokens, tokens...)
		}
		if w.stopped {
			p.finish = "stop"
		}
		if (p.text != "" || len(p.tokens) > 0 || p.finish != "") && !send(p) || p.finish != "" {
			return
		}
	}
}

// endOf says that a token ended the text by being an end-of-sequence token, which is not part of it.
func endOf(token runtime.Token) bool {
	return token.Finish == "stop" // stop strings are the writer's, so nothing else ends a text before its length
}
