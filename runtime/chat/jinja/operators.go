package jinja

import (
	"cmp"
	"errors"
	"fmt"
	"html"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
)

var errOverflow = errors.New("a number does not fit in 64 bits")

// number64 is v as int64 or float64 (a bool is a number in Python), or nil.
func number64(v any) any {
	switch t := v.(type) {
	case bool:
		if t {
			return int64(1)
		}
		return int64(0)
	case int64, float64:
		return t
	}
	return nil
}

func asInt(v any) (int64, bool) {
	n, ok := number64(v).(int64)
	return n, ok
}

func asFloat(v any) (float64, bool) {
	switch t := number64(v).(type) {
	case int64:
		return float64(t), true
	case float64:
		return t, true
	}
	return 0, false
}

// asString is a string, marked up or not.
func asString(v any) (string, bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case markup:
		return string(t), true
	}
	return "", false
}

func badOperand(op string, v any) error {
	switch t := v.(type) {
	case *undefined:
		return t.err()
	case *unsupported:
		return t.err()
	}
	return fmt.Errorf("bad operand for %s: '%s'", op, typeName(v))
}

func (s *state) binary(op string, l, r any) (any, error) {
	for _, v := range []any{l, r} {
		switch v.(type) {
		case *undefined, *unsupported:
			return nil, badOperand(op, v)
		}
	}
	switch op {
	case "+":
		if v, ok, err := s.join(l, r); ok {
			return v, err
		}
	case "*":
		if v, ok, err := s.repeat(l, r); ok {
			return v, err
		}
		if v, ok, err := s.repeat(r, l); ok {
			return v, err
		}
	case "%":
		if format, ok := l.(string); ok {
			return s.percent(format, r)
		}
	}
	a, b := number64(l), number64(r)
	if a == nil || b == nil {
		return nil, fmt.Errorf("unsupported operand types for %s: '%s' and '%s'", op, typeName(l), typeName(r))
	}
	i, whole := a.(int64)
	j, alsoWhole := b.(int64)
	if whole && alsoWhole && op != "/" && !(op == "**" && j < 0) {
		return integers(op, i, j)
	}
	x, _ := asFloat(a)
	y, _ := asFloat(b)
	return floats(op, x, y)
}

// join adds strings and lists.
func (s *state) join(l, r any) (any, bool, error) {
	switch a := l.(type) {
	case string, markup:
		_, marked := l.(markup)
		_, alsoMarked := r.(markup)
		x, _ := asString(l)
		y, ok := asString(r)
		if !ok {
			return nil, false, nil
		}
		if marked && !alsoMarked {
			y = escaped(y)
		} else if alsoMarked && !marked {
			x = escaped(x)
		}
		if err := s.text(len(x) + len(y)); err != nil {
			return nil, true, err
		}
		if marked || alsoMarked {
			return markup(x + y), true, nil
		}
		return x + y, true, nil
	case *List:
		b, ok := r.(*List)
		if !ok || a.Tuple != b.Tuple {
			return nil, false, nil
		}
		if err := s.charge(len(a.Items) + len(b.Items)); err != nil {
			return nil, true, err
		}
		items := make([]any, 0, len(a.Items)+len(b.Items))
		return &List{Items: append(append(items, a.Items...), b.Items...), Tuple: a.Tuple}, true, nil
	}
	return nil, false, nil
}

// escaped is markupsafe's escape.
func escaped(text string) string { return html.EscapeString(text) }

