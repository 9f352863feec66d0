package ir

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A Tensor is a named constant: an initializer or the value of an attribute.
// Its numbers are read when asked for, so that a model's weights exist once.
type Tensor struct {
	Name  string
	DType DType
	Dims  []int64

	raw []byte              // little endian; aliases the file given in memory, or made by the rewriter
	in  *span               // data in the model file
	pb  *onnxpb.TensorProto // typed data, where raw is nil
	ext *external           // data beside the model file
	of  *Tensor             // a tensor of another floating type, converted when read
	// fill writes the raw data each time they are asked for; nothing keeps them.
	fill func(io.Writer) error
}

// Len returns the number of elements, 1 for rank 0.
func (t *Tensor) Len() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// tensorFromProto checks dims and data length and wraps pb without copying;
// raw is its raw_data, nil where the data are typed or external.
func tensorFromProto(pb *onnxpb.TensorProto, raw []byte, folder *folder) (*Tensor, error) {
	t := &Tensor{Name: pb.GetName(), DType: DType(pb.GetDataType()), Dims: slices.Clone(pb.GetDims()), raw: raw, pb: pb}
	n, err := checkedLen(t.Dims)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if pb.GetSegment() != nil {
		return nil, fmt.Errorf("%w: tensor %q is stored in segments", ErrUnsupported, t.Name)
	}
	if pb.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		size, err := t.DType.bytesFor(n)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		t.ext, err = folder.locate(pb, size)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		return t, nil
	}
	if err := checkStored(t.DType, n, raw, pb); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return t, nil
}

func checkedLen(dims []int64) (int64, error) {
	if len(dims) > maxRank {
		return 0, fmt.Errorf("%w: rank %d, limit %d", ErrInvalid, len(dims), maxRank)
	}
	n := int64(1)
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("%w: negative dimension in %v", ErrInvalid, dims)
		}
		var ok bool
		if n, ok = mulNonNegative(n, d); !ok {
			return 0, fmt.Errorf("%w: dimensions %v overflow", ErrInvalid, dims)
		}
	}
	return n, nil
}

// checkStored compares the length of the data with the dims.
func checkStored(d DType, n int64, raw []byte, pb *onnxpb.TensorProto) error {
	got, want := int64(len(raw)), int64(0)
	if raw != nil {
		var err error
		if want, err = d.bytesFor(n); err != nil {
			return err
		}
	} else {
		got, want = typedLen(d, pb), n
		if bits := bitsOf[d]; bits == 4 || bits == 2 {
			want = (n*bits + 7) / 8
		} else if d == 14 || d == 15 {
			want = 2 * n
		}
	}
	if got != want {
		return fmt.Errorf("%w: dims %v of %v need %d, the file holds %d", ErrInvalid, pb.GetDims(), d, want, got)
	}
	return nil
}

func typedLen(d DType, pb *onnxpb.TensorProto) int64 {
	switch d {
	case Float32, 14:
		return int64(len(pb.FloatData))
	case Float64, 15:
		return int64(len(pb.DoubleData))
	case Int64:
		return int64(len(pb.Int64Data))
	case 12, Uint64:
		return int64(len(pb.Uint64Data))
	case String:
		return int64(len(pb.StringData))
	}
	return int64(len(pb.Int32Data))
}

// Bytes returns the elements as little-endian raw_data. The slice may alias the
// model and must not be changed.
func (t *Tensor) Bytes() ([]byte, error) {
	switch {
	case t.of != nil:
		values, err := t.of.Float32s()
		if err != nil {
			return nil, err
		}
		return encodeFloats(t.DType, values)
	case t.outside() != nil:
		return t.outside().read()
	case t.fill != nil:
		var out bytes.Buffer
		err := t.writeTo(&out)
		return out.Bytes(), err
	case t.raw != nil || t.pb == nil:
		return t.raw, nil
	}
	return typedBytes(t.DType, t.pb)
}

// outside returns the file that a tensor's data lie in; nil for data in memory.
func (t *Tensor) outside() interface {
	read() ([]byte, error)
	stream(chunk int, visit func([]byte) error) error
} {
	switch {
	case t.ext != nil:
		return t.ext
	case t.in != nil:
		return t.in
	}
	return nil
}

// typedBytes converts the *_data fields, by onnx-ml.proto's table of which type
// is stored in which field.
func typedBytes(d DType, pb *onnxpb.TensorProto) ([]byte, error) {
	le := binary.LittleEndian
	var out []byte
	switch d {
	case Float32:
		for _, v := range pb.FloatData {
			out = le.AppendUint32(out, math.Float32bits(v))
		}
	case Float64:
		for _, v := range pb.DoubleData {
			out = le.AppendUint64(out, math.Float64bits(v))
		}
	case Int64:
		for _, v := range pb.Int64Data {
			out = le.AppendUint64(out, uint64(v))
		}
	case Uint64:
		for _, v := range pb.Uint64Data {
			out = le.AppendUint64(out, v)
		}
	case 12:
		for _, v := range pb.Uint64Data {
			out = le.AppendUint32(out, uint32(v))
		}
	default:
		return int32Bytes(d, pb)
	}
	return out, nil
}

func int32Bytes(d DType, pb *onnxpb.TensorProto) ([]byte, error) {
	var out []byte
	switch bitsOf[d] {
	case 32:
		for _, v := range pb.Int32Data {
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		}
	case 16:
		for _, v := range pb.Int32Data {
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		}
	case 8, 4, 2:
		for _, v := range pb.Int32Data {
			out = append(out, byte(v))
		}
	default:
		return nil, fmt.Errorf("%w: tensor %q of %v has no raw form", ErrUnsupported, pb.GetName(), d)
	}
	return out, nil
}

