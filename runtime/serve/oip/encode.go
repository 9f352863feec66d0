package oip

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// appendData writes a tensor's elements as one flat JSON list. JSON has no word
// for what is not a finite number; such an output has to be asked for as binary.
func appendData(b []byte, t *ort.Tensor) ([]byte, error) {
	switch t.DType() {
	case ort.Bool:
		return appendList(b, t, strconv.AppendBool)
	case ort.Int8:
		return appendList(b, t, appendInt[int8])
	case ort.Int16:
		return appendList(b, t, appendInt[int16])
	case ort.Int32:
		return appendList(b, t, appendInt[int32])
	case ort.Int64:
		return appendList(b, t, appendInt[int64])
	case ort.Uint8:
		return appendList(b, t, appendUint[uint8])
	case ort.Uint16:
		return appendList(b, t, appendUint[uint16])
	case ort.Uint32:
		return appendList(b, t, appendUint[uint32])
	case ort.Uint64:
		return appendList(b, t, appendUint[uint64])
	case ort.Float32:
		values, err := ort.Data[float32](t)
		if err != nil {
			return b, err
		}
		return appendFloats(b, values, 32)
	case ort.Float64:
		values, err := ort.Data[float64](t)
		if err != nil {
			return b, err
		}
		return appendFloats(b, values, 64)
	case ort.Float16, ort.BFloat16:
		values, err := runtime.HalfData(t)
		if err != nil {
			return b, err
		}
		return appendFloats(b, values, 32)
	}
	return b, fmt.Errorf("elements of %v can't be written as JSON", t.DType())
}

func appendList[T ort.Element](b []byte, t *ort.Tensor, one func([]byte, T) []byte) ([]byte, error) {
	values, err := ort.Data[T](t)
	if err != nil {
		return b, err
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, v)
	}
	return append(b, ']'), nil
}

func appendInt[T int8 | int16 | int32 | int64](b []byte, v T) []byte {
	return strconv.AppendInt(b, int64(v), 10)
}

func appendUint[T uint8 | uint16 | uint32 | uint64](b []byte, v T) []byte {
	return strconv.AppendUint(b, uint64(v), 10)
}

// appendFloats writes the shortest numbers that read back as the same bits.
func appendFloats[T float32 | float64](b []byte, values []T, bits int) ([]byte, error) {
	b = append(b, '[')
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return b, fmt.Errorf("element %d is not a finite number, which JSON can't hold; ask for it with \"binary_data\": true", i)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(v), 'g', -1, bits)
	}
	return append(b, ']'), nil
}

// fromBinary makes a tensor of its elements' bytes, little endian as the protocol
// has them. The bytes are copied: those of a request need not be aligned.
func fromBinary(d ort.DType, shape []int64, data []byte) (*ort.Tensor, error) {
	n, err := count(shape)
	if err != nil {
		return nil, err
	}
	if n*d.Size() != len(data) {
		return nil, fmt.Errorf("shape %v of %s needs %d bytes, there are %d", shape, nameOf(d), n*d.Size(), len(data))
	}
	t, err := ort.NewZeros(d, shape)
	if err != nil {
		return nil, err
	}
	copyOrdered(t.Bytes(), data, d.Size())
	if d == ort.Bool {
		for i, b := range t.Bytes() {
			if b > 1 {
				return nil, fmt.Errorf("element %d is the byte %d; a BOOL is 0 or 1", i, b)
			}
		}
	}
	return t, nil
}

// toBinary is a tensor's elements in little-endian bytes.
func toBinary(t *ort.Tensor) []byte {
	out := make([]byte, len(t.Bytes()))
	copyOrdered(out, t.Bytes(), t.DType().Size())
	return out
}

// copyOrdered copies elements between the machine's order and little endian.
func copyOrdered(dst, src []byte, size int) {
	copy(dst, src)
	if size == 1 || binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return
	}
	for at := 0; at+size <= len(dst); at += size {
		for i, j := at, at+size-1; i < j; i, j = i+1, j-1 {
			dst[i], dst[j] = dst[j], dst[i]
		}
	}
}
