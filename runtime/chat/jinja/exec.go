package jinja

import (
	"errors"
	"fmt"
)

func (n *textNode) exec(s *state, f *frame) error { return s.write(f, n.text) }

func (n *printNode) exec(s *state, f *frame) error {
	v, err := n.x.eval(s, f)
	if err != nil {
		return err
	}
	text, err := s.str(v)
	if err != nil {
		return err
	}
	return s.write(f, text)
}

func (n *ifNode) exec(s *state, f *frame) error {
	for i, test := range n.tests {
		v, err := test.eval(s, f)
		if err != nil {
			return err
		}
		yes, err := truth(v)
		if err != nil {
			return err
		}
		if yes {
			return s.body(n.bodies[i], f)
		}
	}
	return s.body(n.last, f)
}

func (n *loopNode) exec(*state, *frame) error {
	if n.breaks {
		return errBreak
	}
	return errContinue
}

func (n *setNode) exec(s *state, f *frame) error {
	v, err := n.value.eval(s, f)
	if err != nil {
		return err
	}
	return s.assign(f, n.target, v)
}

func (n *setBlockNode) exec(s *state, f *frame) error {
	v, err := s.captured(n.body, n.filters, f)
	if err != nil {
		return err
	}
	return s.assign(f, n.target, v)
}

func (n *filterBlockNode) exec(s *state, f *frame) error {
	v, err := s.captured(n.body, n.filters, f)
	if err != nil {
		return err
	}
	text, err := s.str(v)
	if err != nil {
		return err
	}
	return s.write(f, text)
}

