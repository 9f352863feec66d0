package jinja

import (
	"fmt"
	"math"
)

// Values of a template are Go values that behave as Python's: nil (None), bool, int64, float64, string, *List, *Mapping,
// and the types of this file. None of them can be changed by a template, but for a namespace.

// A List is a list, or a tuple. It must not be changed once a template has it.
type List struct {
	Items []any
	Tuple bool
}

// NewList makes a list.
func NewList(items ...any) *List { return &List{Items: items} }

// A Mapping is a dictionary: it keeps the order in which its keys came.
type Mapping struct {
	keys   []any
	values []any
	index  map[any]int
}

// Dict makes a dictionary from keys and values in turn. The keys must be strings.
func Dict(pairs ...any) *Mapping {
	d := newMapping(len(pairs) / 2)
	for i := 0; i+1 < len(pairs); i += 2 {
		d.put(pairs[i], pairs[i+1])
	}
	return d
}

func newMapping(n int) *Mapping { return &Mapping{index: make(map[any]int, n)} }

// Set puts a value in, before a template has the dictionary.
func (d *Mapping) Set(key string, value any) { d.put(key, value) }

// Get returns the value of a key.
func (d *Mapping) Get(key string) (any, bool) { return d.at(key) }

// Each calls f with every key that is a string and its value; a nil dictionary has none.
func (d *Mapping) Each(f func(key string, value any)) {
	if d == nil {
		return
	}
	for i, k := range d.keys {
		if key, ok := k.(string); ok {
			f(key, d.values[i])
		}
	}
}

// Len is the number of keys.
func (d *Mapping) Len() int { return len(d.keys) }

func (d *Mapping) put(key, value any) bool {
	h, ok := hashKey(key)
	if !ok {
		return false
	}
	if i, have := d.index[h]; have {
		d.values[i] = value
		return true
	}
	d.index[h] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
	return true
}

func (d *Mapping) at(key any) (any, bool) {
	if h, ok := hashKey(key); ok {
		if i, have := d.index[h]; have {
			return d.values[i], true
		}
	}
	return nil, false
}

// none stands for None among the keys of a map.
type none struct{}

// hashKey makes keys that are equal in Python (1, 1.0 and True) equal in Go; ok is false for what can't be a key here.
func hashKey(key any) (any, bool) {
	switch k := key.(type) {
	case nil:
		return none{}, true
	case bool:
		if k {
			return int64(1), true
		}
		return int64(0), true
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int64(k), true
		}
		return k, !math.IsNaN(k)
	case markup:
		return string(k), true
	case int64, string:
		return k, true
	}
	return nil, false
}

// undefined is what a name or a key stands for that there is not. It prints as nothing and is false; other uses fail
// with its message.
type undefined struct{ message string }

func (u *undefined) err() error { return fmt.Errorf("%s", u.message) }

// markup is a string that was declared safe or escaped: Markup in Python.
type markup string

// A generator is the result of map, select and the like: it can be gone through once.
type generator struct{ items []any }

// A view is what a dictionary's keys(), values() and items() give.
type view struct {
	name  string
	items []any
}

// A span is range(…).
type span struct{ start, stop, step, n int64 }

func (s *span) at(i int64) int64 { return s.start + i*s.step }

// A namespace is the one value whose attributes a template can set.
type namespace struct{ fields *Mapping }

// A function is what can be called: a method, a macro, a global.
type function struct {
	name string
	call func(s *state, a arguments) (any, error)
}

// arguments of a call.
type arguments struct {
	positional []any
	named      *Mapping // nil for none
}

// unsupported stands for a part of Python that is not built here. Every use of it fails.
type unsupported struct{ name string }

func (u *unsupported) err() error { return fmt.Errorf("%s is not supported by this renderer", u.name) }

// typeName is Python's name of a value's type, for messages.
func typeName(v any) string {
	switch t := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "Markup"
	case *List:
		if t.Tuple {
			return "tuple"
		}
		return "list"
	case *Mapping:
		return "dict"
	case *undefined:
		return "Undefined"
	case *generator:
		return "generator"
	case *view:
		return t.name
	case *span:
		return "range"
	case *namespace:
		return "Namespace"
	case *function:
		return "function"
	}
	return fmt.Sprintf("%T", v)
}

// truth is Python's bool(v).
func truth(v any) (bool, error) {
	switch t := v.(type) {
	case nil, *undefined:
		return false, nil
	case bool:
		return t, nil
	case int64:
		return t != 0, nil
	case float64:
		return t != 0, nil
	case string:
		return t != "", nil
	case markup:
		return t != "", nil
	case *List:
		return len(t.Items) > 0, nil
	case *Mapping:
		return t.Len() > 0, nil
	case *view:
		return len(t.items) > 0, nil
	case *span:
		return t.n > 0, nil
	case *unsupported:
		return false, t.err()
	}
	return true, nil
}

// FromGo makes a value of what encoding/json and Go programs have: nil, bool, numbers, strings, []any, map[string]any
// (its keys in order of the alphabet, for Go's maps have none) and values of this package.
func FromGo(v any) (any, error) { return fromGo(v, 0) }
