package jinja

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// stringAttribute is a method of a string. Those of a Markup are built only where their result does not depend on it.
func stringAttribute(x any, name string) (any, bool) {
	text, _ := asString(x)
	m, ok := stringMethods[name]
	_, marked := x.(markup)
	switch {
	case ok && !marked:
		return &function{name, func(s *state, a arguments) (any, error) {
			if err := s.text(len(text)); err != nil {
				return nil, err
			}
			return m(s, text, a)
		}}, true
	case ok || unbuiltString[name]:
		return &unsupported{fmt.Sprintf("the method %s of %s", name, typeName(x))}, true
	}
	return nil, false
}

var unbuiltString = set("casefold", "encode", "expandtabs", "format_map", "isascii", "isidentifier", "isprintable", "istitle",
	"maketrans", "translate", "isdecimal", "isnumeric")

type stringMethod = func(s *state, text string, a arguments) (any, error)

var stringMethods map[string]stringMethod

func init() { // filled here, for format's table leads back to it
	stringMethods = map[string]stringMethod{
		"upper": plain(strings.ToUpper, upper), "lower": plain(strings.ToLower, lower), "title": plain(nil, title),
		"capitalize": plain(nil, capitalize), "swapcase": plain(nil, swapcase),
		"strip": strip(true, true), "lstrip": strip(true, false), "rstrip": strip(false, true),
		"split": splitMethod(false), "rsplit": splitMethod(true), "splitlines": splitlines,
		"partition": partition(strings.Index), "rpartition": rpartition,
		"startswith": affix("startswith", strings.HasPrefix), "endswith": affix("endswith", strings.HasSuffix),
		"removeprefix": trimAffix("removeprefix", strings.TrimPrefix), "removesuffix": trimAffix("removesuffix", strings.TrimSuffix),
		"replace": replaceMethod, "find": find("find", strings.Index), "rfind": find("rfind", strings.LastIndex),
		"index": find("index", strings.Index), "rindex": find("rindex", strings.LastIndex), "count": countMethod,
		"join": joinMethod, "format": formatMethod, "zfill": zfill,
		"ljust": justify("ljust"), "rjust": justify("rjust"), "center": justify("center"),
		"isdigit": every(func(r rune) bool { return unicode.Is(unicode.Nd, r) || isSuperscript(r) }), "isalpha": every(unicode.IsLetter),
		"isalnum": every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }), "isspace": every(isSpace),
		"isupper": cased(unicode.IsUpper), "islower": cased(unicode.IsLower),
	}
}

func isSuperscript(r rune) bool {
	return r == '²' || r == '³' || r == '¹' || r >= '⁰' && r <= '⁹' || r >= '₀' && r <= '₉' || r >= '①' && r <= '⑨'
}

// The cases of whole texts have special rules (ß → SS) that Go's strings package leaves out.
func upper(s string) string { return cases.Upper(language.Und).String(s) }
func lower(s string) string { return cases.Lower(language.Und).String(s) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// plain is a method without arguments; ascii, if not nil, is its faster form.
func plain(ascii, full func(string) string) stringMethod {
	return func(s *state, text string, a arguments) (any, error) {
		if err := a.none("the method"); err != nil {
			return nil, err
		}
		if ascii != nil && isASCII(text) {
			return ascii(text), nil
		}
		return full(text), s.charge(len(text))
	}
}

func capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return titleCase(s[:n]) + lower(s[n:])
}

func titleCase(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if t := unicode.ToTitle(r); n == len(s) && t != r {
		return string(t)
	}
	return cases.Title(language.Und, cases.NoLower).String(s)
}

// title is Python's: a letter after what is not cased is large, the rest small.
func title(s string) string {
	var b strings.Builder
	before := false
	for _, r := range s {
		if before {
			b.WriteString(lower(string(r)))
		} else {
			b.WriteString(titleCase(string(r)))
		}
		before = isCased(r)
	}
	return b.String()
}

func isCased(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) }

func swapcase(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteString(lower(string(r)))
		} else {
			b.WriteString(upper(string(r)))
		}
	}
	return b.String()
}

func strip(left, right bool) stringMethod {
	return func(s *state, text string, a arguments) (any, error) {
		p, err := a.take("strip", 0, "chars")
		if err != nil {
			return nil, err
		}
		cut := isSpace
		if p[0] != missing && p[0] != nil {
			chars, err := argString("strip", p[0])
			if err != nil {
				return nil, err
			}
			cut = func(r rune) bool { return strings.ContainsRune(chars, r) }
			if err := s.charge(len(chars) * len(text) / 64); err != nil {
				return nil, err
			}
		}
		if left {
			text = strings.TrimLeftFunc(text, cut)
		}
		if right {
			text = strings.TrimRightFunc(text, cut)
		}
		return text, nil
	}
}

func list(parts []string) *List {
	l := &List{Items: make([]any, len(parts))}
	for i, p := range parts {
		l.Items[i] = p
	}
	return l
}

