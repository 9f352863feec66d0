package safetensors

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// An Info says what a tensor is.
type Info struct {
	DType string // "F32", "I64", …, as the format writes it
	Shape []int64
}

// Elements is the number of elements, 1 for rank 0.
func (i Info) Elements() int64 {
	n := int64(1)
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// A File is an opened file of which only the header is in memory. It is safe for
// concurrent use.
type File struct {
	file     *os.File
	begin    int64 // of the data
	entries  map[string]entry
	metadata map[string]string
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
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrFormat, path)
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
	metadata, entries, err := parseHeader(text, info.Size()-f.begin)
	f.metadata = metadata
	for _, e := range entries {
		f.entries[e.name] = e
	}
	return f, err
}

// Names lists the tensors in order of their names.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.entries)) }

// Metadata returns what stands under __metadata__; transformers writes
// {"format": "pt"}.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Info says what the tensor of that name is; false where there is none.
func (f *File) Info(name string) (Info, bool) {
	e, ok := f.entries[name]
	return Info{e.DType, slices.Clone(e.Shape)}, ok
}

// Reader reads a tensor's raw bytes.
func (f *File) Reader(name string) (*io.SectionReader, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, fmt.Errorf("tensor %q is missing", name)
	}
	return io.NewSectionReader(f.file, f.begin+e.Offsets[0], e.Offsets[1]-e.Offsets[0]), nil
}

// ReadFloat32 fills dst with a floating tensor (F16, BF16, F32, F64), which must
// have as many elements. Half precision widens exactly, F64 is rounded.
func (f *File) ReadFloat32(name string, dst []float32) error {
	r, err := f.Reader(name)
	if err != nil {
		return err
	}
	info, _ := f.Info(name)
	format, ok := formats[info.DType]
	if !ok || info.Elements() != int64(len(dst)) {
		return fmt.Errorf("tensor %q holds %s %v, not %d floating numbers", name, info.DType, info.Shape, len(dst))
	}
	if err := format.Read(r, dst); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }
