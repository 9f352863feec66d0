package floatfmt

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Chunk is how many numbers are converted at a time: a model's weights may take
// most of the memory, and nothing here holds a second copy of them.
const Chunk = 1 << 16

// A Format is how a floating type lies in a file, little endian. Half precision
// widens to float32 exactly; float64 is rounded to float32, and float32 to half
// precision, to nearest, ties to even.
type Format struct {
	Name string // as messages say it, such as "float16"
	Size int    // bytes of an element

	decode func([]byte) float32
	encode func([]byte, float32) []byte
}

// The formats of the floating types.
var (
	F16 = Format{"float16", 2,
		func(b []byte) float32 { return Float16(binary.LittleEndian.Uint16(b)).Float32() },
		func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, uint16(ToFloat16(v))) }}
	BF16 = Format{"bfloat16", 2,
		func(b []byte) float32 { return BFloat16(binary.LittleEndian.Uint16(b)).Float32() },
		func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, uint16(ToBFloat16(v))) }}
	F32 = Format{"float32", 4,
		func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
		func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)) }}
	F64 = Format{"float64", 8,
		func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
		func(b []byte, v float32) []byte {
			return binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
		}}
)

// Decode reads len(dst) elements from b, which holds at least as many.
func (f Format) Decode(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = f.decode(b[i*f.Size:])
	}
}

// Append appends values as elements of the format, without looking whether they
// fit.
func (f Format) Append(b []byte, values []float32) []byte {
	for _, v := range values {
		b = f.encode(b, v)
	}
	return b
}

// Write writes values as elements of the format, Chunk of them at a time, without
// looking whether they fit.
func (f Format) Write(w io.Writer, values []float32) error {
	buf := make([]byte, 0, f.Size*min(Chunk, len(values)))
	for len(values) > 0 {
		n := min(Chunk, len(values))
		buf = f.Append(buf[:0], values[:n])
		if _, err := w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// Read fills dst with elements of the format, Chunk of them at a time.
func (f Format) Read(r io.Reader, dst []float32) error {
	buf := make([]byte, f.Size*min(Chunk, len(dst)))
	for len(dst) > 0 {
		n := min(Chunk, len(dst))
		if _, err := io.ReadFull(r, buf[:n*f.Size]); err != nil {
			return err
		}
		f.Decode(dst[:n], buf)
		dst = dst[n:]
	}
	return nil
}

// CheckFits reports whether values can be written in the format. A finite value
// that it can't hold is an error: written as infinity it would turn a trained
// model into one that answers NaN.
func (f Format) CheckFits(values []float32) error {
	if f.Size >= 4 {
		return nil
	}
	var b [2]byte
	for i, v := range values {
		if written := f.decode(f.encode(b[:0], v)); math.IsInf(float64(written), 0) && !math.IsInf(float64(v), 0) {
			return fmt.Errorf("element %d = %g does not fit %s", i, v, f.Name)
		}
	}
	return nil
}