func splitMethod(fromRight bool) stringMethod {
	return func(s *state, text string, a arguments) (any, error) {
		p, err := a.take("split", 0, "sep", "maxsplit")
		if err != nil {
			return nil, err
		}
		most, err := argInt("split", p[1], -1)
		if err != nil {
			return nil, err
		}
		var parts []string
		if p[0] == missing || p[0] == nil {
			if err := s.charge(len(text) / 2); err != nil { // as many parts at most
				return nil, err
			}
			parts = splitSpace(text, most, fromRight)
		} else {
			sep, err := argString("split", p[0])
			if err != nil {
				return nil, err
			}
			if sep == "" {
				return nil, errors.New("empty separator")
			}
			if err := s.charge(strings.Count(text, sep) + 1); err != nil {
				return nil, err
			}
			parts = splitBy(text, sep, most, fromRight)
		}
		return list(parts), nil
	}
}

func splitBy(text, sep string, most int64, fromRight bool) []string {
	parts := strings.Split(text, sep)
	extra := len(parts) - 1 - int(min(most, int64(len(parts))))
	if most < 0 || extra <= 0 {
		return parts
	}
	if fromRight {
		return append([]string{strings.Join(parts[:extra+1], sep)}, parts[extra+1:]...)
	}
	keep := len(parts) - 1 - extra
	return append(parts[:keep:keep], strings.Join(parts[keep:], sep))
}

func splitSpace(text string, most int64, fromRight bool) []string {
	if fromRight {
		var parts []string
		for text = strings.TrimRightFunc(text, isSpace); text != ""; text = strings.TrimRightFunc(text, isSpace) {
			if most >= 0 && int64(len(parts)) == most {
				parts = append(parts, text)
				break
			}
			i := strings.LastIndexFunc(text, isSpace)
			_, width := utf8.DecodeRuneInString(text[max(i, 0):])
			if i < 0 {
				width = 0
			}
			parts = append(parts, text[max(i, 0)+width:])
			text = text[:max(i, 0)]
		}
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		return parts
	}
	var parts []string
	for text = strings.TrimLeftFunc(text, isSpace); text != ""; text = strings.TrimLeftFunc(text, isSpace) {
		i := strings.IndexFunc(text, isSpace)
		if i < 0 || most >= 0 && int64(len(parts)) == most {
			parts = append(parts, text)
			break
		}
		parts = append(parts, text[:i])
		text = text[i:]
	}
	return parts
}

// lineBreaks are where str.splitlines splits.
const lineBreaks = "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029"

func lines(text string, keep bool) []string {
	var out []string
	for text != "" {
		i := strings.IndexAny(text, lineBreaks)
		if i < 0 {
			return append(out, text)
		}
		_, width := utf8.DecodeRuneInString(text[i:])
		if strings.HasPrefix(text[i:], "\r\n") {
			width = 2
		}
		end := i
		if keep {
			end += width
		}
		out = append(out, text[:end])
		text = text[i+width:]
	}
	return out
}

func splitlines(s *state, text string, a arguments) (any, error) {
	p, err := a.take("splitlines", 0, "keepends")
	if err != nil {
		return nil, err
	}
	keep, err := argBool(p[0], false)
	if err != nil {
		return nil, err
	}
	if err := s.charge(len(text) / 8); err != nil {
		return nil, err
	}
	parts := lines(text, keep)
	return list(parts), s.charge(len(parts))
}

func tuple(items ...any) *List { return &List{Items: items, Tuple: true} }

func partition(index func(string, string) int) stringMethod {
	return func(_ *state, text string, a arguments) (any, error) {
		sep, i, err := separator("partition", text, a, index)
		if err != nil {
			return nil, err
		}
		if i < 0 {
			return tuple(text, "", ""), nil
		}
		return tuple(text[:i], sep, text[i+len(sep):]), nil
	}
}

func rpartition(_ *state, text string, a arguments) (any, error) {
	sep, i, err := separator("rpartition", text, a, strings.LastIndex)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		return tuple("", "", text), nil
	}
	return tuple(text[:i], sep, text[i+len(sep):]), nil
}

func separator(what, text string, a arguments, index func(string, string) int) (string, int, error) {
	p, err := a.take(what, 1, "sep")
	if err != nil {
		return "", 0, err
	}
	sep, err := argString(what, p[0])
	if err == nil && sep == "" {
		err = errors.New("empty separator")
	}
	return sep, index(text, sep), err
}

// affix is startswith or endswith, of one string or any of a tuple.
func affix(what string, has func(string, string) bool) stringMethod {
	return func(s *state, text string, a arguments) (any, error) {
		p, err := a.take(what, 1, "prefix") // start and end are not built: take refuses them
		if err != nil {
			return nil, err
		}
		candidates := []any{p[0]}
		if l, ok := p[0].(*List); ok && l.Tuple {
			candidates = l.Items
		}
		for _, c := range candidates {
			part, err := argString(what, c)
			if err != nil {
				return nil, err
			}
			if has(text, part) {
				return true, nil
			}
		}
		return false, s.charge(len(candidates))
	}
}

func trimAffix(what string, trim func(string, string) string) stringMethod {
	return func(_ *state, text string, a arguments) (any, error) {
		p, err := a.take(what, 1, "affix")
		if err != nil {
			return nil, err
		}
		part, err := argString(what, p[0])
		return trim(text, part), err
	}
}

