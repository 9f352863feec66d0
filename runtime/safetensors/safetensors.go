// Package safetensors reads and writes the safetensors format: eight bytes of
// header length, a JSON header, and the tensors' raw little-endian data one
// after the other without gaps.
package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// ErrFormat is wrapped by errors about a malformed file.
var ErrFormat = errors.New("not a safetensors file")

// maxHeader is the format's own bound on the header.
const maxHeader = 100_000_000

// A Tensor is one entry. Data aliases the file when it was read. For writing,
// Floats may stand instead of Data: the elements of an F32 tensor that lie in
// memory as they are, so that a checkpoint needs no second copy of the weights.
type Tensor struct {
	Name   string
	DType  string // "F32", "I64", …, as the format writes it
	Shape  []int64
	Data   []byte
	Floats []float32
}

// bytes is the length of what is written.
func (t Tensor) bytes() int64 { return int64(len(t.Data)) + 4*int64(len(t.Floats)) }

// size in bytes of the types that the format defines with whole bytes.
var size = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}

type entry struct {
	name    string
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// Parse reads a file. Offsets must lie inside it, must not overlap, must leave
// no gap, and must agree with shape and type.
func Parse(data []byte) ([]Tensor, error) {
	n, err := headerBytes(data[:min(8, len(data))], int64(len(data)))
	if err != nil {
		return nil, err
	}
	body := data[8+n:]
	entries, err := parseHeader(data[8:8+n], int64(len(body)))
	if err != nil {
		return nil, err
	}
	out := make([]Tensor, len(entries))
	for i, e := range entries {
		out[i] = Tensor{Name: e.name, DType: e.DType, Shape: e.Shape, Data: body[e.Offsets[0]:e.Offsets[1]]}
	}
	return out, nil
}

// headerBytes reads the length of the header from the first eight bytes of a file
// of total bytes.
func headerBytes(first []byte, total int64) (int64, error) {
	if len(first) < 8 {
		return 0, fmt.Errorf("%w: %d bytes", ErrFormat, total)
	}
	n := binary.LittleEndian.Uint64(first)
	if n > maxHeader || int64(n) > total-8 {
		return 0, fmt.Errorf("%w: a header of %d bytes in a file of %d", ErrFormat, n, total)
	}
	return int64(n), nil
}

// parseHeader reads the entries of total bytes of data, in their order there.
func parseHeader(text []byte, total int64) ([]entry, error) {
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("%w: header: %v", ErrFormat, err)
	}
	var out []entry
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		e := entry{name: name}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("%w: tensor %q: %v", ErrFormat, name, err)
		}
		if err := e.check(total); err != nil {
			return nil, fmt.Errorf("%w: tensor %q: %v", ErrFormat, name, err)
		}
		out = append(out, e)
	}
	return out, contiguous(out, total)
}

func (e entry) check(total int64) error {
	unit, ok := size[e.DType]
	if !ok {
		return fmt.Errorf("type %q", e.DType)
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > total {
		return fmt.Errorf("offsets %v in %d bytes", e.Offsets, total)
	}
	want := unit
	for _, d := range e.Shape {
		if d < 0 || d > 0 && want > math.MaxInt64/d {
			return fmt.Errorf("shape %v", e.Shape)
		}
		want *= d
	}
	if want != e.Offsets[1]-e.Offsets[0] {
		return fmt.Errorf("shape %v of %s needs %d bytes, the offsets give %d", e.Shape, e.DType, want, e.Offsets[1]-e.Offsets[0])
	}
	return nil
}

// contiguous orders entries by place and checks that they tile the data.
func contiguous(entries []entry, total int64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]), strings.Compare(a.name, b.name))
	})
	at := int64(0)
	for _, e := range entries {
		if e.Offsets[0] != at {
			return fmt.Errorf("%w: tensor %q begins at %d, the one before it ends at %d", ErrFormat, e.name, e.Offsets[0], at)
		}
		at = e.Offsets[1]
	}
	if at != total {
		return fmt.Errorf("%w: %d bytes behind the last tensor", ErrFormat, total-at)
	}
	return nil
}

// WriteFile writes tensors in name order, with metadata, whole or not at all.
func WriteFile(path string, tensors []Tensor, metadata map[string]string, hook durable.Hook) error {
	sorted := slices.Clone(tensors)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	header := map[string]any{}
	if len(metadata) > 0 {
		header["__metadata__"] = metadata
	}
	at := int64(0)
	for _, t := range sorted {
		e := entry{DType: t.DType, Shape: t.Shape, Offsets: []int64{at, at + t.bytes()}}
		if e.Shape == nil {
			e.Shape = []int64{}
		}
		if err := e.check(math.MaxInt64); err != nil {
			return fmt.Errorf("writing tensor %q: %w", t.Name, err)
		}
		if header[t.Name] != nil {
			return fmt.Errorf("writing tensor %q: the name occurs twice", t.Name)
		}
		header[t.Name] = e
		at += t.bytes()
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 { // data begin aligned
		text = append(text, ' ')
	}
	return durable.WriteFileHooked(path, 0o644, hook, func(w io.Writer) error {
		if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)); err != nil {
			return err
		}
		for _, t := range sorted {
			if _, err := w.Write(t.Data); err != nil {
				return err
			}
			if err := writeFloats(w, t.Floats); err != nil {
				return err
			}
		}
		return nil
	})
}
