package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// WriteFile writes tensors with metadata, whole or not at all. They lie as the
// reference implementation lays them: types of larger elements first, so that
// each is aligned, then by name.
func WriteFile(path string, tensors []Tensor, metadata map[string]string, hook durable.Hook) error {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(size[b.DType], size[a.DType]), strings.Compare(a.Name, b.Name))
	})
	header, err := headerOf(sorted, metadata)
	if err != nil {
		return err
	}
	return durable.WriteFileHooked(path, 0o644, hook, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range sorted {
			if err := t.write(w); err != nil {
				return fmt.Errorf("writing tensor %q: %w", t.Name, err)
			}
		}
		return nil
	})
}

// headerOf is the file's beginning: the header's length and the header, padded so
// that the data begin aligned.
func headerOf(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	header := map[string]any{}
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	at := int64(0)
	for _, t := range tensors {
		n, err := t.bytes()
		if err != nil {
			return nil, fmt.Errorf("writing tensor %q: %w", t.Name, err)
		}
		if header[t.Name] != nil || t.Name == metadataKey {
			return nil, fmt.Errorf("writing tensor %q: the name occurs twice", t.Name)
		}
		if n > math.MaxInt64-at {
			return nil, fmt.Errorf("writing tensor %q: more than 2^63 bytes", t.Name)
		}
		e := entry{DType: t.DType, Shape: t.Shape, Offsets: []int64{at, at + n}}
		if e.Shape == nil {
			e.Shape = []int64{}
		}
		header[t.Name] = e
		at += n
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("writing safetensors: a header of %d bytes, the format's limit is %d", len(text), maxHeader)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

// bytes is the length of what is written, checked against what stands in memory.
func (t Tensor) bytes() (int64, error) {
	want, err := Bytes(t.DType, t.Shape)
	if err != nil || t.Fill != nil {
		return want, err
	}
	got := int64(len(t.Data))
	if t.Floats != nil {
		f, ok := formats[t.DType]
		if !ok {
			return 0, fmt.Errorf("float numbers can't be written as %s", t.DType)
		}
		if err := f.CheckFits(t.Floats); err != nil {
			return 0, err
		}
		got = int64(f.Size) * int64(len(t.Floats))
	}
	if got != want {
		return 0, fmt.Errorf("shape %v of %s needs %d bytes, there are %d", t.Shape, t.DType, want, got)
	}
	return want, nil
}

// write writes the data, and refuses a Fill that wrote another number of bytes.
func (t Tensor) write(w io.Writer) error {
	switch {
	case t.Fill != nil:
		want, _ := t.bytes()
		c := &counter{w: w}
		if err := t.Fill(c); err != nil {
			return err
		}
		if c.n != want {
			return fmt.Errorf("shape %v of %s needs %d bytes, %d were written", t.Shape, t.DType, want, c.n)
		}
		return nil
	case t.Floats != nil:
		return formats[t.DType].Write(w, t.Floats)
	}
	_, err := w.Write(t.Data)
	return err
}

// A counter counts the bytes that go through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
