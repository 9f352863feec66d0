package jinja

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A jsonWriter writes what Python's json.dumps writes, as transformers' tojson asks for it: characters as they are.
type jsonWriter struct {
	s            *state
	b            strings.Builder
	ascii, sort  bool
	indent       string
	lines        bool // one item a line
	comma, colon string
}

func tojson(s *state, x any, a arguments) (any, error) {
	p, err := a.take("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{s: s, comma: ", ", colon: ": "}
	if w.ascii, err = argBool(p[0], false); err != nil {
		return nil, err
	}
	if w.sort, err = argBool(p[3], false); err != nil {
		return nil, err
	}
	if err := w.setIndent(p[1]); err != nil {
		return nil, err
	}
	if err := w.setSeparators(p[2]); err != nil {
		return nil, err
	}
	if err := w.write(x, 0); err != nil {
		return nil, err
	}
	return w.b.String(), nil
}

func (w *jsonWriter) setIndent(v any) error {
	switch t := v.(type) {
	case nil, absent:
		return nil
	case string:
		w.indent = t
	default:
		n, ok := asInt(v)
		if !ok || n > 1000 {
			return argType("tojson's indent", "a number up to 1000 or a string", v)
		}
		w.indent = strings.Repeat(" ", int(max(n, 0)))
	}
	w.lines, w.comma = true, ","
	return nil
}

func (w *jsonWriter) setSeparators(v any) error {
	if v == nil || v == missing {
		return nil
	}
	l, ok := v.(*List)
	if !ok || len(l.Items) != 2 {
		return argType("tojson's separators", "two strings", v)
	}
	var err error
	if w.comma, err = argString("tojson's separators", l.Items[0]); err != nil {
		return err
	}
	w.colon, err = argString("tojson's separators", l.Items[1])
	return err
}

func (w *jsonWriter) write(v any, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if err := w.s.charge(1); err != nil {
		return err
	}
	if w.b.Len() > w.s.limits.Text {
		return w.s.text(w.b.Len())
	}
	switch t := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(t))
	case int64:
		w.b.WriteString(strconv.FormatInt(t, 10))
	case float64:
		w.b.WriteString(jsonFloat(t))
	case string:
		return w.quote(t)
	case markup:
		return w.quote(string(t))
	case *List:
		return w.items('[', ']', len(t.Items), depth, func(i int) error { return w.write(t.Items[i], depth+1) })
	case *Mapping:
		return w.mapping(t, depth)
	case *unsupported:
		return t.err()
	default:
		return fmt.Errorf("object of type %s is not JSON serializable", typeName(v))
	}
	return nil
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return floatText(f)
}

// items writes n items between brackets.
func (w *jsonWriter) items(open, end byte, n, depth int, item func(i int) error) error {
	w.b.WriteByte(open)
	for i := range n {
		if i > 0 {
			w.b.WriteString(w.comma)
		}
		if err := w.newline(depth + 1); err != nil {
			return err
		}
		if err := item(i); err != nil {
			return err
		}
	}
	if n > 0 {
		if err := w.newline(depth); err != nil {
			return err
		}
	}
	w.b.WriteByte(end)
	return nil
}

func (w *jsonWriter) newline(depth int) error {
	if !w.lines {
		return nil
	}
	w.b.WriteByte('\n')
	for range depth {
		w.b.WriteString(w.indent)
		if w.b.Len() > w.s.limits.Text {
			return w.s.text(w.b.Len())
		}
	}
	return w.s.charge(1 + depth*len(w.indent)/16)
}

func (w *jsonWriter) mapping(d *Mapping, depth int) error {
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	if w.sort {
		for _, k := range d.keys {
			if _, ok := k.(string); !ok {
				return errors.New("tojson sorts only keys that are strings")
			}
		}
		slices.SortStableFunc(order, func(i, j int) int { return strings.Compare(d.keys[i].(string), d.keys[j].(string)) })
	}
	return w.items('{', '}', len(order), depth, func(i int) error {
		key, err := jsonKey(d.keys[order[i]])
		if err != nil {
			return err
		}
		if err := w.quote(key); err != nil {
			return err
		}
		w.b.WriteString(w.colon)
		return w.write(d.values[order[i]], depth+1)
	})
}

func jsonKey(k any) (string, error) {
	switch t := k.(type) {
	case nil:
		return "null", nil
	case bool:
		return strconv.FormatBool(t), nil
	case int64:
		return strconv.FormatInt(t, 10), nil
	case float64:
		return jsonFloat(t), nil
	}
	return argString("tojson", k)
}

var jsonEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

func (w *jsonWriter) quote(text string) error {
	if err := w.s.text(len(text)); err != nil {
		return err
	}
	w.b.WriteByte('"')
	for _, r := range text {
		if e, ok := jsonEscapes[r]; ok {
			w.b.WriteString(e)
			continue
		}
		switch {
		case r < 0x20 || w.ascii && r >= utf8.RuneSelf-1 && r < 0x10000 && r != 0x7f:
			fmt.Fprintf(&w.b, `\u%04x`, r)
		case w.ascii && r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(&w.b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			w.b.WriteRune(r)
		}
	}
	w.b.WriteByte('"')
	return nil
}
