package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// maxDepth bounds how deep values, expressions and blocks may be nested.
const maxDepth = 200

var errDepth = fmt.Errorf("nested more than %d deep", maxDepth)

func fromGo(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch t := v.(type) {
	case nil, bool, int64, float64, string, *List, *Mapping:
		return t, nil
	case int:
		return int64(t), nil
	case json.Number:
		return number(t.String())
	case []string:
		l := &List{}
		for _, s := range t {
			l.Items = append(l.Items, s)
		}
		return l, nil
	case []any:
		l := &List{}
		for _, e := range t {
			x, err := fromGo(e, depth+1)
			if err != nil {
				return nil, err
			}
			l.Items = append(l.Items, x)
		}
		return l, nil
	case map[string]any:
		d := newMapping(len(t))
		for _, k := range slices.Sorted(maps.Keys(t)) {
			x, err := fromGo(t[k], depth+1)
			if err != nil {
				return nil, err
			}
			d.put(k, x)
		}
		return d, nil
	}
	return nil, fmt.Errorf("a %T can't be given to a template", v)
}

func number(s string) (any, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s is out of range", s)
	}
	return f, nil
}

// FromJSON reads a JSON document; objects keep the order of their keys.
func FromJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readJSON(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return v, nil
}

func readJSON(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case json.Number:
		return number(t.String())
	case json.Delim:
		if t == '[' {
			return readArray(dec, depth)
		}
		return readObject(dec, depth)
	}
	return tok, nil // nil, bool, string
}

func readArray(dec *json.Decoder, depth int) (any, error) {
	l := &List{}
	for dec.More() {
		v, err := readJSON(dec, depth+1)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
	_, err := dec.Token()
	return l, err
}

func readObject(dec *json.Decoder, depth int) (any, error) {
	d := newMapping(0)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := readJSON(dec, depth+1)
		if err != nil {
			return nil, err
		}
		d.put(key, v)
	}
	_, err := dec.Token()
	return d, err
}
