package ir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A folder is the only place where a model's external data may lie: the folder
// of the model file. Files are opened through os.Root, must be regular, and no
// component of their path may be a symbolic link (CVE-2022-25882, 2024-27318,
// 2024-5187, 2025-51480, 2026-27489 and 2026-34447 are what other readers let
// through).
type folder struct{ dir string }

// external says where a tensor's bytes lie.
type external struct {
	folder   *folder
	location string // slash-separated, relative
	offset   int64
	length   int64
}

// locate reads the external_data entries of pb and checks them against the
// file; size is what the tensor's dims ask for.
func (f *folder) locate(pb *onnxpb.TensorProto, size int64) (*external, error) {
	if f == nil {
		return nil, fmt.Errorf("%w: the data are external, but the model was not read from a folder", ErrInvalid)
	}
	e := &external{folder: f, length: size}
	for _, kv := range pb.GetExternalData() {
		var err error
		switch kv.GetKey() {
		case "location":
			e.location = kv.GetValue()
		case "offset":
			e.offset, err = strconv.ParseInt(kv.GetValue(), 10, 64)
		case "length":
			var n int64
			n, err = strconv.ParseInt(kv.GetValue(), 10, 64)
			if err == nil && n != size {
				err = fmt.Errorf("length %d, dims need %d", n, size)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: external data: %s: %v", ErrInvalid, kv.GetKey(), err)
		}
	}
	total, err := f.stat(e.location)
	if err != nil {
		return nil, err
	}
	if e.offset < 0 || e.offset > total || e.length > total-e.offset {
		return nil, fmt.Errorf("%w: external data %q: bytes %d+%d lie outside the file of %d bytes", ErrInvalid, e.location, e.offset, e.length, total)
	}
	return e, nil
}

// stat checks that location names a regular file inside the folder, reached
// through no symbolic link, and returns its size.
func (f *folder) stat(location string) (int64, error) {
	if location == "" || strings.Contains(location, "\\") || !filepath.IsLocal(filepath.FromSlash(location)) {
		return 0, fmt.Errorf("%w: external data location %q leaves the model's folder", ErrInvalid, location)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return 0, fmt.Errorf("external data: %w", err)
	}
	defer root.Close()
	parts := strings.Split(path.Clean(location), "/")
	for i := range parts {
		info, err := root.Lstat(strings.Join(parts[:i+1], "/"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return 0, fmt.Errorf("%w: external data file %q is missing beside the model", ErrInvalid, location)
		case err != nil:
			return 0, fmt.Errorf("external data %q: %w", location, err)
		case info.Mode()&fs.ModeSymlink != 0:
			return 0, fmt.Errorf("%w: external data %q goes through a symbolic link; copy the file beside the model", ErrInvalid, location)
		case i == len(parts)-1 && !info.Mode().IsRegular():
			return 0, fmt.Errorf("%w: external data %q is not a regular file", ErrInvalid, location)
		case i == len(parts)-1:
			return info.Size(), nil
		}
	}
	return 0, fmt.Errorf("%w: external data location %q", ErrInvalid, location)
}

// read returns the tensor's bytes.
func (e *external) read() ([]byte, error) {
	buf := make([]byte, 0, e.length)
	err := e.stream(1<<20, func(b []byte) error {
		buf = append(buf, b...)
		return nil
	})
	return buf, err
}

// stream hands the tensor's bytes to visit, at most chunk at a time.
func (e *external) stream(chunk int, visit func([]byte) error) error {
	root, err := os.OpenRoot(e.folder.dir)
	if err != nil {
		return fmt.Errorf("external data: %w", err)
	}
	defer root.Close()
	file, err := root.Open(e.location)
	if err != nil {
		return fmt.Errorf("external data %q: %w", e.location, err)
	}
	defer file.Close()
	buf := make([]byte, min(int64(chunk), e.length))
	for at := int64(0); at < e.length; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), e.length-at)]
		if _, err := file.ReadAt(buf, e.offset+at); err != nil {
			return fmt.Errorf("external data %q: %d bytes at %d: %w", e.location, e.length, e.offset, err)
		}
		if err := visit(buf); err != nil {
			return err
		}
	}
	return nil
}
