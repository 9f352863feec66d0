package jinja

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits bound a rendering. The zero value takes the defaults.
type Limits struct {
	// Work is how many steps may be taken: an expression is one, and so are 16 bytes of text made. Default 5 million.
	Work int
	// Text is the longest text, output or intermediate, in bytes. Default 4 MiB.
	Text int
	// Now is the time that strftime_now gives. Default: the time of the rendering.
	Now time.Time
}

const (
	defaultWork = 5_000_000
	defaultText = 4 << 20
	maxCalls    = 100 // macros within macros
)

// A LimitError says that a template wanted more than it may have.
type LimitError struct{ What string }

func (e *LimitError) Error() string { return "the template " + e.What }

// A RaisedError is what a template raises by raise_exception: its author's refusal of the messages.
type RaisedError struct{ Message string }

func (e *RaisedError) Error() string { return e.Message }

// Render gives the text of the template with the variables vars. It fails with a *RaisedError where the template says so, with
// a *LimitError where it wants too much, with ctx's error, or with what Python would have refused.
func (t *Template) Render(ctx context.Context, vars *Mapping, limits Limits) (string, error) {
	if limits.Work == 0 {
		limits.Work = defaultWork
	}
	if limits.Text == 0 {
		limits.Text = defaultText
	}
	if limits.Now.IsZero() {
		limits.Now = time.Now()
	}
	s := &state{ctx: ctx, limits: limits}
	global := &frame{vars: map[string]any{}, out: &strings.Builder{}}
	for i, k := range vars.keys {
		if key, ok := k.(string); ok {
			global.vars[key] = vars.values[i]
		}
	}
	f := global.child()
	if err := s.body(t.body, f); err != nil {
		return "", err
	}
	return f.out.String(), nil
}

// state is one rendering.
type state struct {
	ctx    context.Context
	limits Limits
	work   int
	seen   int // work at the last look at ctx
	calls  int
}

// charge counts steps.
func (s *state) charge(n int) error {
	s.work += n
	if s.work > s.limits.Work {
		return &LimitError{fmt.Sprintf("takes more than %d steps", s.limits.Work)}
	}
	if s.work-s.seen > 1<<14 {
		s.seen = s.work
		return s.ctx.Err()
	}
	return nil
}

// text counts the making of a text of n bytes.
func (s *state) text(n int) error {
	if n > s.limits.Text {
		return &LimitError{fmt.Sprintf("makes a text of more than %d bytes", s.limits.Text)}
	}
	return s.charge(1 + n/16)
}

// A frame is a scope: its variables, and where its text goes.
type frame struct {
	vars   map[string]any
	parent *frame
	out    *strings.Builder
}

func (f *frame) child() *frame {
	return &frame{parent: f, out: f.out}
}

// capture is a scope whose text is kept apart.
func (f *frame) capture() *frame {
	return &frame{parent: f, out: &strings.Builder{}}
}

func (f *frame) set(name string, v any) {
	if f.vars == nil {
		f.vars = map[string]any{}
	}
	f.vars[name] = v
}

func (f *frame) lookup(name string) (any, bool) {
	for ; f != nil; f = f.parent {
		if v, ok := f.vars[name]; ok {
			return v, true
		}
	}
	v, ok := globals[name]
	return v, ok
}

// What ends the iteration at hand, or its loop.
var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
)

func (s *state) body(body []statement, f *frame) error {
	for _, n := range body {
		if err := s.charge(1); err != nil {
			return err
		}
		if err := n.exec(s, f); err != nil {
			return err
		}
	}
	return nil
}

// write appends to a frame's text.
func (s *state) write(f *frame, text string) error {
	if err := s.text(f.out.Len() + len(text)); err != nil {
		return err
	}
	s.work -= f.out.Len() / 16 // only what was added is work
	f.out.WriteString(text)
	return nil
}
