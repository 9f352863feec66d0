package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
)

// chunk is how many numbers are converted at a time.
const chunk = 1 << 16

// A File is an opened file of which only the header is in memory.
type File struct {
	file    *os.File
	begin   int64 // of the data
	entries map[string]entry
}

// Open reads and checks the header of the file at path.
func Open(path string) (_ *File, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	first := make([]byte, min(8, info.Size()))
	if _, err := file.ReadAt(first, 0); err != nil {
		return nil, err
	}
	n, err := headerBytes(first, info.Size())
	if err != nil {
		return nil, err
	}
	text := make([]byte, n)
	if _, err := file.ReadAt(text, 8); err != nil {
		return nil, err
	}
	f := &File{file: file, begin: 8 + n, entries: map[string]entry{}}
	entries, err := parseHeader(text, info.Size()-f.begin)
	for _, e := range entries {
		f.entries[e.name] = e
	}
	return f, err
}

// Names lists the tensors, in no order.
func (f *File) Names() []string {
	out := make([]string, 0, len(f.entries))
	for name := range f.entries {
		out = append(out, name)
	}
	return out
}

// ReadFloat32 fills dst with an F32 tensor, which must have as many elements.
func (f *File) ReadFloat32(name string, dst []float32) error {
	e, ok := f.entries[name]
	switch {
	case !ok:
		return fmt.Errorf("tensor %q is missing", name)
	case e.DType != "F32" || e.Offsets[1]-e.Offsets[0] != 4*int64(len(dst)):
		return fmt.Errorf("tensor %q holds %s %v, not %d numbers F32", name, e.DType, e.Shape, len(dst))
	}
	buf := make([]byte, 4*min(chunk, len(dst)))
	for at := f.begin + e.Offsets[0]; len(dst) > 0; at += int64(len(buf)) {
		buf = buf[:4*min(chunk, len(dst))]
		if _, err := f.file.ReadAt(buf, at); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		for i := range len(buf) / 4 {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:]))
		}
		dst = dst[len(buf)/4:]
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// writeFloats writes the elements of an F32 tensor.
func writeFloats(w io.Writer, values []float32) error {
	buf := make([]byte, 0, 4*min(chunk, len(values)))
	for len(values) > 0 {
		n := min(chunk, len(values))
		buf = buf[:0]
		for _, v := range values[:n] {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}
