package jinja

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

type filter = func(s *state, x any, a arguments) (any, error)

var filters map[string]filter

func init() { // filled here, for map's table leads back to it
	filters = map[string]filter{
		"abs": absFilter, "attr": attrFilter, "batch": batchFilter, "capitalize": texts(capitalize), "center": centerFilter,
		"count": lengthFilter, "d": defaultFilter, "default": defaultFilter, "dictsort": dictsortFilter, "first": firstFilter,
		"float": floatFilter, "format": formatFilter, "indent": indentFilter, "int": intFilter, "items": itemsFilter,
		"join": joinFilter, "last": lastFilter, "length": lengthFilter, "list": listFilter, "lower": texts(lower),
		"map": mapFilter, "max": extreme(1), "min": extreme(-1), "reject": selection(false, false),
		"rejectattr": selection(true, false), "replace": replaceFilter, "reverse": reverseFilter, "round": roundFilter,
		"safe": markFilter(false), "e": markFilter(true), "escape": markFilter(true), "select": selection(false, true),
		"selectattr": selection(true, true), "sort": sortFilter, "string": stringFilter, "sum": sumFilter,
		"title": texts(titleFilter), "tojson": tojson, "trim": trimFilter, "unique": uniqueFilter, "upper": texts(upper),
		"wordcount": wordcountFilter,
	}
}

// unbuiltFilters are filters that Jinja has and this package has not.
var unbuiltFilters = set("filesizeformat", "forceescape", "groupby", "pprint", "random", "slice", "striptags", "truncate",
	"urlencode", "urlize", "wordwrap", "xmlattr")

func (s *state) filter(name string, x any, a arguments) (any, error) {
	if err := s.charge(1); err != nil {
		return nil, err
	}
	if u, ok := x.(*unsupported); ok {
		return nil, u.err()
	}
	f, ok := filters[name]
	switch {
	case ok:
		v, err := f(s, x, a)
		if err != nil {
			return nil, within("filter "+name, err)
		}
		return v, nil
	case unbuiltFilters[name]:
		return nil, (&unsupported{"the filter " + name}).err()
	}
	return nil, fmt.Errorf("no filter named '%s'", name)
}

// within says where an error comes from, unless it is one of a type that callers look for.
func within(what string, err error) error {
	var raised *RaisedError
	var limit *LimitError
	if errors.As(err, &raised) || errors.As(err, &limit) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// texts is a filter of the text of a value.
func texts(f func(string) string) filter {
	return func(s *state, x any, a arguments) (any, error) {
		if err := a.none("the filter"); err != nil {
			return nil, err
		}
		text, err := s.str(x)
		if err != nil {
			return nil, err
		}
		return f(text), s.text(2 * len(text))
	}
}

// titleFilter starts words after blanks and opening brackets only, unlike str.title.
func titleFilter(text string) string {
	var b strings.Builder
	start := true
	for _, r := range text {
		if start {
			b.WriteString(upper(string(r)))
		} else {
			b.WriteString(lower(string(r)))
		}
		start = isSpace(r) || strings.ContainsRune("-({[<", r)
	}
	return b.String()
}

func absFilter(_ *state, x any, a arguments) (any, error) {
	switch t := number64(x).(type) {
	case int64:
		if t == math.MinInt64 {
			return nil, errOverflow
		}
		return max(t, -t), a.none("abs")
	case float64:
		return math.Abs(t), a.none("abs")
	}
	return nil, argType("abs", "a number", x)
}

func attrFilter(_ *state, x any, a arguments) (any, error) {
	p, err := a.take("attr", 1, "name")
	if err != nil {
		return nil, err
	}
	key, err := argString("attr", p[0])
	if err != nil {
		return nil, err
	}
	if v, ok := attribute(x, key); ok {
		return v, nil
	}
	return &undefined{fmt.Sprintf("'%s object' has no attribute '%s'", typeName(x), key)}, nil
}

func batchFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("batch", 1, "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := argInt("batch", p[0], 0)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("a batch of %d", n)
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	out := &generator{}
	for part := range slices.Chunk(items, int(min(n, math.MaxInt32))) {
		row := slices.Clone(part)
		if p[1] != missing && p[1] != nil {
			if err := s.charge(int(min(n, math.MaxInt32)) - len(row)); err != nil {
				return nil, err
			}
			for int64(len(row)) < n {
				row = append(row, p[1])
			}
		}
		out.items = append(out.items, &List{Items: row})
	}
	return out, s.charge(len(items))
}

func centerFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("center", 0, "width")
	if err != nil {
		return nil, err
	}
	width, err := argInt("center", p[0], 80)
	if err != nil {
		return nil, err
	}
	text, err := s.str(x)
	if err != nil {
		return nil, err
	}
	return s.pad("center", text, width, " ")
}

