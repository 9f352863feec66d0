package ort

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	yalue "github.com/yalue/onnxruntime_go"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// Env is the opened onnxruntime library. There is one per process, because the library and the wrapper each keep one
// environment; it lives until the process ends and needs no closing. All methods are safe for concurrent use.
type Env struct {
	library Library
	api     *C.OrtApi
	memory  *C.OrtMemoryInfo // describes main memory; belongs to the wrapper
	pooled  bool             // sessions share a pool for their values
}

// opened guards the process's only environment. It is a variable because the wrapper's environment is one; nothing reads
// it but Open.
var opened struct {
	sync.Mutex
	env *Env
}

// Load finds the library (FindLibrary says where) and opens it.
func Load(explicit string) (*Env, error) {
	lib, err := FindLibrary(explicit)
	if err != nil {
		return nil, err
	}
	return Open(lib.Path)
}

// Open opens the onnxruntime library at path. Its version is read first; one that is too old is refused with a
// *VersionError. Opening the same file again returns the same Env; opening another one is an error, since a process can
// hold only one.
func Open(path string) (*Env, error) {
	opened.Lock()
	defer opened.Unlock()
	if opened.env != nil {
		real, err := realPath(path)
		if err != nil {
			return nil, err
		}
		if real != opened.env.library.Path {
			return nil, fmt.Errorf("can't open the onnxruntime library %s: this process already uses %s", real, opened.env.library.Path)
		}
		return opened.env, nil
	}
	lib, base, err := load(path)
	if err != nil {
		return nil, err
	}
	env, err := initialise(lib, base)
	if err != nil {
		return nil, fmt.Errorf("onnxruntime library %s (version %s): %w", lib.Path, lib.Version, err)
	}
	opened.env = env
	return env, nil
}

// load checks the file, loads it and reads its version.
func load(path string) (Library, *C.OrtApiBase, error) {
	real, err := realPath(path)
	if err != nil {
		return Library{}, nil, err
	}
	if err := checkBinary(real); err != nil {
		return Library{}, nil, err
	}
	base, version, err := loadBase(real)
	if err != nil {
		return Library{}, nil, err
	}
	if err := usable(real, version); err != nil {
		return Library{}, nil, err
	}
	return Library{Path: real, Version: version}, base, nil
}

func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// initialise lets the wrapper open the library and takes the function table from it. Log lines and telemetry are off, and
// malloc is told to give large blocks back: without that ShrinkArena and NoArena save nothing (see Options).
func initialise(lib Library, base *C.OrtApiBase) (*Env, error) {
	api := C.gw_base_api(base, pinned.HeaderAPIVersion)
	if api == nil {
		return nil, fmt.Errorf("it does not offer API version %d; %s", pinned.HeaderAPIVersion, pinned.Remedy)
	}
	C.gw_return_large_blocks()
	yalue.SetSharedLibraryPath(lib.Path)
	if err := yalue.InitializeEnvironment(yalue.WithLogLevelFatal()); err != nil {
		return nil, err
	}
	if err := yalue.DisableTelemetry(); err != nil {
		return nil, errors.Join(err, yalue.DestroyEnvironment())
	}
	memory, err := yalue.GetMemoryInfo()
	if err != nil {
		return nil, errors.Join(err, yalue.DestroyEnvironment())
	}
	e := &Env{library: lib, api: api, memory: (*C.OrtMemoryInfo)(unsafe.Pointer(memory))}
	if err := e.startPool(); err != nil {
		return nil, errors.Join(err, yalue.DestroyEnvironment())
	}
	return e, nil
}

// Version is the library's own version text, for example "1.30.0".
func (e *Env) Version() string { return e.library.Version }

// Path is the library's file, absolute and with symbolic links resolved.
func (e *Env) Path() string { return e.library.Path }

// Providers lists the execution providers the library was built with, in the runtime's order of preference, for example
// "CPUExecutionProvider". One that is listed can still lack its device or driver.
func (e *Env) Providers() ([]string, error) {
	var names **C.char
	var n C.int
	if err := e.check(C.gw_providers(e.api, &names, &n)); err != nil {
		return nil, fmt.Errorf("can't list the execution providers: %w", err)
	}
	list := make([]string, 0, int(n))
	for _, name := range unsafe.Slice(names, int(n)) {
		list = append(list, C.GoString(name))
	}
	if err := e.check(C.gw_providers_release(e.api, names, n)); err != nil {
		return nil, fmt.Errorf("can't release the list of execution providers: %w", err)
	}
	return list, nil
}

// runtimeError is what the library said about a failed call.
type runtimeError string

func (e runtimeError) Error() string { return string(e) }

// check turns a status into an error on one line and releases it.
func (e *Env) check(status *C.OrtStatus) error {
	if status == nil {
		return nil
	}
	defer C.gw_status_release(e.api, status)
	return runtimeError(oneLine(C.GoString(C.gw_status_message(e.api, status))))
}

// oneLine joins the lines of a message of the runtime.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
