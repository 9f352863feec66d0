package tokenize

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// class reads a character class, with nested ones, intersections and POSIX brackets.
func (t *regexTranslator) class() (runeSet, error) {
	start := t.at
	if t.depth++; t.depth > maxRegexDepth {
		return nil, fmt.Errorf("character classes are nested more than %d deep", maxRegexDepth)
	}
	defer func() { t.depth-- }()
	t.at++
	negated := t.take("^")
	var whole, set runeSet
	intersected := false
	for first := true; ; first = false {
		if t.at >= len(t.in) {
			return nil, fmt.Errorf("the character class at character %d is not closed", start)
		}
		if t.peek("]") && !first {
			t.at++
			break
		}
		if t.take("&&") {
			if intersected {
				set = whole.and(set)
			}
			whole, set, intersected = set, nil, true
			continue
		}
		member, err := t.classMember()
		if err != nil {
			return nil, err
		}
		set = set.union(member)
	}
	if intersected {
		set = whole.and(set)
	}
	if t.flags.ignoreCase {
		set = set.folded()
	}
	if negated {
		set = set.not()
	}
	return set, nil
}

// classMember reads a range, a character, an escape or a nested class.
func (t *regexTranslator) classMember() (runeSet, error) {
	if t.peek("[:") {
		if set, ok, err := t.posix(); ok || err != nil {
			return set, err
		}
	}
	if t.peek("[") {
		return t.class()
	}
	low, single, err := t.classItem()
	if err != nil || !single || !t.peek("-") || t.at+1 >= len(t.in) || t.in[t.at+1] == ']' || t.in[t.at+1] == '[' {
		return low, err
	}
	t.at++
	high, single, err := t.classItem()
	if err != nil {
		return nil, err
	}
	if !single || high[0][0] < low[0][0] {
		return nil, fmt.Errorf("a range of a character class ends wrongly at character %d", t.at)
	}
	return runeSet{{low[0][0], high[0][0]}}, nil
}

func (t *regexTranslator) classItem() (set runeSet, single bool, err error) {
	if t.peek(`\`) {
		return t.setEscape()
	}
	if t.at >= len(t.in) {
		return nil, false, fmt.Errorf("a character class is not closed")
	}
	c := t.in[t.at]
	t.at++
	return runeSet{{c, c}}, true, nil
}

// posix reads [:name:] or [:^name:].
func (t *regexTranslator) posix() (runeSet, bool, error) {
	rest := string(t.in[t.at:min(len(t.in), t.at+20)])
	end := strings.Index(rest, ":]")
	if end < 0 {
		return nil, false, nil
	}
	set, err := property(rest[2:end])
	if err != nil {
		return nil, false, err
	}
	t.at += end + 2
	return set, true, nil
}

// controlEscapes stand for one character.
var controlEscapes = map[rune]rune{'t': '\t', 'n': '\n', 'r': '\r', 'f': '\f', 'v': '\v', 'a': '\a', 'e': 0x1b}

// setLetters are escapes for the properties of their names; in upper case for what is left.
var setLetters = map[rune]string{'d': "digit", 's': "space", 'w': "word", 'h': "xdigit"}

// setEscape reads a backslash and what follows: a set of characters, or a single one.
func (t *regexTranslator) setEscape() (set runeSet, single bool, err error) {
	t.at++
	if t.at >= len(t.in) {
		return nil, false, fmt.Errorf("it ends with a backslash")
	}
	c := t.in[t.at]
	t.at++
	if name, ok := setLetters[unicode.ToLower(c)]; ok {
		set = properties()[name]
		if unicode.IsUpper(c) {
			set = set.not()
		}
		return set, false, nil
	}
	if r, ok := controlEscapes[c]; ok {
		return runeSet{{r, r}}, true, nil
	}
	switch {
	case c == 'p' || c == 'P':
		set, err = t.propertyName(c == 'P')
		return set, false, err
	case c == 'x' || c == 'u':
		r, err := t.hex(c)
		return runeSet{{r, r}}, true, err
	case c == '0':
		return runeSet{{0, 0}}, true, nil
	case unicode.IsLetter(c) || unicode.IsDigit(c):
		return nil, false, fmt.Errorf(`\%c %w`, c, errUnsupportedRegex)
	}
	return runeSet{{c, c}}, true, nil
}

func (t *regexTranslator) propertyName(negated bool) (runeSet, error) {
	if !t.take("{") {
		return nil, fmt.Errorf(`\p without a {name} %w`, errUnsupportedRegex)
	}
	start := t.at
	for t.at < len(t.in) && t.in[t.at] != '}' {
		t.at++
	}
	name := string(t.in[start:t.at])
	if plainName(name) == "punct" {
		name = "P" // [[:punct:]] has symbols too
	}
	set, err := property(name)
	if err != nil {
		return nil, err
	}
	if !t.take("}") {
		return nil, fmt.Errorf(`a \p{ is not closed`)
	}
	if negated {
		set = set.not()
	}
	return set, nil
}

// hex reads \xHH, \x{H…} and \uHHHH. A byte above 7F would be part of a character, which makes no sense here.
func (t *regexTranslator) hex(kind rune) (rune, error) {
	digits := map[rune]int{'x': 2, 'u': 4}[kind]
	start, end := t.at, min(len(t.in), t.at+digits)
	if kind == 'x' && t.take("{") {
		start = t.at
		for end = start; end < len(t.in) && t.in[end] != '}'; end++ {
		}
		t.at = end + 1
	} else {
		t.at = end
	}
	n, err := strconv.ParseUint(string(t.in[start:end]), 16, 32)
	braced := t.at > end
	if err != nil || end-start != digits && !braced || n > lastRune || 0xD800 <= n && n <= 0xDFFF || kind == 'x' && !braced && n > 0x7F {
		return 0, fmt.Errorf(`\%c%s %w`, kind, string(t.in[start:end]), errUnsupportedRegex)
	}
	return rune(n), nil
}