func replaceMethod(s *state, text string, a arguments) (any, error) {
	p, err := a.take("replace", 2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	n, err := argInt("replace", p[2], -1)
	if err != nil {
		return nil, err
	}
	return s.replace(text, p[0], p[1], n)
}

func (s *state) replace(text string, oldValue, newValue any, n int64) (any, error) {
	before, err := argString("replace", oldValue)
	if err != nil {
		return nil, err
	}
	after, err := argString("replace", newValue)
	if err != nil {
		return nil, err
	}
	hits := int64(strings.Count(text, before))
	if n >= 0 {
		hits = min(hits, n)
	}
	if err := s.text(len(text)); err != nil {
		return nil, err
	}
	if grow := float64(hits) * float64(len(after)-len(before)); float64(len(text))+grow > float64(s.limits.Text) {
		return nil, s.text(s.limits.Text + 1)
	} else if err := s.text(len(text) + int(grow)); err != nil {
		return nil, err
	}
	return strings.Replace(text, before, after, int(max(min(n, hits), -1))), nil
}

// find gives the place of a part in characters, -1 or an error where it is not.
func find(what string, index func(string, string) int) stringMethod {
	return func(_ *state, text string, a arguments) (any, error) {
		p, err := a.take(what, 1, "sub")
		if err != nil {
			return nil, err
		}
		part, err := argString(what, p[0])
		if err != nil {
			return nil, err
		}
		i := index(text, part)
		if i < 0 {
			if strings.HasSuffix(what, "index") {
				return nil, errors.New("substring not found")
			}
			return int64(-1), nil
		}
		return int64(utf8.RuneCountInString(text[:i])), nil
	}
}

func countMethod(_ *state, text string, a arguments) (any, error) {
	p, err := a.take("count", 1, "sub")
	if err != nil {
		return nil, err
	}
	part, err := argString("count", p[0])
	return int64(strings.Count(text, part)), err
}

func joinMethod(s *state, sep string, a arguments) (any, error) {
	p, err := a.take("join", 1, "iterable")
	if err != nil {
		return nil, err
	}
	items, err := s.iterate(p[0])
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	for i, e := range items {
		if parts[i], err = argString("join", e); err != nil {
			return nil, err
		}
	}
	return s.joined(parts, sep)
}

func (s *state) joined(parts []string, sep string) (any, error) {
	n := len(sep) * max(len(parts)-1, 0)
	for _, p := range parts {
		n += len(p)
	}
	if err := s.text(n); err != nil {
		return nil, err
	}
	return strings.Join(parts, sep), nil
}

func zfill(s *state, text string, a arguments) (any, error) {
	p, err := a.take("zfill", 1, "width")
	if err != nil {
		return nil, err
	}
	width, err := argInt("zfill", p[0], 0)
	if err != nil {
		return nil, err
	}
	fill := width - int64(utf8.RuneCountInString(text))
	if fill <= 0 {
		return text, nil
	}
	if err := s.text(int(min(width, int64(s.limits.Text)+1))); err != nil {
		return nil, err
	}
	sign := ""
	if text != "" && (text[0] == '-' || text[0] == '+') {
		sign, text = text[:1], text[1:]
	}
	return sign + strings.Repeat("0", int(fill)) + text, nil
}

func justify(what string) stringMethod {
	return func(s *state, text string, a arguments) (any, error) {
		p, err := a.take(what, 1, "width", "fillchar")
		if err != nil {
			return nil, err
		}
		width, err := argInt(what, p[0], 0)
		if err != nil {
			return nil, err
		}
		fill := " "
		if p[1] != missing {
			if fill, err = argString(what, p[1]); err != nil {
				return nil, err
			}
			if utf8.RuneCountInString(fill) != 1 {
				return nil, errors.New("the fill character must be exactly one character long")
			}
		}
		return s.pad(what, text, width, fill)
	}
}

func (s *state) pad(what, text string, width int64, fill string) (any, error) {
	n := width - int64(utf8.RuneCountInString(text))
	if n <= 0 {
		return text, nil
	}
	if err := s.text(len(text) + int(min(n*int64(len(fill)), int64(s.limits.Text)+1))); err != nil {
		return nil, err
	}
	left := int64(0)
	switch what {
	case "rjust":
		left = n
	case "center":
		left = n/2 + (n & width & 1)
	}
	return strings.Repeat(fill, int(left)) + text + strings.Repeat(fill, int(n-left)), nil
}

// every is a predicate of all characters, of at least one.
func every(is func(rune) bool) stringMethod {
	return func(_ *state, text string, a arguments) (any, error) {
		return text != "" && strings.IndexFunc(text, func(r rune) bool { return !is(r) }) < 0, a.none("the method")
	}
}

// cased says that there are cased characters and all are of one case.
func cased(is func(rune) bool) stringMethod {
	return func(_ *state, text string, a arguments) (any, error) {
		some := false
		for _, r := range text {
			if isCased(r) && !is(r) {
				return false, a.none("the method")
			}
			some = some || is(r)
		}
		return some, a.none("the method")
	}
}
