package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxRange is what the sandbox of Jinja lets range give.
const maxRange = 100_000

// globals are the names that every template has.
var globals = map[string]any{
	"range":           &function{"range", rangeGlobal},
	"dict":            &function{"dict", dictGlobal},
	"namespace":       &function{"namespace", namespaceGlobal},
	"joiner":          &function{"joiner", joinerGlobal},
	"cycler":          &unsupported{"cycler"},
	"lipsum":          &unsupported{"lipsum"},
	"raise_exception": &function{"raise_exception", raiseGlobal},
	"strftime_now":    &function{"strftime_now", strftimeGlobal},
}

func rangeGlobal(s *state, a arguments) (any, error) {
	var v [3]int64
	if n := len(a.positional); n < 1 || n > 3 || a.named != nil {
		return nil, errors.New("range wants one to three numbers")
	}
	for i, x := range a.positional {
		var err error
		if v[i], err = argInt("range", x, 0); err != nil {
			return nil, err
		}
	}
	r := &span{start: v[0], stop: v[1], step: v[2]}
	switch len(a.positional) {
	case 1:
		r.start, r.stop, r.step = 0, v[0], 1
	case 2:
		r.step = 1
	}
	const far = 1 << 40
	for _, n := range []int64{r.start, r.stop, r.step} {
		if n > far || n < -far {
			return nil, errors.New("range wants smaller numbers")
		}
	}
	switch {
	case r.step == 0:
		return nil, errors.New("range() arg 3 must not be zero")
	case r.step > 0 && r.stop > r.start:
		r.n = (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.stop < r.start:
		r.n = (r.start-r.stop-1)/-r.step + 1
	}
	if r.n > maxRange {
		return nil, &LimitError{fmt.Sprintf("asks for a range of %d numbers; the sandbox allows %d", r.n, maxRange)}
	}
	return r, nil
}

// dictGlobal is dict(mapping or pairs, name=value, …).
func dictGlobal(s *state, a arguments) (any, error) {
	d := newMapping(0)
	if len(a.positional) > 1 {
		return nil, errors.New("dict wants at most one mapping")
	}
	for _, x := range a.positional {
		if err := s.fill(d, x); err != nil {
			return nil, err
		}
	}
	if a.named != nil {
		return d, s.fill(d, a.named)
	}
	return d, nil
}

func (s *state) fill(d *Mapping, x any) error {
	if m, ok := x.(*Mapping); ok {
		for i, k := range m.keys {
			d.put(k, m.values[i])
		}
		return s.charge(m.Len())
	}
	items, err := s.iterate(x)
	if err != nil {
		return err
	}
	for _, e := range items {
		pair, err := s.iterate(e)
		if err != nil {
			return err
		}
		if len(pair) != 2 || !d.put(pair[0], pair[1]) {
			return errors.New("dict wants pairs of a key and a value")
		}
	}
	return s.charge(len(items))
}

func namespaceGlobal(s *state, a arguments) (any, error) {
	d, err := dictGlobal(s, a)
	if err != nil {
		return nil, err
	}
	return &namespace{d.(*Mapping)}, nil
}

// joinerGlobal gives a function whose first call gives nothing, and every other the separator.
func joinerGlobal(_ *state, a arguments) (any, error) {
	p, err := a.take("joiner", 0, "sep")
	if err != nil {
		return nil, err
	}
	if p[0] == missing {
		p[0] = ", "
	}
	used := false
	return &function{"joiner", func(_ *state, a arguments) (any, error) {
		if !used {
			used = true
			return "", a.none("joiner")
		}
		return p[0], a.none("joiner")
	}}, nil
}

func raiseGlobal(s *state, a arguments) (any, error) {
	p, err := a.take("raise_exception", 1, "message")
	if err != nil {
		return nil, err
	}
	text, err := s.str(p[0])
	if err != nil {
		return nil, err
	}
	return nil, &RaisedError{text}
}

func strftimeGlobal(s *state, a arguments) (any, error) {
	p, err := a.take("strftime_now", 1, "format")
	if err != nil {
		return nil, err
	}
	format, err := argString("strftime_now", p[0])
	if err != nil {
		return nil, err
	}
	return strftime(s.limits.Now, format)
}

// timeFormats are strftime's directives in the C locale, as layouts of Go.
var timeFormats = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05",
	'D': "01/02/06", 'R': "15:04", 'f': "000000", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// strftime is Python's datetime.strftime for a time without a zone.
func strftime(now time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		layout, ok := timeFormats[format[i]]
		switch {
		case format[i] == '%':
			b.WriteByte('%')
		case format[i] == '-' && i+1 < len(format) && strings.IndexByte("dmHIMSj", format[i+1]) >= 0: // without leading zeros
			i++
			text := strings.TrimLeft(now.Format(timeFormats[format[i]]), "0")
			if text == "" {
				text = "0"
			}
			b.WriteString(text)
		case format[i] == 'f':
			fmt.Fprintf(&b, "%06d", now.Nanosecond()/1000)
		case format[i] == 'Z' || format[i] == 'z': // nothing, for there is no zone
		case ok:
			b.WriteString(now.Format(layout))
		default:
			return "", (&unsupported{fmt.Sprintf("strftime's %%%c", format[i])}).err()
		}
	}
	return b.String(), nil
}
