package jinja

import "fmt"

// absent is the type of missing.
type absent struct{}

// missing stands for an argument that was not given.
var missing any = absent{}

// take gives the arguments of a call by the names of its parameters, of which the first required must be there.
func (a arguments) take(what string, required int, params ...string) ([]any, error) {
	if len(a.positional) > len(params) {
		return nil, fmt.Errorf("%s takes at most %d arguments, not %d", what, len(params), len(a.positional))
	}
	out := make([]any, len(params))
	used := 0
	for i, param := range params {
		v, named := a.get(param)
		switch {
		case i < len(a.positional):
			if named {
				return nil, fmt.Errorf("%s got the argument %s twice", what, param)
			}
			out[i] = a.positional[i]
		case named:
			used++
			out[i] = v
		case i < required:
			return nil, fmt.Errorf("%s lacks the argument %s", what, param)
		default:
			out[i] = missing
		}
	}
	if a.named != nil && a.named.Len() > used {
		return nil, fmt.Errorf("%s has an argument that it does not know", what)
	}
	return out, nil
}

// none checks that there are no arguments.
func (a arguments) none(what string) error {
	_, err := a.take(what, 0)
	return err
}

func argString(what string, v any) (string, error) {
	text, ok := asString(v)
	if !ok {
		return "", argType(what, "a string", v)
	}
	return text, nil
}

func argInt(what string, v any, otherwise int64) (int64, error) {
	if v == missing {
		return otherwise, nil
	}
	n, ok := asInt(v)
	if !ok {
		return 0, argType(what, "a whole number", v)
	}
	return n, nil
}

func argBool(v any, otherwise bool) (bool, error) {
	if v == missing {
		return otherwise, nil
	}
	return truth(v)
}

func argType(what, want string, v any) error {
	switch t := v.(type) {
	case *undefined:
		return t.err()
	case *unsupported:
		return t.err()
	}
	return fmt.Errorf("%s wants %s, not %s", what, want, typeName(v))
}
