package ort

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// DType is the element type of a tensor. The values are those of ONNX's TensorProto.DataType, so that a code read from
// a model file converts directly.
type DType int32

// The element types this package carries. Float16 and BFloat16 are held as their 16-bit patterns in []uint16.
const (
	Undefined DType = 0
	Float32   DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Uint16    DType = 4
	Int16     DType = 5
	Int32     DType = 6
	Int64     DType = 7
	Bool      DType = 9
	Float16   DType = 10
	Float64   DType = 11
	Uint32    DType = 12
	Uint64    DType = 13
	BFloat16  DType = 16
)

// dtypes lists name and size in bytes of every carried type, by code.
var dtypes = [...]struct {
	name string
	size int
}{
	Float32: {"float32", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2}, Int16: {"int16", 2},
	Int32: {"int32", 4}, Int64: {"int64", 8}, Bool: {"bool", 1}, Float16: {"float16", 2}, Float64: {"float64", 8},
	Uint32: {"uint32", 4}, Uint64: {"uint64", 8}, BFloat16: {"bfloat16", 2},
}

// Size is the number of bytes of one element, 0 for a type this package does not carry (strings, complex, 4-bit, …).
func (d DType) Size() int {
	if d < 0 || int(d) >= len(dtypes) {
		return 0
	}
	return dtypes[d].size
}

// String is the name used in batch files and messages: "float32", "int64", "bool", …; "type 8" for one not carried.
func (d DType) String() string {
	if d.Size() == 0 {
		return "type " + strconv.Itoa(int(d))
	}
	return dtypes[d].name
}

// ParseDType reads a name as String writes it.
func ParseDType(name string) (DType, error) {
	for code, d := range dtypes {
		if d.size > 0 && d.name == name {
			return DType(code), nil
		}
	}
	return Undefined, fmt.Errorf("unknown element type %q: want one of %s", name, strings.Join(dtypeNames(), ", "))
}

func dtypeNames() []string {
	var names []string
	for _, d := range dtypes {
		if d.size > 0 {
			names = append(names, d.name)
		}
	}
	return names
}

// elements is the number of elements of a shape: the product of its dims, 1 for rank 0, 0 where a dim is 0. A negative
// dim, or a tensor whose bytes would not fit an int, is an error.
func elements(shape []int64, size int) (int, error) {
	n := int64(1)
	for axis, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v: dimension %d is negative", shape, axis)
		}
	}
	if slices.Contains(shape, 0) {
		return 0, nil // however large the others are
	}
	for _, d := range shape {
		if n > math.MaxInt64/d {
			return 0, fmt.Errorf("shape %v has more elements than fit 64 bits", shape)
		}
		n *= d
	}
	if n > int64(math.MaxInt/max(size, 1)) {
		return 0, fmt.Errorf("shape %v needs more bytes than can be addressed", shape)
	}
	return int(n), nil
}