// captured is the text of a body after filters.
func (s *state) captured(body []statement, filters []filterNode, f *frame) (any, error) {
	inner := f.capture()
	if err := s.body(body, inner); err != nil {
		return nil, err
	}
	var v any = inner.out.String()
	for _, filter := range filters {
		var err error
		if v, err = filter.apply(s, f, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (n *scopeNode) exec(s *state, f *frame) error { return s.body(n.body, f.child()) }

func (n *withNode) exec(s *state, f *frame) error {
	inner := f.child()
	for i, x := range n.values {
		v, err := x.eval(s, f)
		if err != nil {
			return err
		}
		if err := s.assign(inner, n.targets[i], v); err != nil {
			return err
		}
	}
	return s.body(n.body, inner)
}

// assign gives a target its value.
func (s *state) assign(f *frame, t target, v any) error {
	switch {
	case t.attr != "":
		x, _ := f.lookup(t.name)
		ns, ok := x.(*namespace)
		if !ok {
			return fmt.Errorf("cannot assign attribute on non-namespace object %s", t.name)
		}
		ns.fields.put(t.attr, v)
		return nil
	case t.items == nil:
		f.set(t.name, v)
		return nil
	}
	items, err := s.iterate(v)
	if err != nil {
		return err
	}
	if len(items) != len(t.items) {
		return fmt.Errorf("%d values are unpacked into %d names", len(items), len(t.items))
	}
	for i, one := range t.items {
		if err := s.assign(f, one, items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (n *forNode) exec(s *state, f *frame) error {
	v, err := n.iter.eval(s, f)
	if err != nil {
		return err
	}
	items, err := s.iterate(v)
	if err != nil {
		return err
	}
	l := &loop{rest: items}
	if n.test != nil {
		l.passes = func(item any) (bool, error) { return n.passes(s, f, item) }
	}
	for ; ; l.at++ {
		if err := s.charge(1); err != nil {
			return err
		}
		if more, err := l.has(l.at); err != nil || !more {
			if err == nil && l.at == 0 {
				err = s.body(n.otherwise, f.child())
			}
			return err
		}
		inner := f.child()
		inner.set("loop", l)
		if err := s.assign(inner, n.target, l.items[l.at]); err != nil {
			return err
		}
		switch err := s.body(n.body, inner); {
		case errors.Is(err, errBreak):
			return nil
		case err != nil && !errors.Is(err, errContinue):
			return err
		}
	}
}

// passes is the loop's condition for an item.
func (n *forNode) passes(s *state, f *frame, item any) (bool, error) {
	inner := f.child()
	if err := s.assign(inner, n.target, item); err != nil {
		return false, err
	}
	v, err := n.test.eval(s, inner)
	if err != nil {
		return false, err
	}
	return truth(v)
}

// A loop is the variable of that name.
type loop struct {
	items   []any // those that passed the condition so far
	rest    []any // those not looked at yet: a condition may depend on what the body did before
	passes  func(item any) (bool, error)
	at      int
	changed any // what changed was last called with
	called  bool
}

// has looks ahead until there is an item i.
func (l *loop) has(i int) (bool, error) {
	for len(l.items) <= i && len(l.rest) > 0 {
		item := l.rest[0]
		l.rest = l.rest[1:]
		if l.passes != nil {
			yes, err := l.passes(item)
			if err != nil {
				return false, err
			}
			if !yes {
				continue
			}
		}
		l.items = append(l.items, item)
	}
	return len(l.items) > i, nil
}

// all looks ahead to the end.
func (l *loop) all() (int64, error) {
	_, err := l.has(len(l.items) + len(l.rest))
	return int64(len(l.items)), err
}

// ahead are the attributes for which a loop looks ahead: to its next item, or to its end.
func (l *loop) ahead(name string) (any, bool, error) {
	switch name {
	case "last", "nextitem":
		more, err := l.has(l.at + 1)
		switch {
		case err != nil:
			return nil, true, err
		case name == "last":
			return !more, true, nil
		case more:
			return l.items[l.at+1], true, nil
		}
		return &undefined{"there is no next item"}, true, nil
	case "length", "revindex", "revindex0":
		n, err := l.all()
		switch name {
		case "revindex":
			n -= int64(l.at)
		case "revindex0":
			n -= int64(l.at) + 1
		}
		return n, true, err
	}
	return nil, false, nil
}

func (l *loop) attr(name string) (any, bool) {
	switch name {
	case "index":
		return int64(l.at) + 1, true
	case "index0":
		return int64(l.at), true
	case "first":
		return l.at == 0, true
	case "depth":
		return int64(1), true // loops are not recursive here
	case "depth0":
		return int64(0), true
	case "previtem":
		if l.at == 0 {
			return &undefined{"there is no previous item"}, true
		}
		return l.items[l.at-1], true
	case "cycle":
		return &function{"cycle", l.cycle}, true
	case "changed":
		return &function{"changed", l.change}, true
	}
	return nil, false
}

func (l *loop) cycle(_ *state, a arguments) (any, error) {
	if len(a.positional) == 0 {
		return nil, errors.New("no items for cycling given")
	}
	return a.positional[l.at%len(a.positional)], nil
}

func (l *loop) change(s *state, a arguments) (any, error) {
	now := &List{Items: a.positional, Tuple: true}
	if l.called {
		same, err := s.equal(l.changed, now, 0)
		if err != nil || same {
			return false, err
		}
	}
	l.called, l.changed = true, now
	return true, nil
}

func (n *macroNode) exec(_ *state, f *frame) error {
	f.set(n.name, n.function(f))
	return nil
}

// function is the macro with the scope in which it was written.
func (n *macroNode) function(f *frame) *function {
	return &function{n.name, func(s *state, a arguments) (any, error) { return n.call(s, f, a) }}
}

func (n *macroNode) call(s *state, f *frame, a arguments) (any, error) {
	if s.calls++; s.calls > maxCalls {
		return nil, &LimitError{fmt.Sprintf("calls macros more than %d deep", maxCalls)}
	}
	defer func() { s.calls-- }()
	if len(a.positional) > len(n.params) {
		return nil, fmt.Errorf("macro %q takes not more than %d arguments", n.name, len(n.params))
	}
	inner := f.capture()
	used := 0
	for i, param := range n.params {
		v, err := n.argument(s, inner, a, i, &used)
		if err != nil {
			return nil, err
		}
		inner.set(param, v)
	}
	if n.caller {
		var caller any = &undefined{"no caller defined"}
		if v, ok := a.get("caller"); ok {
			caller = v
			used++
		}
		inner.set("caller", caller)
	}
	if a.named != nil && a.named.Len() > used {
		return nil, fmt.Errorf("macro %q takes no argument of a name that it is given", n.name)
	}
	if err := s.body(n.body, inner); err != nil {
		return nil, err
	}
	return inner.out.String(), nil
}

// argument is the value of parameter i; used counts the named arguments taken.
func (n *macroNode) argument(s *state, inner *frame, a arguments, i int, used *int) (any, error) {
	named, has := a.get(n.params[i])
	if has {
		*used++
	}
	switch without := len(n.params) - len(n.defaults); {
	case i < len(a.positional):
		if has {
			return nil, fmt.Errorf("macro %q got parameter %q twice", n.name, n.params[i])
		}
		return a.positional[i], nil
	case has:
		return named, nil
	case i >= without:
		return n.defaults[i-without].eval(s, inner)
	}
	return &undefined{fmt.Sprintf("parameter '%s' was not provided", n.params[i])}, nil
}

func (a arguments) get(name string) (any, bool) {
	if a.named == nil {
		return nil, false
	}
	return a.named.at(name)
}

func (n *callBlockNode) exec(s *state, f *frame) error {
	callee, a, err := n.call.prepare(s, f)
	if err != nil {
		return err
	}
	if a.named == nil {
		a.named = newMapping(1)
	}
	a.named.put("caller", n.body.function(f))
	v, err := s.call(callee, a)
	if err != nil {
		return err
	}
	text, err := s.str(v)
	if err != nil {
		return err
	}
	return s.write(f, text)
}
