package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
)

// Weights are the tensors of a checkpoint. Nothing is read before it is asked
// for. It is safe for concurrent use.
type Weights interface {
	// Names lists the tensors in the order of their names.
	Names() []string
	// Info returns type and shape of a tensor; ok is false where there is none.
	Info(name string) (TensorInfo, bool)
	// Bytes reads the elements, little endian, row-major. The caller may keep the
	// slice and must not change it.
	Bytes(name string) ([]byte, error)
}

// openTensor reads a tensor in pieces, where the checkpoint can.
func openTensor(w Weights, name string) (*io.SectionReader, error) {
	if r, ok := w.(interface {
		Reader(name string) (*io.SectionReader, error)
	}); ok {
		return r.Reader(name)
	}
	b, err := w.Bytes(name)
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), err
}

// A TensorInfo is what a checkpoint's header says of a tensor.
type TensorInfo struct {
	DType ir.DType
	Shape []int64
}

// An Init is how transformers initialises a parameter that no checkpoint gives.
type Init struct {
	Constant float32 // where Std is 0
	Std      float64 // of a normal distribution around 0
	// ZeroRow is a row of an embedding that is 0, the padding id's; −1 for none.
	ZeroRow int64
	// Sinusoid is the table of positions of Vaswani et al. 2017 instead.
	Sinusoid bool
}

var (
	zeros = Init{ZeroRow: -1}
	ones  = Init{Constant: 1, ZeroRow: -1}
)

func normal(std float64) Init { return Init{Std: std, ZeroRow: -1} }

// A Parameter is a tensor that an architecture reads.
type Parameter struct {
	Name  string  // in the state_dict of the class with the head
	Shape []int64 // there
	// Transposed parameters, of rank 2, lie in the graph as their transpose:
	// PyTorch keeps a linear layer as [out,in], a MatMul reads [in,out].
	Transposed bool
	Init       Init
}

// graphShape is the shape of the initializer.
func (p Parameter) graphShape() []int64 {
	if !p.Transposed {
		return p.Shape
	}
	return []int64{p.Shape[1], p.Shape[0]}
}

// elements is the number of a parameter's elements; false where it is more than
// any file holds.
func (p Parameter) elements() (int64, bool) {
	n := int64(1)
	for _, d := range p.Shape {
		if d < 1 || n > maxElements/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// maxElements of one parameter.
const maxElements = 1 << 40

// writeTransposed writes rows×columns elements of unit bytes as columns×rows, a
// block of columns at a time.
func writeTransposed(w io.Writer, src []byte, rows, columns, unit int64) error {
	const tile = 64 // keeps both sides in the cache
	block := make([]byte, tile*rows*unit)
	for j0 := int64(0); j0 < columns; j0 += tile {
		n := min(tile, columns-j0)
		for i0 := int64(0); i0 < rows; i0 += tile {
			for i := i0; i < min(i0+tile, rows); i++ {
				for j := range n {
					copy(block[(j*rows+i)*unit:(j*rows+i+1)*unit], src[(i*columns+j0+j)*unit:])
				}
			}
		}
		if _, err := w.Write(block[:n*rows*unit]); err != nil {
			return err
		}
	}
	return nil
}

// copyConverted copies n elements of type from as type to. Rounding to half
// precision is to nearest, ties to even; a finite number that becomes infinite is
// an error.
func copyConverted(w io.Writer, r io.Reader, n int64, from, to ir.DType) error {
	if from == to {
		_, err := io.Copy(w, r)
		return err
	}
	in := formats[from]
	values := make([]float32, min(n, floatfmt.Chunk))
	for at := int64(0); at < n; at += int64(len(values)) {
		values = values[:min(int64(len(values)), n-at)]
		if err := in.Read(r, values); err != nil {
			return err
		}
		if err := writeFloats(w, values, to); err != nil {
			return err
		}
	}
	return nil
}

// converted is copyConverted in memory.
func converted(src []byte, from, to ir.DType) ([]byte, error) {
	format, ok := formats[from]
	switch {
	case from == to:
		return src, nil
	case !ok:
		return nil, fmt.Errorf("its elements are %v, not floating numbers of 16, 32 or 64 bits", from)
	}
	var out bytes.Buffer
	err := copyConverted(&out, bytes.NewReader(src), int64(len(src)/format.Size), from, to)
	return out.Bytes(), err
}

// encoded is writeFloats in memory.
func encoded(values []float32, as ir.DType) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(values) * formats[as].Size)
	err := writeFloats(&out, values, as)
	return out.Bytes(), err
}

// transpose is writeTransposed in memory.
func transpose(src []byte, rows, columns, unit int64) []byte {
	var out bytes.Buffer
	out.Grow(len(src))
	_ = writeTransposed(&out, src, rows, columns, unit) // a buffer takes everything
	return out.Bytes()
}

// formats of the floating types that a checkpoint may hold.
var formats = map[ir.DType]floatfmt.Format{
	ir.Float32: floatfmt.F32, ir.Float16: floatfmt.F16, ir.BFloat16: floatfmt.BF16, ir.Float64: floatfmt.F64,
}

// writeFloats writes values as elements of a floating type.
func writeFloats(w io.Writer, values []float32, as ir.DType) error {
	format := formats[as]
	if err := format.CheckFits(values); err != nil {
		return bad("%v; convert with --dtype float32 or bfloat16", err)
	}
	return format.Write(w, values)
}

// storedType is the type in which a tensor of that type is written: its own, or
// float32 for wider ones.
func storedType(from, asked ir.DType) (ir.DType, error) {
	if _, ok := formats[from]; !ok {
		if from == ir.Undefined {
			return 0, errors.New("its elements are of a type that ONNX weights here do not have; floating numbers of 16, 32 or 64 bits are converted")
		}
		return 0, fmt.Errorf("its elements are %v; floating numbers of 16, 32 or 64 bits are converted", from)
	}
	switch {
	case asked != ir.Undefined:
		return asked, nil
	case from == ir.Float64:
		return ir.Float32, nil
	}
	return from, nil
}
