// Package durable writes files so that a crash, a full disk or a kill leaves
// either the old file or the new one, never half of either.
//
// It stands at the bottom of the import order, beside runtime/ort, because
// models, ledgers and checkpoints all need it.
package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Hook is called at named points of a write ("write", "sync", "rename"), each
// with "before-" or "after-" in front. Tests use it to kill the process there;
// a nil Hook is never called.
type Hook func(point string)

// At calls the hook, if there is one.
func (h Hook) At(point string) {
	if h != nil {
		h(point)
	}
}

// WriteFile writes what fill produces to path: into a temporary file of the
// same folder, synced, then renamed over path, and the folder synced. When
// anything fails path is untouched and the temporary file is removed.
func WriteFile(path string, perm os.FileMode, fill func(io.Writer) error) error {
	return WriteFileHooked(path, perm, nil, fill)
}

// WriteFileHooked is WriteFile with a Hook at each stage.
func WriteFileHooked(path string, perm os.FileMode, hook Hook, fill func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("cannot create a temporary file in %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", path, err), ignoreClosed(tmp.Close()), ignoreMissing(os.Remove(tmp.Name())))
		}
	}()
	hook.At("before-write")
	if err = fill(tmp); err != nil {
		return err
	}
	if err = tmp.Chmod(perm); err != nil {
		return err
	}
	hook.At("after-write")
	hook.At("before-sync")
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	hook.At("after-sync")
	hook.At("before-rename")
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	hook.At("after-rename")
	return SyncDir(dir)
}

// WriteBytes is WriteFile for content that is already in memory.
func WriteBytes(path string, perm os.FileMode, data []byte) error {
	return WriteFile(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteJSON is WriteFile for a value as indented JSON.
func WriteJSON(path string, perm os.FileMode, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return WriteBytes(path, perm, append(data, '\n'))
}

// ReplaceDir moves the finished folder tmp to path. An older folder at path is
// moved aside first and removed last, so that a reader finds the old one, the
// new one, or (for an instant) none, but never a mixture.
func ReplaceDir(tmp, path string, hook Hook) error {
	if err := SyncDir(tmp); err != nil {
		return err
	}
	old := path + ".old"
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("removing %s: %w", old, err)
	}
	hook.At("before-rename")
	if err := os.Rename(path, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("moving %s aside: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("renaming %s to %s: %w", tmp, path, err)
	}
	hook.At("after-rename")
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
