package ir

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
)

// floatFormats by element type.
var floatFormats = map[DType]floatfmt.Format{Float32: floatfmt.F32, Float64: floatfmt.F64, Float16: floatfmt.F16, BFloat16: floatfmt.BF16}

// formatOf returns the format of a floating type.
func formatOf(d DType) (floatfmt.Format, error) {
	f, ok := floatFormats[d]
	if !ok {
		return f, fmt.Errorf("%w: %v are no floating numbers of 16, 32 or 64 bits", ErrUnsupported, d)
	}
	return f, nil
}

// checkFloats reports whether values can be written as type d.
func checkFloats(d DType, values []float32) error {
	f, err := formatOf(d)
	if err != nil {
		return err
	}
	return f.CheckFits(values)
}

// encodeFloats returns values as elements of type d.
func encodeFloats(d DType, values []float32) ([]byte, error) {
	if err := checkFloats(d, values); err != nil {
		return nil, err
	}
	f := floatFormats[d]
	return f.Append(make([]byte, 0, f.Size*len(values)), values), nil
}
