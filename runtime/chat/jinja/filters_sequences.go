package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// getter reads an attribute path such as "a.b" or an index, as the attribute arguments of filters name it.
func (s *state) getter(path any) (func(x any) (any, error), error) {
	if n, ok := asInt(path); ok {
		return func(x any) (any, error) { return s.item(x, n) }, nil
	}
	text, err := argString("attribute", path)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(text, ".")
	return func(x any) (any, error) {
		for _, part := range parts {
			var key any = part
			if n, err := number(part); err == nil {
				key = n
			}
			var err error
			if x, err = s.item(x, key); err != nil {
				return nil, err
			}
		}
		return x, nil
	}, nil
}

// optional is getter for an argument that may be missing or None.
func (s *state) optional(path any) (func(x any) (any, error), error) {
	if path == missing || path == nil {
		return func(x any) (any, error) { return x, nil }, nil
	}
	return s.getter(path)
}

func joinFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("join", 0, "d", "attribute")
	if err != nil {
		return nil, err
	}
	sep := ""
	if p[0] != missing {
		if sep, err = s.str(p[0]); err != nil {
			return nil, err
		}
	}
	get, err := s.optional(p[1])
	if err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	for i, e := range items {
		v, err := get(e)
		if err != nil {
			return nil, err
		}
		if parts[i], err = s.str(v); err != nil {
			return nil, err
		}
	}
	return s.joined(parts, sep)
}

func mapFilter(s *state, x any, a arguments) (any, error) {
	apply, err := s.mapper(a)
	if err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	out := &generator{}
	for _, e := range items {
		v, err := apply(e)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, v)
	}
	return out, nil
}

// mapper is what map does to an item: take an attribute, or apply a filter.
func (s *state) mapper(a arguments) (func(x any) (any, error), error) {
	if len(a.positional) > 0 {
		name, err := argString("map", a.positional[0])
		if err != nil {
			return nil, err
		}
		rest := arguments{a.positional[1:], a.named}
		return func(x any) (any, error) { return s.filter(name, x, rest) }, nil
	}
	p, err := a.take("map", 1, "attribute", "default")
	if err != nil {
		return nil, err
	}
	get, err := s.getter(p[0])
	if err != nil {
		return nil, err
	}
	return func(x any) (any, error) {
		v, err := get(x)
		if _, none := v.(*undefined); none && err == nil && p[1] != missing {
			return p[1], nil
		}
		return v, err
	}, nil
}

// selection is select, reject, selectattr or rejectattr.
func selection(byAttr, keep bool) filter {
	return func(s *state, x any, a arguments) (any, error) {
		get, rest := func(x any) (any, error) { return x, nil }, a.positional
		if byAttr {
			if len(rest) == 0 {
				return nil, errors.New("missing parameter for attribute name")
			}
			var err error
			if get, err = s.getter(rest[0]); err != nil {
				return nil, err
			}
			rest = rest[1:]
		}
		test := func(x any) (bool, error) { return truth(x) }
		if len(rest) > 0 {
			name, err := argString("the test", rest[0])
			if err != nil {
				return nil, err
			}
			args := arguments{rest[1:], a.named}
			test = func(x any) (bool, error) { return s.test(name, x, args) }
		}
		items, err := s.iterate(x)
		if err != nil {
			return nil, err
		}
		out := &generator{}
		for _, e := range items {
			v, err := get(e)
			if err != nil {
				return nil, err
			}
			yes, err := test(v)
			if err != nil {
				return nil, err
			}
			if yes == keep {
				out.items = append(out.items, e)
			}
		}
		return out, s.charge(len(items))
	}
}

// folded is what sort, unique, min and max compare: strings without case, unless they are told to mind it.
func folded(v any, sensitive bool) any {
	if text, ok := asString(v); ok && !sensitive {
		return lower(text)
	}
	return v
}

