package ir

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A DType is an ONNX element type, with TensorProto.DataType's numbers.
type DType int32

// The element types that the rewriter itself emits or reads.
const (
	Undefined DType = 0
	Float32   DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Int32     DType = 6
	Int64     DType = 7
	String    DType = 8
	Bool      DType = 9
	Float16   DType = 10
	Float64   DType = 11
	Uint64    DType = 13
	BFloat16  DType = 16
)

// bits per element, from onnx-ml.proto's description of raw_data; 0 where an
// element has no fixed size (strings).
var bitsOf = map[DType]int64{
	Float32: 32, Uint8: 8, Int8: 8, 4 /* uint16 */ : 16, 5 /* int16 */ : 16, Int32: 32, Int64: 64,
	String: 0, Bool: 8, Float16: 16, Float64: 64, 12 /* uint32 */ : 32, Uint64: 64,
	14 /* complex64 */ : 64, 15 /* complex128 */ : 128, BFloat16: 16,
	17 /* float8e4m3fn */ : 8, 18: 8, 19: 8, 20: 8, 24 /* float8e8m0 */ : 8,
	21 /* uint4 */ : 4, 22 /* int4 */ : 4, 23 /* float4e2m1 */ : 4, 25 /* uint2 */ : 2, 26 /* int2 */ : 2,
}

// IsFloat reports whether d is a floating type of 16 bits or more: one that
// training widens to float32.
func (d DType) IsFloat() bool {
	return d == Float32 || d == Float16 || d == BFloat16 || d == Float64
}

// IsInt reports whether d is a signed or unsigned integer of 8 bits or more.
func (d DType) IsInt() bool {
	return d >= 2 && d <= 7 || d == 12 || d == Uint64
}

// String returns the name used in batch files and reports, such as "float32".
func (d DType) String() string {
	names := map[DType]string{
		Undefined: "undefined", Float32: "float32", Uint8: "uint8", Int8: "int8", 4: "uint16", 5: "int16",
		Int32: "int32", Int64: "int64", String: "string", Bool: "bool", Float16: "float16",
		Float64: "float64", 12: "uint32", Uint64: "uint64", BFloat16: "bfloat16",
	}
	if s, ok := names[d]; ok {
		return s
	}
	if s, ok := onnxpb.TensorProto_DataType_name[int32(d)]; ok {
		return s
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// bytesFor returns the size of raw_data for n elements: sub-byte types are
// packed and rounded up.
func (d DType) bytesFor(n int64) (int64, error) {
	bits, ok := bitsOf[d]
	if !ok || bits == 0 {
		return 0, fmt.Errorf("%w: element type %v has no fixed size", ErrUnsupported, d)
	}
	total, ok := mulNonNegative(n, bits)
	if !ok {
		return 0, fmt.Errorf("%w: %d elements of %v overflow", ErrInvalid, n, d)
	}
	return (total + 7) / 8, nil
}

// mulNonNegative multiplies two non-negative numbers; false on overflow.
func mulNonNegative(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	return p, p/b == a && p >= 0
}
