package ir

import (
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"
)

// A source is the model file of an open Model. It stays open, so that another
// file put in its place does not become part of this model; one that is written
// over is refused. The large tensors lie in it until they are asked for: what
// trains or serves a model holds its weights elsewhere, and once is enough.
type source struct {
	file    *os.File // closed when nothing refers to it any more
	path    string
	size    int64
	changed time.Time
}

func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, cause(err))
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("model %s: %w", path, cause(err))
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: model %s is not a regular file", ErrInvalid, path)
	case info.Size() > maxFileBytes:
		err = fmt.Errorf("%w: model %s has %d bytes; a protobuf file ends at 2 GiB", ErrInvalid, path, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &source{f, path, info.Size(), info.ModTime()}, nil
}

// unchanged refuses a file that was written to since it was opened.
func (s *source) unchanged() error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("model %s: %w", s.path, cause(err))
	}
	if info.Size() != s.size || !info.ModTime().Equal(s.changed) {
		return fmt.Errorf("%w: model %s was written to since it was opened; open it again", ErrInvalid, s.path)
	}
	return nil
}

// bytes returns the whole file, for reading until release is called.
func (s *source) bytes() (data []byte, release func() error, err error) {
	if err := s.unchanged(); err != nil {
		return nil, nil, err
	}
	data, release, err = mapFile(s.file, s.size)
	if err != nil {
		err = fmt.Errorf("model %s: %w", s.path, cause(err))
	}
	return data, release, err
}

// A span is where a tensor's bytes lie in the model file.
type span struct {
	of         *source
	at, length int64
}

// largeTensor is from where a tensor stays in the file.
const largeTensor = 64 << 10

// detach takes the initializers' bytes out of data, the file's: small ones are
// copied, large ones stay in the file.
func (s *source) detach(data []byte, tensors map[string]*Tensor) {
	if len(data) == 0 {
		return
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	for _, t := range tensors {
		if len(t.raw) == 0 {
			continue
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(t.raw))) - begin
		switch {
		case at >= uintptr(len(data)): // not of the file
		case len(t.raw) < largeTensor:
			t.raw = slices.Clone(t.raw)
		default:
			t.in, t.raw = &span{s, int64(at), int64(len(t.raw))}, nil
		}
	}
}

// read returns the tensor's bytes.
func (p *span) read() ([]byte, error) {
	buf := make([]byte, p.length)
	return buf, p.fill(buf, 0)
}

// stream hands the tensor's bytes to visit, at most chunk at a time.
func (p *span) stream(chunk int, visit func([]byte) error) error {
	buf := make([]byte, min(int64(chunk), p.length))
	for at := int64(0); at < p.length; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), p.length-at)]
		if err := p.fill(buf, at); err != nil {
			return err
		}
		if err := visit(buf); err != nil {
			return err
		}
	}
	return nil
}

func (p *span) fill(buf []byte, at int64) error {
	if err := p.of.unchanged(); err != nil {
		return err
	}
	if _, err := p.of.file.ReadAt(buf, p.at+at); err != nil {
		return fmt.Errorf("model %s: %d bytes at %d: %w", p.of.path, len(buf), p.at+at, cause(err))
	}
	return nil
}
