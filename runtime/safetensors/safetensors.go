// Package safetensors reads and writes the safetensors format: eight bytes of
// header length, a JSON header, and the tensors' raw little-endian data one
// after the other without gaps.
//
// Open and OpenDir read no more than the headers: tensors are read from a file,
// or from the shards of a Hugging Face checkpoint, when they are asked for.
// WriteFile and WriteDir write tensors that are made one at a time.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrFormat is wrapped by errors about a malformed file.
var ErrFormat = errors.New("not a safetensors file")

// maxHeader is the format's own bound on the header.
const maxHeader = 100_000_000

// metadataKey is the header's member that is no tensor.
const metadataKey = "__metadata__"

// A Tensor is one entry as Parse finds it; Data aliases the file.
type Tensor struct {
	Name  string
	DType string // "F32", "I64", …, as the format writes it
	Shape []int64
	Data  []byte

	// For writing, one of these may stand instead of Data. Floats are the
	// elements of a floating tensor that lie in memory as they are, rounded to
	// the tensor's type on their way out, so that a checkpoint needs no second
	// copy of the weights. Fill writes exactly the tensor's bytes when its turn
	// comes, so that no more than one tensor need be in memory.
	Floats []float32
	Fill   func(io.Writer) error
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
	_, entries, err := parseHeader(data[8:8+n], int64(len(body)))
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

// parseHeader reads the metadata and the entries of total bytes of data, in their
// order there. A name that stands twice is refused: readers differ in which of
// the two they take.
func parseHeader(text []byte, total int64) (metadata map[string]string, out []entry, err error) {
	seen := map[string]bool{}
	err = eachMember(text, func(name string, raw json.RawMessage) error {
		if seen[name] {
			return fmt.Errorf("tensor %q stands twice in the header", name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := json.Unmarshal(raw, &metadata); err != nil {
				return fmt.Errorf("%s: %v", metadataKey, err)
			}
			return nil
		}
		e := entry{name: name}
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("tensor %q: %v", name, err)
		}
		if err := e.check(total); err != nil {
			return fmt.Errorf("tensor %q: %v", name, err)
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	return metadata, out, contiguous(out, total)
}

// eachMember visits the members of a JSON object in their order, those of a name
// that stands twice too.
func eachMember(text []byte, visit func(name string, raw json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("header: no JSON object (%v)", err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("header: %v", err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("header: %v", err)
		}
		name, _ := key.(string)
		if err := visit(name, raw); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("header: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("header: something stands behind the JSON object")
	}
	return nil
}

func (e entry) check(total int64) error {
	want, err := Bytes(e.DType, e.Shape)
	if err != nil {
		return err
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > total {
		return fmt.Errorf("offsets %v in %d bytes", e.Offsets, total)
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
