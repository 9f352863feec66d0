package ort

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestWithin(t *testing.T) {
	const huge = 1<<64 - 1
	for _, c := range []struct {
		offset, length uint64
		want           bool
	}{
		{0, 10, true}, {10, 0, true}, {3, 7, true}, {4, 7, false}, {0, 11, false}, {11, 0, false},
		{huge, 1, false}, {1, huge, false}, {huge, huge, false},
	} {
		if got := within(c.offset, c.length, 10); got != c.want {
			t.Errorf("%d bytes at %d of 10: got %v", c.length, c.offset, got)
		}
	}
}

// FuzzCheckELF: whatever a file holds, it is judged and not crashed on, and what is accepted has all its segments.
func FuzzCheckELF(f *testing.F) {
	if runtime.GOOS != "linux" {
		f.Skip("these files are ELF")
	}
	path := filepath.Join(f.TempDir(), "tiny.so")
	fakeLibrary(f, path, "1.30.0")
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, file []byte) {
		err := checkELF("lib.so", bytes.NewReader(file), int64(len(file)))
		if err != nil && !strings.Contains(err.Error(), "lib.so") {
			t.Errorf("%v does not name the file", err)
		}
		if err == nil && len(file) < 64 {
			t.Errorf("%d bytes are no library", len(file))
		}
	})
}
