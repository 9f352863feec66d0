// Package pinned names the one onnxruntime build that this version of Ghostwriter is tested with: its version, where the
// package clients ship it, the SHA-256 of everything that is fetched, and where it is cached. runtime/ort (which loads
// the library) and tools/getort (which fetches it) both read it from here. The package uses no cgo and does no I/O
// beyond asking for the user's cache folder.
package pinned

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Version is the onnxruntime release that getort fetches and the tests run on.
const Version = "1.30.0"

// HeaderAPIVersion is ORT_API_VERSION of the C header that github.com/yalue/onnxruntime_go v1.36.0 is compiled against.
// A library 1.N offers the API versions up to N, so its minor version must be at least this; newer libraries work.
const HeaderAPIVersion = 29

// LibraryEnv is the environment variable that names an onnxruntime library to use instead of the cached one.
const LibraryEnv = "GHOSTWRITER_ORT_LIB"

// Remedy ends every error about a missing or unusable library: what a user can do about it.
const Remedy = "run `make build` (it fetches onnxruntime " + Version + " with npm or pip), or set " + LibraryEnv +
	" to a libonnxruntime of version 1.29 or newer"

// CacheDir returns the folder that holds the fetched library of this Version: ghostwriter/onnxruntime-<Version> in the
// user's cache folder. It fails only where the system has no such folder (HOME and XDG_CACHE_HOME both unset).
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder for onnxruntime: %w", err)
	}
	return filepath.Join(base, "ghostwriter", "onnxruntime-"+Version), nil
}

// CUDACacheDir is CacheDir for the GPU build.
func CUDACacheDir() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return dir + "-cuda", nil
}

// LibraryName is the file name of the cached library on the operating system goos (a runtime.GOOS value).
func LibraryName(goos string) string {
	switch goos {
	case "darwin":
		return "libonnxruntime.dylib"
	case "windows":
		return "onnxruntime.dll"
	default:
		return "libonnxruntime.so"
	}
}

// LibraryNames lists the names under which an onnxruntime library may lie beside the executable, best first.
func LibraryNames(goos string) []string {
	switch goos {
	case "darwin":
		return []string{LibraryName(goos), "libonnxruntime.1.dylib", "libonnxruntime." + Version + ".dylib"}
	case "windows":
		return []string{LibraryName(goos)}
	default:
		return []string{LibraryName(goos), "libonnxruntime.so.1", "libonnxruntime.so." + Version}
	}
}

// Platform is an operating system and processor in Go's names, as "linux/amd64".
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