// NewFloat32 makes a tensor that holds a copy of data.
func NewFloat32(name string, dims []int64, data []float32) *Tensor {
	raw := make([]byte, 0, 4*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return &Tensor{Name: name, DType: Float32, Dims: slices.Clone(dims), raw: raw}
}

// NewInt64 makes a tensor that holds a copy of data.
func NewInt64(name string, dims []int64, data []int64) *Tensor {
	raw := make([]byte, 0, 8*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return &Tensor{Name: name, DType: Int64, Dims: slices.Clone(dims), raw: raw}
}

// NewBool makes a tensor that holds a copy of data.
func NewBool(name string, dims []int64, data []bool) *Tensor {
	raw := make([]byte, len(data))
	for i, v := range data {
		if v {
			raw[i] = 1
		}
	}
	return &Tensor{Name: name, DType: Bool, Dims: slices.Clone(dims), raw: raw}
}

// Renamed returns a numeric tensor of the same data under another name.
func (t *Tensor) Renamed(name string) *Tensor {
	c := *t
	c.Name = name
	return &c
}

// Widened returns a float32 view of a floating tensor, converted when read.
func (t *Tensor) Widened() *Tensor {
	if t.DType == Float32 || !t.DType.IsFloat() {
		return t
	}
	return &Tensor{Name: t.Name, DType: Float32, Dims: t.Dims, of: t}
}

// Ints returns the elements of an integer or bool tensor.
func (t *Tensor) Ints() ([]int64, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	decode, ok := intDecoders[t.DType]
	if !ok {
		return nil, fmt.Errorf("tensor %q holds %v, not integers", t.Name, t.DType)
	}
	size := int(bitsOf[t.DType] / 8)
	out := make([]int64, len(b)/size)
	for i := range out {
		out[i] = decode(b[i*size:])
	}
	return out, nil
}

var intDecoders = map[DType]func([]byte) int64{
	Int64:  func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) },
	Uint64: func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) },
	Int32:  func(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) },
	12:     func(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) },
	4:      func(b []byte) int64 { return int64(binary.LittleEndian.Uint16(b)) },
	5:      func(b []byte) int64 { return int64(int16(binary.LittleEndian.Uint16(b))) },
	Int8:   func(b []byte) int64 { return int64(int8(b[0])) },
	Uint8:  func(b []byte) int64 { return int64(b[0]) },
	Bool:   func(b []byte) int64 { return int64(b[0]) },
}

// ReadFloat32 converts the elements of a floating tensor into dst, whose length
// must be Len(). Half precision widens exactly; float64 is rounded.
func (t *Tensor) ReadFloat32(dst []float32) error {
	if int64(len(dst)) != t.Len() {
		return fmt.Errorf("tensor %q has %d elements, the destination %d", t.Name, t.Len(), len(dst))
	}
	if t.of != nil {
		return t.of.ReadFloat32(dst)
	}
	f, err := formatOf(t.DType)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if t.outside() != nil {
		return t.outside().stream(f.Size*floatfmt.Chunk, func(b []byte) error {
			n := len(b) / f.Size
			f.Decode(dst[:n], b)
			dst = dst[n:]
			return nil
		})
	}
	b, err := t.Bytes()
	if err != nil {
		return err
	}
	f.Decode(dst, b)
	return nil
}

// Float32s returns a new slice with the elements of a floating tensor.
func (t *Tensor) Float32s() ([]float32, error) {
	dst := make([]float32, t.Len())
	return dst, t.ReadFloat32(dst)
}

// NewRaw makes a tensor over little-endian raw data, which it keeps.
func NewRaw(name string, d DType, dims []int64, raw []byte) *Tensor {
	return &Tensor{Name: name, DType: d, Dims: slices.Clone(dims), raw: raw}
}

// NewLazy makes a tensor whose raw data read returns, little endian, each time
// they are needed: a model larger than memory is written one tensor at a time.
func NewLazy(name string, d DType, dims []int64, read func() ([]byte, error)) *Tensor {
	return NewFilled(name, d, dims, func(w io.Writer) error {
		b, err := read()
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
}

// NewFilled is NewLazy for data that fill writes in pieces, so that not even one
// tensor need be in memory.
func NewFilled(name string, d DType, dims []int64, fill func(io.Writer) error) *Tensor {
	return &Tensor{Name: name, DType: d, Dims: slices.Clone(dims), fill: fill}
}

// writeTo writes the raw data.
func (t *Tensor) writeTo(w io.Writer) error {
	switch {
	case t.of != nil || t.fill == nil && t.outside() == nil:
		b, err := t.Bytes()
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	case t.outside() != nil:
		return t.outside().stream(1<<20, func(b []byte) error {
			_, err := w.Write(b)
			return err
		})
	}
	want, err := t.DType.bytesFor(t.Len())
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	counted := &countedWriter{w: w}
	if err := t.fill(counted); err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if counted.n != want {
		return fmt.Errorf("tensor %q: dims %v of %v need %d bytes, its source gave %d", t.Name, t.Dims, t.DType, want, counted.n)
	}
	return nil
}

type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// ParseTensor wraps a TensorProto that stands alone, such as a test case's.
func ParseTensor(pb *onnxpb.TensorProto) (*Tensor, error) {
	return tensorFromProto(pb, pb.GetRawData(), nil)
}
