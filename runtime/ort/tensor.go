package ort

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// Element is a Go type that tensors hold. The bit patterns of Float16 and BFloat16 are held as uint16.
type Element interface {
	float32 | float64 | int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8 | bool
}

// Tensor is a dense row-major tensor over Go memory. It shares its data with the slice it was made from: the runtime
// reads inputs from it and writes bound outputs to it without a copy. Rank 0 (an empty shape, one element) and
// dimensions of size 0 are ordinary.
//
// A Tensor may be fed to any number of concurrent runs. Writing to its data while a run uses it is a data race.
type Tensor struct {
	dtype DType
	shape []int64
	data  unsafe.Pointer // first element; nil only if there is none
	n     int            // elements
	kept  *kept          // the runtime's memory that data lies in and the tensor holds

	foreign bool // data is not Go's memory, and lives as long as who made it says
}

// NewTensor makes a tensor of the given shape over data, whose length must be the shape's number of elements. The
// data is shared, the shape copied. A []uint16 becomes Uint16: for half precision see NewFloat16 and NewBFloat16.
func NewTensor[T Element](shape []int64, data []T) (*Tensor, error) {
	return newTensor(dtypeOf[T](), shape, data)
}

// NewFloat16 is NewTensor for IEEE half precision, given as bit patterns.
func NewFloat16(shape []int64, bits []uint16) (*Tensor, error) {
	return newTensor(Float16, shape, bits)
}

// NewBFloat16 is NewTensor for bfloat16 (the upper half of a float32), given as bit patterns.
func NewBFloat16(shape []int64, bits []uint16) (*Tensor, error) {
	return newTensor(BFloat16, shape, bits)
}

// NewZeros allocates a tensor of zeros (false for Bool).
func NewZeros(dtype DType, shape []int64) (*Tensor, error) {
	if dtype.Size() == 0 {
		return nil, fmt.Errorf("can't make a tensor of %s", dtype)
	}
	n, err := elements(shape, dtype.Size())
	if err != nil {
		return nil, err
	}
	t := &Tensor{dtype: dtype, shape: slices.Clone(shape), n: n}
	if n > 0 {
		// Allocated by the element's own size, so that the memory is aligned for it.
		t.data = allocate(dtype.Size(), n)
	}
	return t, nil
}

// Scalar makes a rank-0 tensor of one value.
func Scalar[T Element](v T) *Tensor {
	return &Tensor{dtype: dtypeOf[T](), data: unsafe.Pointer(&[]T{v}[0]), n: 1}
}

func newTensor[T Element](dtype DType, shape []int64, data []T) (*Tensor, error) {
	n, err := elements(shape, dtype.Size())
	if err != nil {
		return nil, err
	}
	if len(data) != n {
		return nil, fmt.Errorf("shape %v has %d elements, the data %d", shape, n, len(data))
	}
	return &Tensor{dtype: dtype, shape: slices.Clone(shape), data: unsafe.Pointer(unsafe.SliceData(data)), n: n}, nil
}

func allocate(size, n int) unsafe.Pointer {
	switch size {
	case 1:
		return unsafe.Pointer(unsafe.SliceData(make([]uint8, n)))
	case 2:
		return unsafe.Pointer(unsafe.SliceData(make([]uint16, n)))
	case 4:
		return unsafe.Pointer(unsafe.SliceData(make([]uint32, n)))
	default:
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, n)))
	}
}

// DType returns the element type.
func (t *Tensor) DType() DType { return t.dtype }

// Shape returns a copy of the dimensions; its length is the rank.
func (t *Tensor) Shape() []int64 { return slices.Clone(t.shape) }

// Len returns the number of elements.
func (t *Tensor) Len() int { return t.n }

// String describes the tensor without its values, as "float32[2 3]".
func (t *Tensor) String() string { return fmt.Sprintf("%s%v", t.dtype, t.shape) }

// Bytes returns the data as bytes in the machine's order, shared with the tensor.
func (t *Tensor) Bytes() []byte {
	if t.n == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(t.data), t.n*t.dtype.Size())
}

// Reshape returns a tensor of another shape over the same data. The number of elements must be the same.
func (t *Tensor) Reshape(shape []int64) (*Tensor, error) {
	n, err := elements(shape, t.dtype.Size())
	if err != nil {
		return nil, err
	}
	if n != t.n {
		return nil, fmt.Errorf("can't reshape %s to %v: %d elements against %d", t, shape, t.n, n)
	}
	return &Tensor{dtype: t.dtype, shape: slices.Clone(shape), data: t.data, n: n, kept: t.kept, foreign: t.foreign}, nil
}

// ErrType is wrapped by the error of Data for a tensor of another element type.
var ErrType = errors.New("wrong element type")

// Data returns the elements in row-major order, shared with the tensor. T must be the tensor's element type; Float16
// and BFloat16 are read as uint16.
func Data[T Element](t *Tensor) ([]T, error) {
	want := dtypeOf[T]()
	if t.dtype != want && (want != Uint16 || t.dtype != Float16 && t.dtype != BFloat16) {
		return nil, fmt.Errorf("%w: the tensor holds %s, not %s", ErrType, t.dtype, want)
	}
	if t.n == 0 {
		return []T{}, nil
	}
	return unsafe.Slice((*T)(t.data), t.n), nil
}

func dtypeOf[T Element]() DType {
	var v T
	switch any(v).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int64:
		return Int64
	case int32:
		return Int32
	case int16:
		return Int16
	case int8:
		return Int8
	case uint64:
		return Uint64
	case uint32:
		return Uint32
	case uint16:
		return Uint16
	case uint8:
		return Uint8
	default:
		return Bool
	}
}
