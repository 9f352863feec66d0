package jinja

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

func (n *literal) eval(*state, *frame) (any, error) { return n.value, nil }

func (n *name) eval(s *state, f *frame) (any, error) {
	if err := s.charge(1); err != nil {
		return nil, err
	}
	if v, ok := f.lookup(n.name); ok {
		return v, nil
	}
	return &undefined{fmt.Sprintf("'%s' is undefined", n.name)}, nil
}

func evalAll(s *state, f *frame, nodes []expression) ([]any, error) {
	if err := s.charge(len(nodes)); err != nil {
		return nil, err
	}
	out := make([]any, len(nodes))
	for i, n := range nodes {
		var err error
		if out[i], err = n.eval(s, f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (n *listNode) eval(s *state, f *frame) (any, error) {
	items, err := evalAll(s, f, n.items)
	return &List{Items: items}, err
}

func (n *tupleNode) eval(s *state, f *frame) (any, error) {
	items, err := evalAll(s, f, n.items)
	return &List{Items: items, Tuple: true}, err
}

func (n *dictNode) eval(s *state, f *frame) (any, error) {
	keys, err := evalAll(s, f, n.keys)
	if err != nil {
		return nil, err
	}
	values, err := evalAll(s, f, n.values)
	if err != nil {
		return nil, err
	}
	d := newMapping(len(keys))
	for i, k := range keys {
		if !d.put(k, values[i]) {
			return nil, fmt.Errorf("a %s can't be a key", typeName(k))
		}
	}
	return d, nil
}

func (n *unaryNode) eval(s *state, f *frame) (any, error) {
	v, err := n.x.eval(s, f)
	if err != nil {
		return nil, err
	}
	if n.op == "not" {
		yes, err := truth(v)
		return !yes, err
	}
	switch t := number64(v).(type) {
	case int64:
		if n.op == "-" {
			if t == math.MinInt64 {
				return nil, errOverflow
			}
			return -t, nil
		}
		return t, nil
	case float64:
		if n.op == "-" {
			return -t, nil
		}
		return t, nil
	}
	return nil, badOperand(n.op, v)
}

func (n *binaryNode) eval(s *state, f *frame) (any, error) {
	if err := s.charge(1); err != nil {
		return nil, err
	}
	l, err := n.l.eval(s, f)
	if err != nil {
		return nil, err
	}
	if n.op == "and" || n.op == "or" {
		yes, err := truth(l)
		if err != nil || yes == (n.op == "or") {
			return l, err
		}
		return n.r.eval(s, f)
	}
	r, err := n.r.eval(s, f)
	if err != nil {
		return nil, err
	}
	return s.binary(n.op, l, r)
}

func (n *concatNode) eval(s *state, f *frame) (any, error) {
	var b strings.Builder
	for _, x := range n.items {
		v, err := x.eval(s, f)
		if err != nil {
			return nil, err
		}
		text, err := s.str(v)
		if err != nil {
			return nil, err
		}
		if err := s.text(b.Len() + len(text)); err != nil {
			return nil, err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (n *compareNode) eval(s *state, f *frame) (any, error) {
	l, err := n.first.eval(s, f)
	if err != nil {
		return nil, err
	}
	for i, op := range n.ops {
		r, err := n.rest[i].eval(s, f)
		if err != nil {
			return nil, err
		}
		yes, err := s.compare(op, l, r)
		if err != nil || !yes {
			return false, err
		}
		l = r
	}
	return true, nil
}

func (n *condNode) eval(s *state, f *frame) (any, error) {
	v, err := n.test.eval(s, f)
	if err != nil {
		return nil, err
	}
	yes, err := truth(v)
	switch {
	case err != nil:
		return nil, err
	case yes:
		return n.then.eval(s, f)
	case n.otherwise == nil:
		return &undefined{"the inline if-expression evaluated to false and no else section was defined"}, nil
	}
	return n.otherwise.eval(s, f)
}

func (n *attrNode) eval(s *state, f *frame) (any, error) {
	x, err := n.x.eval(s, f)
	if err != nil {
		return nil, err
	}
	return s.attr(x, n.name)
}

// attr is x.name: an attribute, else an item of that name.
func (s *state) attr(x any, name string) (any, error) {
	if err := s.charge(1); err != nil {
		return nil, err
	}
	switch t := x.(type) {
	case *undefined:
		return nil, t.err()
	case *unsupported:
		return nil, t.err()
	case *loop:
		if v, ok, err := t.ahead(name); ok {
			return v, err
		}
	}
	if v, ok := attribute(x, name); ok {
		return v, nil
	}
	if d, ok := x.(*Mapping); ok {
		if v, ok := d.at(name); ok {
			return v, nil
		}
	}
	return &undefined{fmt.Sprintf("'%s object' has no attribute '%s'", typeName(x), name)}, nil
}

func (n *itemNode) eval(s *state, f *frame) (any, error) {
	x, err := n.x.eval(s, f)
	if err != nil {
		return nil, err
	}
	i, err := n.index.eval(s, f)
	if err != nil {
		return nil, err
	}
	return s.item(x, i)
}

// item is x[i]: an item, else an attribute of that name.
func (s *state) item(x, i any) (any, error) {
	if err := s.charge(1); err != nil {
		return nil, err
	}
	switch t := x.(type) {
	case *undefined:
		return nil, t.err()
	case *unsupported:
		return nil, t.err()
	case *Mapping:
		if v, ok := t.at(i); ok {
			return v, nil
		}
	case *List:
		if k, ok := position(i, len(t.Items)); ok {
			return t.Items[k], nil
		}
	case string:
		if err := s.text(len(t)); err != nil {
			return nil, err
		}
		if k, ok := position(i, utf8.RuneCountInString(t)); ok {
			return runeAt(t, k), nil
		}
	case *span:
		if k, ok := position(i, int(t.n)); ok {
			return t.at(int64(k)), nil
		}
	}
	if key, ok := i.(string); ok {
		return s.attr(x, key)
	}
	text, err := s.str(i)
	return &undefined{fmt.Sprintf("%s object has no element %s", typeName(x), text)}, err
}

// position is where an index points in a sequence of n.
func position(i any, n int) (int, bool) {
	k, ok := asInt(i)
	if !ok {
		return 0, false
	}
	if k < 0 {
		k += int64(n)
	}
	return int(k), k >= 0 && k < int64(n)
}

func runeAt(text string, k int) string {
	for _, r := range text {
		if k == 0 {
			return string(r)
		}
		k--
	}
	return ""
}

func (n *sliceNode) eval(s *state, f *frame) (any, error) {
	x, err := n.x.eval(s, f)
	if err != nil {
		return nil, err
	}
	var bounds [3]any
	for i, b := range []expression{n.start, n.stop, n.step} {
		if b == nil {
			continue
		}
		if bounds[i], err = b.eval(s, f); err != nil {
			return nil, err
		}
	}
	switch t := x.(type) {
	case *undefined:
		return nil, t.err()
	case *unsupported:
		return nil, t.err()
	case *List:
		items, err := slice(s, t.Items, bounds)
		return &List{Items: items, Tuple: t.Tuple}, err
	case string:
		if err := s.text(4 * len(t)); err != nil {
			return nil, err
		}
		runes, err := slice(s, []rune(t), bounds)
		return string(runes), err
	}
	return nil, fmt.Errorf("a %s can't be sliced here", typeName(x))
}

// slice is Python's x[start:stop:step].
func slice[T any](s *state, x []T, bounds [3]any) ([]T, error) {
	var given [3]int64
	var has [3]bool
	for i, b := range bounds {
		if b == nil {
			continue
		}
		v, ok := asInt(b)
		if !ok {
			return nil, fmt.Errorf("slice indices must be integers, not %s", typeName(b))
		}
		given[i], has[i] = v, true
	}
	n, step := int64(len(x)), int64(1)
	if has[2] {
		step = given[2]
	}
	if step == 0 {
		return nil, fmt.Errorf("slice step cannot be zero")
	}
	low, high := int64(0), n
	start, stop := int64(0), n
	if step < 0 {
		low, high = -1, n-1
		start, stop = n-1, -1
	}
	clip := func(v int64) int64 {
		if v < 0 {
			v += n
		}
		return max(low, min(v, high))
	}
	if has[0] {
		start = clip(given[0])
	}
	if has[1] {
		stop = clip(given[1])
	}
	if step == 1 {
		if err := s.charge(1); err != nil {
			return nil, err
		}
		return x[start:max(start, stop)], nil
	}
	var out []T
	for i := start; step > 0 && i < stop || step < 0 && i > stop; {
		if err := s.charge(1); err != nil {
			return nil, err
		}
		out = append(out, x[i])
		if step > n || step < -n {
			break // the next index would be outside anyway, and might overflow
		}
		i += step
	}
	return out, nil
}

func (n *callNode) eval(s *state, f *frame) (any, error) {
	callee, a, err := n.prepare(s, f)
	if err != nil {
		return nil, err
	}
	return s.call(callee, a)
}

func (n *callNode) prepare(s *state, f *frame) (any, arguments, error) {
	callee, err := n.f.eval(s, f)
	if err != nil {
		return nil, arguments{}, err
	}
	a, err := n.args.eval(s, f)
	return callee, a, err
}

func (n argumentNodes) eval(s *state, f *frame) (arguments, error) {
	positional, err := evalAll(s, f, n.positional)
	if err != nil {
		return arguments{}, err
	}
	a := arguments{positional: positional}
	for i, x := range n.named {
		v, err := x.eval(s, f)
		if err != nil {
			return a, err
		}
		if a.named == nil {
			a.named = newMapping(len(n.named))
		}
		a.named.put(n.names[i], v)
	}
	return a, nil
}

func (s *state) call(callee any, a arguments) (any, error) {
	if err := s.charge(1); err != nil {
		return nil, err
	}
	switch t := callee.(type) {
	case *function:
		return t.call(s, a)
	case *undefined:
		return nil, t.err()
	case *unsupported:
		return nil, t.err()
	}
	return nil, fmt.Errorf("'%s' object is not callable", typeName(callee))
}

func (n *filterNode) eval(s *state, f *frame) (any, error) {
	x, err := n.x.eval(s, f)
	if err != nil {
		return nil, err
	}
	return n.apply(s, f, x)
}

func (n *filterNode) apply(s *state, f *frame, x any) (any, error) {
	a, err := n.args.eval(s, f)
	if err != nil {
		return nil, err
	}
	return s.filter(n.name, x, a)
}

func (n *testNode) eval(s *state, f *frame) (any, error) {
	x, err := n.x.eval(s, f)
	if err != nil {
		return nil, err
	}
	a, err := n.args.eval(s, f)
	if err != nil {
		return nil, err
	}
	yes, err := s.test(n.name, x, a)
	return yes != n.not, err
}
