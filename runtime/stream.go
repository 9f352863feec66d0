package runtime

import (
	"context"
	"io"
	"sync"
)

// A Stream is the continuation of one request of an Engine as it grows. A slow
// reader holds up nothing: tokens wait for it. It is safe for concurrent use.
type Stream struct {
	ctx     context.Context
	release func() bool // unregisters from ctx

	mu     sync.Mutex
	tokens []Token
	err    error // io.EOF behind the last token
	more   chan struct{}
}

func newStream(ctx context.Context) *Stream {
	return &Stream{ctx: ctx, more: make(chan struct{}, 1)}
}

// onCancel calls f when the request's context ends before the stream does.
func (s *Stream) onCancel(f func()) {
	release := context.AfterFunc(s.ctx, f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release = release
}

// Next waits for the next token. It returns io.EOF after the last, the error of
// the request's context once that has ended, ErrEngineClosed when the engine was
// closed without waiting, or what went wrong.
func (s *Stream) Next() (Token, error) {
	for {
		if err := context.Cause(s.ctx); err != nil {
			return Token{}, err
		}
		s.mu.Lock()
		if len(s.tokens) > 0 {
			t := s.tokens[0]
			s.tokens = s.tokens[1:]
			s.signal()
			s.mu.Unlock()
			return t, nil
		}
		err := s.err
		if err != nil {
			s.signal()
		}
		s.mu.Unlock()
		if err != nil {
			return Token{}, err
		}
		select {
		case <-s.more:
		case <-s.ctx.Done():
		}
	}
}

// signal wakes one reader; s.mu is held. A reader that leaves something behind
// wakes the next.
func (s *Stream) signal() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *Stream) push(t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.tokens = append(s.tokens, t)
		s.signal()
	}
}

// end ends the stream behind the tokens it has; nil is its regular end.
func (s *Stream) end(err error) {
	if err == nil {
		err = io.EOF
	}
	s.mu.Lock()
	if s.err == nil {
		s.err = err
		s.signal()
	}
	release := s.release
	s.mu.Unlock()
	if release != nil {
		release()
	}
}