// repeat is a string or a list n times.
func (s *state) repeat(x, times any) (any, bool, error) {
	n, ok := asInt(times)
	if !ok {
		return nil, false, nil
	}
	n = max(n, 0)
	switch t := x.(type) {
	case string:
		if high, low := bits.Mul64(uint64(n), uint64(len(t))); high > 0 || low > uint64(s.limits.Text) {
			return nil, true, s.text(s.limits.Text + 1)
		}
		if err := s.text(len(t) * int(n)); err != nil {
			return nil, true, err
		}
		return strings.Repeat(t, int(n)), true, nil
	case *List:
		if high, low := bits.Mul64(uint64(n), uint64(len(t.Items))); high > 0 || low > uint64(s.limits.Work) {
			return nil, true, s.charge(s.limits.Work + 1)
		}
		if err := s.charge(len(t.Items) * int(n)); err != nil {
			return nil, true, err
		}
		out := &List{Tuple: t.Tuple}
		for range n {
			out.Items = append(out.Items, t.Items...)
		}
		return out, true, nil
	}
	return nil, false, nil
}

// integers is arithmetic of whole numbers; division rounds down.
func integers(op string, a, b int64) (any, error) {
	switch op {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return c, nil
		}
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return c, nil
		}
	case "*":
		if v, ok := multiply(a, b); ok {
			return v, nil
		}
	case "//", "%":
		if b == 0 {
			return nil, errors.New("integer division or modulo by zero")
		}
		if a == math.MinInt64 && b == -1 {
			return nil, errOverflow
		}
		q, m := a/b, a%b
		if m != 0 && (m < 0) != (b < 0) {
			q, m = q-1, m+b
		}
		if op == "%" {
			return m, nil
		}
		return q, nil
	case "**":
		c, ok := int64(1), true
		for ; ok && b > 0; b-- {
			if c, ok = multiply(c, a); ok && (c == 0 || c == 1) && (a == 0 || a == 1) {
				break
			}
			if a == -1 {
				if b%2 == 0 {
					c = 1
				} else {
					c = -1
				}
				break
			}
		}
		if ok {
			return c, nil
		}
	}
	return nil, errOverflow
}

func multiply(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	c := a * b
	return c, c/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
}

func floats(op string, a, b float64) (any, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "**":
		v := math.Pow(a, b)
		if a == 0 && b < 0 || a < 0 && b != math.Trunc(b) || math.IsInf(v, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
			return nil, fmt.Errorf("%g ** %g has no value here", a, b)
		}
		return v, nil
	}
	if b == 0 {
		return nil, errors.New("division by zero")
	}
	if op == "/" {
		return a / b, nil
	}
	m := math.Mod(a, b)
	if m != 0 && (m < 0) != (b < 0) {
		m += b
	}
	if op == "%" {
		return m, nil
	}
	return math.Round((a - m) / b), nil
}

func (s *state) compare(op string, l, r any) (bool, error) {
	if err := s.charge(1); err != nil {
		return false, err
	}
	switch op {
	case "==", "!=":
		same, err := s.equal(l, r, 0)
		return same == (op == "=="), err
	case "in", "not in":
		has, err := s.contains(r, l)
		return has == (op == "in"), err
	}
	c, err := s.order(op, l, r, 0)
	switch op {
	case "<":
		return c < 0, err
	case "<=":
		return c <= 0, err
	case ">":
		return c > 0, err
	}
	return c >= 0, err
}

