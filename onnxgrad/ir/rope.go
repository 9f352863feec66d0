package ir

import (
	"bufio"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// A rope is an encoded message in pieces, most of them parts of the file that was
// read, or weights that are converted on their way out: a model is written without
// a second copy of it in memory.
type rope struct {
	pieces []piece
	size   int
}

// A piece is raw bytes, numbers to be written as elements of dtype, or a tensor
// whose data are read when they are written.
type piece struct {
	raw    []byte
	dtype  DType
	values []float32
	tensor *Tensor
}

func (r *rope) add(raw []byte) {
	r.pieces, r.size = append(r.pieces, piece{raw: raw}), r.size+len(raw)
}

// addNumbers appends a length-delimited field that holds values.
func (r *rope) addNumbers(num protowire.Number, n numbers) {
	size := floatFormats[n.dtype].Size * len(n.values)
	r.add(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(size)))
	r.pieces, r.size = append(r.pieces, piece{dtype: n.dtype, values: n.values}), r.size+size
}

// addTensor appends a length-delimited field that holds t's raw data.
func (r *rope) addTensor(num protowire.Number, t *Tensor) error {
	size, err := t.DType.bytesFor(t.Len())
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	r.add(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(size)))
	r.pieces, r.size = append(r.pieces, piece{tensor: t}), r.size+int(size)
	return nil
}

// addMessage appends a field that holds a message.
func (r *rope) addMessage(num protowire.Number, body *rope) {
	r.add(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(body.size)))
	r.pieces, r.size = append(r.pieces, body.pieces...), r.size+body.size
}

func (r *rope) writeTo(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	for _, p := range r.pieces {
		if _, err := out.Write(p.raw); err != nil {
			return err
		}
		if err := p.writeNumbers(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (p piece) writeNumbers(w io.Writer) error {
	if p.tensor != nil {
		return p.tensor.writeTo(w)
	}
	if len(p.values) == 0 {
		return nil
	}
	return floatFormats[p.dtype].Write(w, p.values)
}
