package oip

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// count is the number of elements of a shape; a negative dimension, or more
// elements than could be sent, is an error.
func count(shape []int64) (int, error) {
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v: a dimension is negative", shape)
		}
	}
	if slices.Contains(shape, 0) {
		return 0, nil
	}
	n := int64(1)
	for _, d := range shape {
		if n > math.MaxInt32/d {
			return 0, fmt.Errorf("shape %v has too many elements", shape)
		}
		n *= d
	}
	return int(n), nil
}

// decodeData reads "data", a flat list in row-major order or lists nested as the
// shape is, into a tensor. data must be valid JSON, as encoding/json leaves it.
func decodeData(d ort.DType, shape []int64, data []byte) (*ort.Tensor, error) {
	n, err := count(shape)
	if err != nil {
		return nil, err
	}
	if n > len(data) {
		return nil, fmt.Errorf("shape %v needs %d elements, \"data\" has fewer", shape, n)
	}
	switch d {
	case ort.Bool:
		return decodeAs(shape, n, data, parseBool, ort.NewTensor[bool])
	case ort.Int8:
		return decodeAs(shape, n, data, parseInt[int8](8), ort.NewTensor[int8])
	case ort.Int16:
		return decodeAs(shape, n, data, parseInt[int16](16), ort.NewTensor[int16])
	case ort.Int32:
		return decodeAs(shape, n, data, parseInt[int32](32), ort.NewTensor[int32])
	case ort.Int64:
		return decodeAs(shape, n, data, parseInt[int64](64), ort.NewTensor[int64])
	case ort.Uint8:
		return decodeAs(shape, n, data, parseUint[uint8](8), ort.NewTensor[uint8])
	case ort.Uint16:
		return decodeAs(shape, n, data, parseUint[uint16](16), ort.NewTensor[uint16])
	case ort.Uint32:
		return decodeAs(shape, n, data, parseUint[uint32](32), ort.NewTensor[uint32])
	case ort.Uint64:
		return decodeAs(shape, n, data, parseUint[uint64](64), ort.NewTensor[uint64])
	case ort.Float32:
		return decodeAs(shape, n, data, parseFloat[float32](32), ort.NewTensor[float32])
	case ort.Float64:
		return decodeAs(shape, n, data, parseFloat[float64](64), ort.NewTensor[float64])
	case ort.Float16:
		return decodeAs(shape, n, data, parseHalf(func(v float32) (uint16, float32) { h := floatfmt.ToFloat16(v); return uint16(h), h.Float32() }), ort.NewFloat16)
	case ort.BFloat16:
		return decodeAs(shape, n, data, parseHalf(func(v float32) (uint16, float32) { h := floatfmt.ToBFloat16(v); return uint16(h), h.Float32() }), ort.NewBFloat16)
	}
	return nil, fmt.Errorf("elements of this datatype can't be read from JSON")
}

// decodeAs walks the lists and parses every element.
func decodeAs[T any](shape []int64, n int, data []byte, parse func(string) (T, bool), tensor func([]int64, []T) (*ort.Tensor, error)) (*ort.Tensor, error) {
	out := make([]T, 0, n)
	w := walker{data: data, shape: shape}
	err := w.walk(func(token string) error {
		if len(out) == n {
			return fmt.Errorf("shape %v needs %d elements, \"data\" has more", shape, n)
		}
		v, ok := parse(token)
		if !ok {
			return fmt.Errorf("element %d of \"data\" does not fit the datatype", len(out))
		}
		out = append(out, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) < n {
		return nil, fmt.Errorf("shape %v needs %d elements, \"data\" has %d", shape, n, len(out))
	}
	return tensor(shape, out)
}

// A walker goes through lists of lists.
type walker struct {
	data   []byte
	shape  []int64
	at     int
	nested bool
	depth  int
	left   [maxRank]int64 // elements still to come, by depth; of nested lists
}

// maxRank bounds how deep lists may be nested.
const maxRank = 16

// walk calls element for every number or truth value. Lists must be one flat list,
// or nested exactly as the shape says.
func (w *walker) walk(element func(string) error) error {
	w.nested = opensTwice(w.data)
	for w.at < len(w.data) {
		switch c := w.data[w.at]; c {
		case ' ', '\t', '\n', '\r', ',':
			w.at++
		case '[':
			w.at++
			if err := w.open(); err != nil {
				return err
			}
		case ']':
			w.at++
			w.depth--
			if w.nested && w.left[w.depth] != 0 {
				return w.misfit()
			}
		default:
			if w.nested && w.depth != len(w.shape) || w.depth == 0 && len(w.shape) > 0 {
				return w.misfit()
			}
			if w.nested {
				w.left[w.depth-1]--
			}
			if err := element(w.token()); err != nil {
				return err
			}
		}
	}
	return nil
}

// open enters a list.
func (w *walker) open() error {
	if w.depth > 0 && !w.nested || w.nested && w.depth >= min(maxRank, len(w.shape)) {
		return w.misfit()
	}
	if w.nested {
		if w.depth > 0 {
			w.left[w.depth-1]--
		}
		w.left[w.depth] = w.shape[w.depth]
	}
	w.depth++
	return nil
}

func (w *walker) misfit() error {
	return fmt.Errorf("\"data\" is neither one flat list nor nested as shape %v", w.shape)
}

// opensTwice reports that data begins with a list in a list.
func opensTwice(data []byte) bool {
	opened := 0
	for _, c := range data {
		switch c {
		case ' ', '\t', '\n', '\r':
		case '[':
			if opened++; opened == 2 {
				return true
			}
		default:
			return false
		}
	}
	return false
}

// token takes a number or a word; a string, an object and null are taken as far
// as makes sure that nothing can parse them.
func (w *walker) token() string {
	begin := w.at
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\n', '\r', ',', '[', ']':
			return text(w.data[begin:w.at])
		}
		w.at++
	}
	return text(w.data[begin:])
}

// text is b as a string without a copy; the parsers keep none.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func parseBool(s string) (bool, bool) {
	return s == "true" || s == "1", s == "true" || s == "false" || s == "0" || s == "1"
}

func parseInt[T int8 | int16 | int32 | int64](bits int) func(string) (T, bool) {
	return func(s string) (T, bool) {
		v, err := strconv.ParseInt(s, 10, bits)
		return T(v), err == nil
	}
}

func parseUint[T uint8 | uint16 | uint32 | uint64](bits int) func(string) (T, bool) {
	return func(s string) (T, bool) {
		v, err := strconv.ParseUint(s, 10, bits)
		return T(v), err == nil
	}
}

// parseFloat reads a JSON number: what strconv reads beyond that (Inf, NaN, hex,
// underscores) begins with another character or was refused as JSON.
func parseFloat[T float32 | float64](bits int) func(string) (T, bool) {
	return func(s string) (T, bool) {
		if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
			return 0, false
		}
		v, err := strconv.ParseFloat(s, bits)
		return T(v), err == nil
	}
}

// parseHalf reads a number that does not become infinite by rounding.
func parseHalf(round func(float32) (uint16, float32)) func(string) (uint16, bool) {
	wide := parseFloat[float32](32)
	return func(s string) (uint16, bool) {
		v, ok := wide(s)
		bits, rounded := round(v)
		return bits, ok && !math.IsInf(float64(rounded), 0)
	}
}
