package jinja

import (
	"errors"
	"fmt"
)

type test = func(s *state, x any, a arguments) (bool, error)

var tests map[string]test

func init() { // filled here, for the tests filter and test look names up
	compare := func(op string) test {
		return func(s *state, x any, a arguments) (bool, error) {
			p, err := a.take("the test", 1, "other")
			if err != nil {
				return false, err
			}
			return s.compare(op, x, p[0])
		}
	}
	tests = map[string]test{
		"defined": kind(func(x any) bool { _, ok := x.(*undefined); return !ok }), "undefined": kind(is[*undefined]),
		"none": kind(func(x any) bool { return x == nil }), "boolean": kind(is[bool]),
		"true": kind(func(x any) bool { return x == true }), "false": kind(func(x any) bool { return x == false }),
		"integer": kind(is[int64]), "float": kind(is[float64]), "number": kind(func(x any) bool { return number64(x) != nil }),
		"string": kind(func(x any) bool { _, ok := asString(x); return ok }), "mapping": kind(is[*Mapping]),
		"iterable": kind(iterable), "sequence": kind(sequence), "callable": kind(callable), "escaped": kind(is[markup]),
		"odd": remainder(1), "even": remainder(0), "divisibleby": divisible,
		"lower": caseTest(lower), "upper": caseTest(upper),
		"eq": compare("=="), "==": compare("=="), "equalto": compare("=="), "ne": compare("!="), "!=": compare("!="),
		"lt": compare("<"), "<": compare("<"), "lessthan": compare("<"), "le": compare("<="), "<=": compare("<="),
		"gt": compare(">"), ">": compare(">"), "greaterthan": compare(">"), "ge": compare(">="), ">=": compare(">="),
		"in": compare("in"), "sameas": same, "filter": known(func(n string) bool { return filters[n] != nil || unbuiltFilters[n] }),
		"test": known(func(n string) bool { return tests[n] != nil }),
	}
}

func (s *state) test(name string, x any, a arguments) (bool, error) {
	if err := s.charge(1); err != nil {
		return false, err
	}
	if u, ok := x.(*unsupported); ok && name != "defined" && name != "undefined" {
		return false, u.err()
	}
	t, ok := tests[name]
	if !ok {
		return false, fmt.Errorf("no test named '%s'", name)
	}
	yes, err := t(s, x, a)
	if err != nil {
		return false, within("test "+name, err)
	}
	return yes, nil
}

func is[T any](x any) bool { _, ok := x.(T); return ok }

// kind is a test of the type of a value.
func kind(f func(x any) bool) test {
	return func(_ *state, x any, a arguments) (bool, error) { return f(x), a.none("the test") }
}

func iterable(x any) bool {
	switch x.(type) {
	case string, markup, *List, *Mapping, *view, *span, *generator, *undefined, *loop:
		return true
	}
	return false
}

func sequence(x any) bool {
	switch x.(type) {
	case string, markup, *List, *Mapping, *span, *undefined:
		return true
	}
	return false
}

func callable(x any) bool {
	switch x.(type) {
	case *function, *undefined: // an undefined has a __call__, which fails
		return true
	}
	return false
}

func remainder(want int64) test {
	return func(s *state, x any, a arguments) (bool, error) {
		if err := a.none("the test"); err != nil {
			return false, err
		}
		v, err := s.binary("%", x, int64(2))
		if err != nil {
			return false, err
		}
		return s.equal(v, want, 0)
	}
}

func divisible(s *state, x any, a arguments) (bool, error) {
	p, err := a.take("divisibleby", 1, "num")
	if err != nil {
		return false, err
	}
	v, err := s.binary("%", x, p[0])
	if err != nil {
		return false, err
	}
	return s.equal(v, int64(0), 0)
}

// caseTest is str(x).islower() or isupper().
func caseTest(to func(string) string) test {
	return func(s *state, x any, a arguments) (bool, error) {
		if err := a.none("the test"); err != nil {
			return false, err
		}
		text, err := s.str(x)
		if err != nil {
			return false, err
		}
		for _, r := range text {
			if isCased(r) {
				return to(text) == text, s.text(len(text))
			}
		}
		return false, s.text(len(text))
	}
}

// same is Python's is, for what is either one of a kind or the same object.
func same(_ *state, x any, a arguments) (bool, error) {
	p, err := a.take("sameas", 1, "other")
	if err != nil {
		return false, err
	}
	switch x.(type) {
	case int64, float64, string, markup:
		if typeName(x) == typeName(p[0]) && x == p[0] {
			return false, errors.New("whether equal numbers or strings are the same object is not for a template")
		}
	}
	return x == p[0], nil
}

func known(has func(name string) bool) test {
	return func(_ *state, x any, a arguments) (bool, error) {
		name, err := argString("the test", x)
		if err != nil {
			return false, err
		}
		return has(name), a.none("the test")
	}
}
