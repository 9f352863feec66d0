package oip

import (
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// datatypes are the protocol's names of element types, with the numbers that a
// model configuration uses for them.
var datatypes = []struct {
	name   string
	dtype  ort.DType
	config int32
}{
	{"BOOL", ort.Bool, 1}, {"UINT8", ort.Uint8, 2}, {"UINT16", ort.Uint16, 3}, {"UINT32", ort.Uint32, 4}, {"UINT64", ort.Uint64, 5},
	{"INT8", ort.Int8, 6}, {"INT16", ort.Int16, 7}, {"INT32", ort.Int32, 8}, {"INT64", ort.Int64, 9},
	{"FP16", ort.Float16, 10}, {"FP32", ort.Float32, 11}, {"FP64", ort.Float64, 12}, {"BF16", ort.BFloat16, 14},
}

// onnxString is ONNX's code of strings, the protocol's BYTES; such tensors are
// named but not served.
const onnxString = ort.DType(8)

// nameOf is the protocol's name of an element type.
func nameOf(d ort.DType) string {
	for _, t := range datatypes {
		if t.dtype == d {
			return t.name
		}
	}
	if d == onnxString {
		return "BYTES"
	}
	return "UNSUPPORTED"
}

// configOf is the number of an element type in a model configuration.
func configOf(d ort.DType) int32 {
	for _, t := range datatypes {
		if t.dtype == d {
			return t.config
		}
	}
	if d == onnxString {
		return 13
	}
	return 0
}

// dtypeOf is the element type of a name.
func dtypeOf(name string) (ort.DType, bool) {
	for _, t := range datatypes {
		if t.name == name {
			return t.dtype, true
		}
	}
	return ort.Undefined, false
}

func datatypeNames() string {
	names := make([]string, len(datatypes))
	for i, t := range datatypes {
		names[i] = t.name
	}
	return strings.Join(names, ", ")
}
