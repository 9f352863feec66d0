package safetensors

import (
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
)

// size in bytes of the types that the format defines with whole bytes.
var size = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}

// formats of the types that ReadFloat32 reads and Floats are written as.
var formats = map[string]floatfmt.Format{"F16": floatfmt.F16, "BF16": floatfmt.BF16, "F32": floatfmt.F32, "F64": floatfmt.F64}

// Bytes is the length of a tensor's data. An unknown type, a negative dimension
// or a product beyond 2^63 is an error.
func Bytes(dtype string, shape []int64) (int64, error) {
	n, ok := size[dtype]
	if !ok {
		return 0, fmt.Errorf("type %q", dtype)
	}
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt64/d {
			return 0, fmt.Errorf("shape %v", shape)
		}
		n *= d
	}
	return n, nil
}

// IsFloat reports whether dtype is a floating type that ReadFloat32 reads: F16,
// BF16, F32 or F64.
func IsFloat(dtype string) bool {
	_, ok := formats[dtype]
	return ok
}
