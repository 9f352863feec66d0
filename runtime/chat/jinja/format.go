package jinja

import (
	"fmt"
	"strconv"
	"strings"
)

// percent is format % values, with %s, %d, %r, %f and %%. Widths, flags and names are not built.
func (s *state) percent(format string, values any) (any, error) {
	items := []any{values}
	if l, ok := values.(*List); ok && l.Tuple {
		items = l.Items
	}
	var b strings.Builder
	next := 0
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			break
		}
		b.WriteString(format[:i])
		if i+1 == len(format) {
			return nil, fmt.Errorf("incomplete format")
		}
		verb := format[i+1]
		format = format[i+2:]
		if verb == '%' {
			b.WriteByte('%')
			continue
		}
		if next == len(items) {
			return nil, fmt.Errorf("not enough arguments for format string")
		}
		if err := s.verb(&b, verb, items[next]); err != nil {
			return nil, err
		}
		next++
		if err := s.text(b.Len()); err != nil {
			return nil, err
		}
	}
	if _, dict := values.(*Mapping); next < len(items) && !dict {
		return nil, fmt.Errorf("not all arguments converted during string formatting")
	}
	return b.String() + format, s.text(b.Len() + len(format))
}

func (s *state) verb(b *strings.Builder, verb byte, v any) error {
	switch verb {
	case 's':
		text, err := s.str(v)
		b.WriteString(text)
		return err
	case 'r':
		return s.repr(b, v, 0)
	case 'd', 'i':
		f, ok := asFloat(v)
		n, whole := asInt(v)
		if !ok {
			return fmt.Errorf("%%d format: a real number is required, not %s", typeName(v))
		}
		if !whole {
			n = int64(f)
		}
		b.WriteString(strconv.FormatInt(n, 10))
		return nil
	case 'f':
		f, ok := asFloat(v)
		if !ok {
			return fmt.Errorf("must be real number, not %s", typeName(v))
		}
		b.WriteString(strconv.FormatFloat(f, 'f', 6, 64))
		return nil
	}
	return (&unsupported{fmt.Sprintf("the format %%%c", verb)}).err()
}

// formatMethod is str.format with fields {}, {0} and {name}. Attributes, conversions and format specifications are not
// built.
func formatMethod(s *state, text string, a arguments) (any, error) {
	var b strings.Builder
	next := 0
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		if strings.HasPrefix(text[i:], "{{") || strings.HasPrefix(text[i:], "}}") {
			b.WriteByte(text[i])
			text = text[i+2:]
			continue
		}
		end := strings.IndexByte(text[i:], '}')
		if text[i] == '}' || end < 0 {
			return nil, fmt.Errorf("single '%c' encountered in format string", text[i])
		}
		v, err := a.field(text[i+1:i+end], &next)
		if err != nil {
			return nil, err
		}
		part, err := s.str(v)
		if err != nil {
			return nil, err
		}
		b.WriteString(part)
		text = text[i+end+1:]
		if err := s.text(b.Len()); err != nil {
			return nil, err
		}
	}
	return b.String() + text, s.text(b.Len() + len(text))
}

// field is the argument that a field of format names.
func (a arguments) field(field string, next *int) (any, error) {
	if strings.ContainsAny(field, ".[!:{") {
		return nil, (&unsupported{fmt.Sprintf("the format field {%s}", field)}).err()
	}
	i, err := strconv.Atoi(field)
	if field == "" {
		i, err = *next, nil
		*next++
	}
	if err != nil {
		if v, ok := a.get(field); ok {
			return v, nil
		}
		return nil, fmt.Errorf("the format field %s has no argument", field)
	}
	if i < 0 || i >= len(a.positional) {
		return nil, fmt.Errorf("replacement index %d out of range for positional args tuple", i)
	}
	return a.positional[i], nil
}