func defaultFilter(_ *state, x any, a arguments) (any, error) {
	p, err := a.take("default", 0, "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	empty, err := argBool(p[1], false)
	if err != nil {
		return nil, err
	}
	_, use := x.(*undefined)
	if empty && !use {
		yes, err := truth(x)
		if err != nil {
			return nil, err
		}
		use = !yes
	}
	switch {
	case !use:
		return x, nil
	case p[0] == missing:
		return "", nil
	}
	return p[0], nil
}

func firstFilter(s *state, x any, a arguments) (any, error) {
	return s.end(x, a, "first", func(items []any) any { return items[0] })
}

func lastFilter(s *state, x any, a arguments) (any, error) {
	if _, ok := x.(*generator); ok {
		return nil, errors.New("a generator is not reversible")
	}
	return s.end(x, a, "last", func(items []any) any { return items[len(items)-1] })
}

func (s *state) end(x any, a arguments, what string, pick func([]any) any) (any, error) {
	if err := a.none(what); err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return &undefined{"no " + what + " item, sequence was empty."}, nil
	}
	if g, ok := x.(*generator); ok {
		g.items = items[1:] // first takes one only
	}
	return pick(items), nil
}

func floatFilter(_ *state, x any, a arguments) (any, error) {
	p, err := a.take("float", 0, "default")
	if err != nil {
		return nil, err
	}
	if f, ok := asFloat(x); ok {
		return f, nil
	}
	if u, ok := x.(*undefined); ok {
		return nil, u.err()
	}
	if text, ok := asString(x); ok {
		if f, ok := parseFloat(text); ok {
			return f, nil
		}
	}
	if p[0] == missing {
		return 0.0, nil
	}
	return p[0], nil
}

// digits takes blanks around a number and single underscores between its digits away; ok is false for other underscores.
func digits(text string) (string, bool) {
	text = strings.TrimFunc(text, isSpace)
	for i := range len(text) {
		isDigit := func(k int) bool { return k >= 0 && k < len(text) && text[k] >= '0' && text[k] <= '9' }
		if text[i] == '_' && !(isDigit(i-1) && isDigit(i+1)) {
			return "", false
		}
	}
	return strings.ReplaceAll(text, "_", ""), true
}

