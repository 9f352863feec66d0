package ir

import (
	"bufio"
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

// A piece is raw bytes, or numbers to be written as elements of dtype.
type piece struct {
	raw    []byte
	dtype  DType
	values []float32
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
		if len(p.values) == 0 {
			continue
		}
		if err := floatFormats[p.dtype].Write(out, p.values); err != nil {
			return err
		}
	}
	return out.Flush()
}