// sorted orders items by key, stably.
func (s *state) sorted(items []any, reverse bool, key func(x any) (any, error)) ([]any, error) {
	type keyed struct{ key, item any }
	all := make([]keyed, len(items))
	for i, e := range items {
		k, err := key(e)
		if err != nil {
			return nil, err
		}
		all[i] = keyed{k, e}
	}
	var failed error
	slices.SortStableFunc(all, func(a, b keyed) int {
		if failed != nil {
			return 0
		}
		c, err := s.order("<", a.key, b.key, 0)
		failed = err
		if reverse {
			return -c
		}
		return c
	})
	out := make([]any, len(items))
	for i, k := range all {
		out[i] = k.item
	}
	return out, failed
}

func sortFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("sort", 0, "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	reverse, err := argBool(p[0], false)
	if err != nil {
		return nil, err
	}
	sensitive, err := argBool(p[1], false)
	if err != nil {
		return nil, err
	}
	if text, ok := p[2].(string); ok && strings.Contains(text, ",") {
		return nil, errors.New("several attributes are not supported by this renderer")
	}
	get, err := s.optional(p[2])
	if err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	items, err = s.sorted(items, reverse, func(x any) (any, error) {
		v, err := get(x)
		return folded(v, sensitive), err
	})
	return &List{Items: items}, err
}

func dictsortFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("dictsort", 0, "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	sensitive, err := argBool(p[0], false)
	if err != nil {
		return nil, err
	}
	at := 0
	switch p[1] {
	case missing, "key":
	case "value":
		at = 1
	default:
		return nil, errors.New(`you can only sort by either "key" or "value"`)
	}
	reverse, err := argBool(p[2], false)
	if err != nil {
		return nil, err
	}
	d, ok := x.(*Mapping)
	if !ok {
		return nil, argType("dictsort", "a dictionary", x)
	}
	pairs, err := s.pairs(d)
	if err != nil {
		return nil, err
	}
	pairs, err = s.sorted(pairs, reverse, func(x any) (any, error) { return folded(x.(*List).Items[at], sensitive), nil })
	return &List{Items: pairs}, err
}

// extreme is max (sign 1) or min (−1).
func extreme(sign int) filter {
	return func(s *state, x any, a arguments) (any, error) {
		p, err := a.take("max and min", 0, "case_sensitive", "attribute")
		if err != nil {
			return nil, err
		}
		sensitive, err := argBool(p[0], false)
		if err != nil {
			return nil, err
		}
		get, err := s.optional(p[1])
		if err != nil {
			return nil, err
		}
		items, err := s.iterate(x)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return &undefined{"no aggregated item, sequence was empty."}, nil
		}
		var best, bestKey any
		for i, e := range items {
			v, err := get(e)
			if err != nil {
				return nil, err
			}
			k := folded(v, sensitive)
			c := 1
			if i > 0 {
				if c, err = s.order("<", k, bestKey, 0); err != nil {
					return nil, err
				}
			}
			if i == 0 || c*sign > 0 {
				best, bestKey = e, k
			}
		}
		return best, nil
	}
}

func sumFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("sum", 0, "attribute", "start")
	if err != nil {
		return nil, err
	}
	get, err := s.optional(p[0])
	if err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	total := p[1]
	if total == missing {
		total = int64(0)
	}
	if _, ok := asString(total); ok {
		return nil, errors.New("sum() can't sum strings")
	}
	for _, e := range items {
		v, err := get(e)
		if err != nil {
			return nil, err
		}
		if total, err = s.binary("+", total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func uniqueFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("unique", 0, "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	sensitive, err := argBool(p[0], false)
	if err != nil {
		return nil, err
	}
	get, err := s.optional(p[1])
	if err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	out, seen := &generator{}, newMapping(0)
	for _, e := range items {
		v, err := get(e)
		if err != nil {
			return nil, err
		}
		k := folded(v, sensitive)
		if _, ok := seen.at(k); ok {
			continue
		}
		if !seen.put(k, true) {
			return nil, fmt.Errorf("unhashable type: '%s'", typeName(k))
		}
		out.items = append(out.items, e)
	}
	return out, s.charge(len(items))
}
