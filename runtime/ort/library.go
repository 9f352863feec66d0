package ort

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// Library is an onnxruntime shared library that this build can use.
type Library struct {
	Path    string // absolute, symbolic links resolved
	Version string // as the library says, for example "1.30.0"
	Source  string // which place it was found in, for messages: "--ort-lib", "GHOSTWRITER_ORT_LIB", "beside the executable", "the cache"
}

// ErrLibraryNotFound is wrapped by FindLibrary's error when no place holds a library.
var ErrLibraryNotFound = errors.New("onnxruntime library not found")

// VersionError is the error for a library whose version can't be used.
type VersionError struct {
	Path    string
	Version string // what the library says
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("onnxruntime library %s has version %s, but this build needs 1.%d or newer: %s",
		e.Path, e.Version, pinned.HeaderAPIVersion, pinned.Remedy)
}

// FindLibrary looks for the onnxruntime library and reads its version. The places, in order: explicit (the argument of
// --ort-lib, skipped when empty), the environment variable GHOSTWRITER_ORT_LIB, the folder of the executable and its
// bin/, and the user's cache, where `make build` puts it. The first two may name the file or its folder.
//
// The first library found is the one: if it can't be used the error says why, naming path and version, and no later
// place is tried, so that a wrong setting is never papered over.
func FindLibrary(explicit string) (Library, error) {
	path, source, err := locate(explicit, os.Getenv(pinned.LibraryEnv), places())
	if err != nil {
		return Library{}, err
	}
	lib, _, err := load(path)
	if err != nil {
		var wrong *VersionError
		if errors.As(err, &wrong) {
			return Library{}, fmt.Errorf("%s: %w", source, err)
		}
		return Library{}, fmt.Errorf("%s: %w; %s", source, err, pinned.Remedy)
	}
	lib.Source = source
	return lib, nil
}

// locate returns the first existing candidate and the place it came from: a path from the command line, one from the
// environment, the folders to search.
func locate(explicit, environment string, folders []place) (path, source string, err error) {
	var looked []string
	for _, named := range []struct{ source, path string }{{"--ort-lib", explicit}, {pinned.LibraryEnv, environment}} {
		if named.path == "" {
			looked = append(looked, named.source+" (not set)")
			continue
		}
		path, err := resolve(named.path)
		if err != nil {
			return "", "", fmt.Errorf("%s: %w; %s", named.source, err, pinned.Remedy)
		}
		return path, named.source, nil
	}
	for _, place := range folders {
		looked = append(looked, place.dir)
		path, err := inFolder(place.dir)
		if err == nil {
			return path, place.source, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("%s: %w; %s", place.source, err, pinned.Remedy)
		}
	}
	return "", "", fmt.Errorf("%w: looked in %s; %s", ErrLibraryNotFound, strings.Join(looked, ", "), pinned.Remedy)
}

type place struct{ dir, source string }

// places lists the folders that are searched when nobody names a library.
func places() []place {
	var list []place
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		list = append(list, place{dir, "beside the executable"}, place{filepath.Join(dir, "bin"), "beside the executable"})
	}
	if dir, err := pinned.CacheDir(); err == nil {
		list = append(list, place{dir, "the cache"})
	}
	return list
}

// resolve turns a path that the user named, a file or a folder, into the path of a library file.
func resolve(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		return path, nil
	}
	found, err := inFolder(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the folder %s holds no %s", path, pinned.LibraryName(runtime.GOOS))
	}
	return found, err
}

func inFolder(dir string) (string, error) {
	for _, name := range pinned.LibraryNames(runtime.GOOS) {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fs.ErrNotExist
}

// usable checks the version text of the library at path against the header's API version: 1.N offers the API versions
// up to N, and what comes after 1 is taken to offer them too (Open asks it).
func usable(path, version string) error {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) >= 2 {
		major, err1 := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(parts[1])
		if err1 == nil && err2 == nil && (major > 1 || major == 1 && minor >= pinned.HeaderAPIVersion) {
			return nil
		}
	}
	return &VersionError{Path: path, Version: version}
}
