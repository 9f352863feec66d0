package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"first", "", "third, longer than the first"} {
		if err := WriteBytes(path, 0o640, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("read %q, %v; want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestFailedWriteLeavesOldFileAndNoLitter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteBytes(path, 0o600, []byte("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	err := WriteFile(path, 0o600, func(w io.Writer) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return full
	})
	if !errors.Is(err, full) {
		t.Fatalf("error %v does not carry the cause", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Fatalf("old file is now %q", got)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Fatalf("left behind: %v", names)
	}
}

func TestHookSeesEveryStage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var seen []string
	err := WriteFileHooked(path, 0o600, func(p string) { seen = append(seen, p) }, func(io.Writer) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"before-write", "after-write", "before-sync", "after-sync", "before-rename", "after-rename"}
	if len(seen) != len(want) {
		t.Fatalf("stages %v, want %v", seen, want)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Fatalf("stages %v, want %v", seen, want)
		}
	}
}

func TestReplaceDir(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "checkpoint")
	for _, text := range []string{"one", "two"} {
		tmp := filepath.Join(root, "tmp")
		if err := os.Mkdir(tmp, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := WriteBytes(filepath.Join(tmp, "f"), 0o600, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := ReplaceDir(tmp, path, nil); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join(path, "f")); string(got) != text {
			t.Fatalf("found %q, want %q", got, text)
		}
	}
	if names, _ := os.ReadDir(root); len(names) != 1 {
		t.Fatalf("left behind: %v", names)
	}
}
