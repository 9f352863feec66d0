package ir

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// floatChunk is how many numbers are converted at a time: a model's weights may
// take most of the memory, and nothing here holds a second copy of them.
const floatChunk = 1 << 16

// floatFormat is how a floating type lies in a file, little endian.
type floatFormat struct {
	size   int
	decode func([]byte) float32
	encode func([]byte, float32) []byte
}

// floatFormats by element type. Half precision widens exactly; float64 is rounded
// to float32, and float32 to half precision, to nearest, ties to even.
var floatFormats = map[DType]floatFormat{
	Float32: {4,
		func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
		func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)) }},
	Float64: {8,
		func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
		func(b []byte, v float32) []byte {
			return binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
		}},
	Float16: {2,
		func(b []byte) float32 { return HalfToFloat32(binary.LittleEndian.Uint16(b)) },
		func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, Float32ToHalf(v)) }},
	BFloat16: {2,
		func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
		func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, Float32ToBFloat16(v)) }},
}

// formatOf returns the format of a floating type.
func formatOf(d DType) (floatFormat, error) {
	f, ok := floatFormats[d]
	if !ok {
		return f, fmt.Errorf("%w: %v are no floating numbers of 16, 32 or 64 bits", ErrUnsupported, d)
	}
	return f, nil
}

// checkFloats reports whether values can be written as type d. A finite value that
// d can't hold is an error: written as infinity it would turn a trained model into
// one that answers NaN.
func checkFloats(d DType, values []float32) error {
	f, err := formatOf(d)
	if err != nil || f.size >= 4 {
		return err
	}
	var b [2]byte
	for i, v := range values {
		if written := f.decode(f.encode(b[:0], v)); math.IsInf(float64(written), 0) && !math.IsInf(float64(v), 0) {
			return fmt.Errorf("element %d = %g does not fit %v", i, v, d)
		}
	}
	return nil
}

// encodeFloats returns values as elements of type d.
func encodeFloats(d DType, values []float32) ([]byte, error) {
	if err := checkFloats(d, values); err != nil {
		return nil, err
	}
	f := floatFormats[d]
	out := make([]byte, 0, f.size*len(values))
	for _, v := range values {
		out = f.encode(out, v)
	}
	return out, nil
}

// writeFloats writes values, which checkFloats has seen, as elements of type d.
func writeFloats(w io.Writer, d DType, values []float32) error {
	f, err := formatOf(d)
	if err != nil {
		return err
	}
	buf := make([]byte, 0, f.size*min(floatChunk, len(values)))
	for len(values) > 0 {
		n := min(floatChunk, len(values))
		buf = buf[:0]
		for _, v := range values[:n] {
			buf = f.encode(buf, v)
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// decodeFloats reads dst from b, which holds as many elements of type d.
func decodeFloats(f floatFormat, b []byte, dst []float32) {
	for i := range dst {
		dst[i] = f.decode(b[i*f.size:])
	}
}