// parseFloat is Python's float(text).
func parseFloat(text string) (float64, bool) {
	text, ok := digits(text)
	if !ok || strings.ContainsAny(text, "xXpP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

func intFilter(_ *state, x any, a arguments) (any, error) {
	p, err := a.take("int", 0, "default", "base")
	if err != nil {
		return nil, err
	}
	base, err := argInt("int", p[1], 10)
	if err != nil {
		return nil, err
	}
	if base != 10 {
		return nil, errors.New("bases other than 10 are not supported by this renderer")
	}
	if u, ok := x.(*undefined); ok {
		return nil, u.err()
	}
	if n, ok := asInt(x); ok {
		return n, nil
	}
	f, ok := asFloat(x)
	if text, isText := asString(x); isText {
		if whole, fine := digits(text); fine {
			if n, err := strconv.ParseInt(whole, 10, 64); err == nil {
				return n, nil
			} else if errors.Is(err, strconv.ErrRange) {
				return nil, errOverflow
			}
		}
		f, ok = parseFloat(text)
	}
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		if p[0] == missing {
			return int64(0), nil
		}
		return p[0], nil
	}
	if math.Abs(f) >= 1<<63 {
		return nil, errOverflow
	}
	return int64(f), nil
}

func itemsFilter(s *state, x any, a arguments) (any, error) {
	if err := a.none("items"); err != nil {
		return nil, err
	}
	switch t := x.(type) {
	case *undefined:
		return &generator{}, nil
	case *Mapping:
		pairs, err := s.pairs(t)
		return &generator{pairs}, err
	}
	return nil, errors.New("can only get item pairs from a mapping")
}

func lengthFilter(s *state, x any, a arguments) (any, error) {
	if err := a.none("length"); err != nil {
		return nil, err
	}
	return s.length(x)
}

func listFilter(s *state, x any, a arguments) (any, error) {
	if err := a.none("list"); err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	return &List{Items: items}, err
}

func markFilter(escape bool) filter {
	return func(s *state, x any, a arguments) (any, error) {
		if err := a.none("the filter"); err != nil {
			return nil, err
		}
		text, err := s.str(x)
		if err != nil {
			return nil, err
		}
		if _, marked := x.(markup); escape && !marked {
			text = escaped(text)
		}
		return markup(text), s.text(len(text))
	}
}

func replaceFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("replace", 2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	n := int64(-1)
	if p[2] != nil {
		if n, err = argInt("replace", p[2], -1); err != nil {
			return nil, err
		}
	}
	text, err := s.str(x)
	if err != nil {
		return nil, err
	}
	for i := range 2 {
		if p[i], err = s.str(p[i]); err != nil {
			return nil, err
		}
	}
	return s.replace(text, p[0], p[1], n)
}

func reverseFilter(s *state, x any, a arguments) (any, error) {
	if err := a.none("reverse"); err != nil {
		return nil, err
	}
	items, err := s.iterate(x)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	if err := s.charge(len(items)); err != nil {
		return nil, err
	}
	if _, ok := x.(string); ok {
		var b strings.Builder
		for _, r := range items {
			b.WriteString(r.(string))
		}
		return b.String(), nil
	}
	return &generator{items}, nil
}

func roundFilter(_ *state, x any, a arguments) (any, error) {
	p, err := a.take("round", 0, "precision", "method")
	if err != nil {
		return nil, err
	}
	digits, err := argInt("round", p[0], 0)
	if err != nil {
		return nil, err
	}
	f, ok := asFloat(x)
	if !ok {
		return nil, argType("round", "a number", x)
	}
	if digits < 0 || digits > 300 {
		return nil, errors.New("a precision outside 0 to 300 is not supported by this renderer")
	}
	switch p[1] {
	case missing, "common":
		if n, whole := asInt(x); whole {
			return n, nil
		}
		rounded, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
		return rounded, err
	case "ceil":
		return math.Ceil(f*math.Pow10(int(digits))) / math.Pow10(int(digits)), nil
	case "floor":
		return math.Floor(f*math.Pow10(int(digits))) / math.Pow10(int(digits)), nil
	}
	return nil, errors.New("method must be common, ceil or floor")
}

func stringFilter(s *state, x any, a arguments) (any, error) {
	if err := a.none("string"); err != nil {
		return nil, err
	}
	if m, ok := x.(markup); ok {
		return m, nil
	}
	return s.str(x)
}

func formatFilter(s *state, x any, a arguments) (any, error) {
	if a.named != nil {
		return nil, errors.New("names are not supported by this renderer")
	}
	text, err := s.str(x)
	if err != nil {
		return nil, err
	}
	return s.percent(text, &List{Items: a.positional, Tuple: true})
}

func trimFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("trim", 0, "chars")
	if err != nil {
		return nil, err
	}
	text, err := s.str(x)
	if err != nil {
		return nil, err
	}
	v, err := strip(true, true)(s, text, arguments{positional: p})
	if _, marked := x.(markup); marked && err == nil {
		return markup(v.(string)), nil
	}
	return v, err
}

func wordcountFilter(s *state, x any, a arguments) (any, error) {
	if err := a.none("wordcount"); err != nil {
		return nil, err
	}
	text, err := s.str(x)
	if err != nil {
		return nil, err
	}
	n, inside := int64(0), false
	for _, r := range text {
		word := r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
		if word && !inside {
			n++
		}
		inside = word
	}
	return n, s.text(len(text))
}

func indentFilter(s *state, x any, a arguments) (any, error) {
	p, err := a.take("indent", 0, "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	indention := "    "
	if text, ok := asString(p[0]); ok {
		indention = text
	} else if p[0] != missing {
		width, err := argInt("indent", p[0], 4)
		if err != nil {
			return nil, err
		}
		if width > 1000 {
			return nil, fmt.Errorf("a width of %d is more than 1000", width)
		}
		indention = strings.Repeat(" ", int(max(width, 0)))
	}
	first, err := argBool(p[1], false)
	if err != nil {
		return nil, err
	}
	blank, err := argBool(p[2], false)
	if err != nil {
		return nil, err
	}
	text, ok := asString(x)
	if !ok {
		return nil, argType("indent", "a string", x)
	}
	parts := lines(text+"\n", false)
	if err := s.text(len(text) + len(parts)*(len(indention)+1)); err != nil {
		return nil, err
	}
	for i := range parts {
		if i > 0 && (blank || parts[i] != "") || i == 0 && first {
			parts[i] = indention + parts[i]
		}
	}
	return strings.Join(parts, "\n"), nil
}