// equal is Python's ==.
func (s *state) equal(l, r any, depth int) (bool, error) {
	if depth > maxDepth {
		return false, errDepth
	}
	if err := s.charge(1); err != nil {
		return false, err
	}
	if a, ok := asFloat(l); ok {
		b, ok := asFloat(r)
		i, whole := asInt(l)
		j, alsoWhole := asInt(r)
		if whole && alsoWhole {
			return i == j, nil
		}
		return ok && a == b, nil
	}
	if a, ok := asString(l); ok {
		b, ok := asString(r)
		return ok && a == b, s.charge(min(len(a), len(b)) / 16)
	}
	switch a := l.(type) {
	case nil:
		return r == nil, nil
	case *undefined:
		_, ok := r.(*undefined)
		return ok, nil
	case *unsupported:
		return false, a.err()
	case *List:
		b, ok := r.(*List)
		if !ok || a.Tuple != b.Tuple || len(a.Items) != len(b.Items) {
			return false, nil
		}
		for i := range a.Items {
			if same, err := s.equal(a.Items[i], b.Items[i], depth+1); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case *Mapping:
		b, ok := r.(*Mapping)
		if !ok || a.Len() != b.Len() {
			return false, nil
		}
		for i, k := range a.keys {
			v, ok := b.at(k)
			if !ok {
				return false, nil
			}
			if same, err := s.equal(a.values[i], v, depth+1); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	}
	return l == r, nil
}

// order compares what Python can order.
func (s *state) order(op string, l, r any, depth int) (int, error) {
	if depth > maxDepth {
		return 0, errDepth
	}
	if err := s.charge(1); err != nil {
		return 0, err
	}
	if i, ok := asInt(l); ok {
		if j, ok := asInt(r); ok {
			return cmp.Compare(i, j), nil
		}
	}
	if a, ok := asFloat(l); ok {
		if b, ok := asFloat(r); ok {
			return cmp.Compare(a, b), nil
		}
	}
	if a, ok := asString(l); ok {
		if b, ok := asString(r); ok {
			return cmp.Compare(a, b), nil
		}
	}
	if a, ok := l.(*List); ok {
		if b, ok := r.(*List); ok && a.Tuple == b.Tuple {
			for i := range min(len(a.Items), len(b.Items)) {
				same, err := s.equal(a.Items[i], b.Items[i], depth+1)
				if err != nil {
					return 0, err
				}
				if !same {
					return s.order(op, a.Items[i], b.Items[i], depth+1)
				}
			}
			return cmp.Compare(len(a.Items), len(b.Items)), nil
		}
	}
	for _, v := range []any{l, r} {
		if u, ok := v.(*undefined); ok {
			return 0, u.err()
		}
	}
	return 0, fmt.Errorf("'%s' not supported between instances of '%s' and '%s'", op, typeName(l), typeName(r))
}

// contains is item in x.
func (s *state) contains(x, item any) (bool, error) {
	switch t := x.(type) {
	case string, markup:
		text, _ := asString(t)
		part, ok := asString(item)
		if !ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not %s", typeName(item))
		}
		return strings.Contains(text, part), s.charge(len(text) / 16)
	case *Mapping:
		_, ok := t.at(item)
		return ok, nil
	}
	items, err := s.iterate(x)
	if err != nil {
		return false, err
	}
	for _, e := range items {
		if same, err := s.equal(e, item, 0); err != nil || same {
			return same, err
		}
	}
	return false, nil
}

// iterate is what a loop over v goes through.
func (s *state) iterate(v any) ([]any, error) {
	var out []any
	switch t := v.(type) {
	case *List:
		out = t.Items
	case *Mapping:
		out = t.keys
	case *view:
		out = t.items
	case *undefined:
	case *unsupported:
		return nil, t.err()
	case *generator:
		out, t.items = t.items, nil
	case *span:
		if err := s.charge(int(t.n)); err != nil {
			return nil, err
		}
		for i := range t.n {
			out = append(out, t.at(i))
		}
	case string:
		if err := s.text(len(t)); err != nil {
			return nil, err
		}
		if err := s.charge(len(t)); err != nil {
			return nil, err
		}
		for _, r := range t {
			out = append(out, string(r))
		}
	default:
		return nil, fmt.Errorf("'%s' object is not iterable", typeName(v))
	}
	return out, s.charge(1)
}

// length is Python's len.
func (s *state) length(v any) (int64, error) {
	switch t := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(t)), s.charge(len(t) / 16)
	case markup:
		return int64(utf8.RuneCountInString(string(t))), nil
	case *List:
		return int64(len(t.Items)), nil
	case *Mapping:
		return int64(t.Len()), nil
	case *view:
		return int64(len(t.items)), nil
	case *span:
		return t.n, nil
	case *undefined:
		return 0, nil
	case *unsupported:
		return 0, t.err()
	case *loop:
		return t.all()
	}
	return 0, fmt.Errorf("object of type '%s' has no len()", typeName(v))
}
