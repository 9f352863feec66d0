package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str(v): what {{ v }} prints.
func (s *state) str(v any) (string, error) {
	switch t := v.(type) {
	case string:
		return t, nil
	case markup:
		return string(t), nil
	case *undefined:
		return "", nil
	}
	var b strings.Builder
	err := s.repr(&b, v, 0)
	return b.String(), err
}

// repr is Python's repr(v).
func (s *state) repr(b *strings.Builder, v any, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if err := s.charge(1); err != nil {
		return err
	}
	switch t := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[t])
	case int64:
		b.WriteString(strconv.FormatInt(t, 10))
	case float64:
		b.WriteString(floatText(t))
	case string:
		if err := s.charge(len(t)); err != nil {
			return err
		}
		quote(b, t)
	case *undefined:
		b.WriteString("Undefined")
	case *List:
		return s.reprList(b, t, depth)
	case *Mapping:
		return s.reprMapping(b, t, depth)
	case *view:
		b.WriteString(t.name + "(")
		if err := s.repr(b, &List{Items: t.items}, depth+1); err != nil {
			return err
		}
		b.WriteString(")")
	case *span:
		fmt.Fprintf(b, "range(%d, %d", t.start, t.stop)
		if t.step != 1 {
			fmt.Fprintf(b, ", %d", t.step)
		}
		b.WriteString(")")
	case *unsupported:
		return t.err()
	default:
		return fmt.Errorf("a %s can't be printed", typeName(v)) // Python prints where it lies in memory
	}
	return nil
}

func (s *state) reprList(b *strings.Builder, l *List, depth int) error {
	open, end := "[", "]"
	if l.Tuple {
		open, end = "(", ")"
		if len(l.Items) == 1 {
			end = ",)"
		}
	}
	b.WriteString(open)
	for i, e := range l.Items {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := s.repr(b, e, depth+1); err != nil {
			return err
		}
	}
	b.WriteString(end)
	return nil
}

func (s *state) reprMapping(b *strings.Builder, d *Mapping, depth int) error {
	b.WriteString("{")
	for i, k := range d.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := s.repr(b, k, depth+1); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := s.repr(b, d.values[i], depth+1); err != nil {
			return err
		}
	}
	b.WriteString("}")
	return nil
}

// quote writes a string as Python's repr does.
func quote(b *strings.Builder, s string) {
	q := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		q = '"'
	}
	b.WriteRune(q)
	for _, r := range s {
		switch {
		case r == q || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteRune(q)
}

// floatText is Python's repr of a float: the shortest digits that read back as it, an exponent below 1e-4 and from 1e16.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f == 0:
		return map[bool]string{true: "-0.0", false: "0.0"}[math.Signbit(f)]
	}
	if a := math.Abs(f); a < 1e-4 || a >= 1e16 {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
