package jinja

import "errors"

// attribute is what getattr finds on a value; ok is false where there is no such attribute. Attributes that change a
// value or lead out of the template are there and fail when used, as in Jinja's immutable sandbox.
func attribute(x any, name string) (any, bool) {
	switch t := x.(type) {
	case string, markup:
		return stringAttribute(t, name)
	case *Mapping:
		if m, ok := dictMethods[name]; ok {
			return &function{name, func(s *state, a arguments) (any, error) { return m(s, t, a) }}, true
		}
	case *List:
		if m, ok := listMethods[name]; ok {
			return &function{name, func(s *state, a arguments) (any, error) { return m(s, t, a) }}, true
		}
	case *loop:
		return t.attr(name)
	case *namespace:
		return t.fields.at(name)
	}
	if unsafe[typeName(x)+"."+name] {
		return &undefined{"access to attribute '" + name + "' of '" + typeName(x) + "' object is unsafe."}, true
	}
	if unbuilt[typeName(x)+"."+name] {
		return &unsupported{"the method " + name + " of " + typeName(x)}, true
	}
	return nil, false
}

// unsafe are the methods that the immutable sandbox keeps from templates.
var unsafe = set("list.append", "list.clear", "list.extend", "list.insert", "list.pop", "list.remove", "list.reverse", "list.sort",
	"dict.clear", "dict.pop", "dict.popitem", "dict.setdefault", "dict.update")

// unbuilt are methods that Python has and this package has not.
var unbuilt = set("dict.fromkeys", "int.bit_length", "int.to_bytes", "int.conjugate", "int.real", "int.imag",
	"float.is_integer", "float.hex", "float.real", "float.imag", "range.start", "range.stop", "range.step", "range.count", "range.index")

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}

var dictMethods = map[string]func(s *state, d *Mapping, a arguments) (any, error){
	"get": func(_ *state, d *Mapping, a arguments) (any, error) {
		p, err := a.take("get", 1, "key", "default")
		if err != nil {
			return nil, err
		}
		if v, ok := d.at(p[0]); ok {
			return v, nil
		}
		if p[1] == missing {
			return nil, nil
		}
		return p[1], nil
	},
	"keys": func(s *state, d *Mapping, a arguments) (any, error) {
		return &view{"dict_keys", d.keys}, a.none("keys")
	},
	"values": func(s *state, d *Mapping, a arguments) (any, error) {
		return &view{"dict_values", d.values}, a.none("values")
	},
	"items": func(s *state, d *Mapping, a arguments) (any, error) {
		if err := a.none("items"); err != nil {
			return nil, err
		}
		pairs, err := s.pairs(d)
		return &view{"dict_items", pairs}, err
	},
	"copy": func(s *state, d *Mapping, a arguments) (any, error) { return d, a.none("copy") }, // it can't be changed
}

func (s *state) pairs(d *Mapping) ([]any, error) {
	out := make([]any, d.Len())
	for i, k := range d.keys {
		out[i] = &List{Items: []any{k, d.values[i]}, Tuple: true}
	}
	return out, s.charge(len(out))
}

var listMethods = map[string]func(s *state, l *List, a arguments) (any, error){
	"index": func(s *state, l *List, a arguments) (any, error) {
		p, err := a.take("index", 1, "value")
		if err != nil {
			return nil, err
		}
		for i, e := range l.Items {
			if same, err := s.equal(e, p[0], 0); err != nil || same {
				return int64(i), err
			}
		}
		return nil, errors.New("the value is not in the list")
	},
	"count": func(s *state, l *List, a arguments) (any, error) {
		p, err := a.take("count", 1, "value")
		if err != nil {
			return nil, err
		}
		n := int64(0)
		for _, e := range l.Items {
			same, err := s.equal(e, p[0], 0)
			if err != nil {
				return nil, err
			}
			if same {
				n++
			}
		}
		return n, nil
	},
	"copy": func(_ *state, l *List, a arguments) (any, error) { return l, a.none("copy") },
}
