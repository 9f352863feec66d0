//go:build !windows

package ort

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "bridge.h"

// Loads the library and returns what its OrtGetApiBase gives, NULL if it has no such function. If it can't be loaded,
// message is the loader's, malloc'ed: dlerror's text is only valid on the thread that failed, so it is fetched here.
static OrtApiBase *gw_load(const char *path, char **message) {
  OrtApiBase *(*get)(void);
  void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (handle == NULL) {
    *message = strdup(dlerror());
    return NULL;
  }
  *(void **)&get = dlsym(handle, "OrtGetApiBase");
  if (get == NULL) {
    dlclose(handle);
    return NULL;
  }
  return get();
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// loadBase loads the shared library at path and returns its API base and version text. The library is never unloaded:
// unloading a C++ runtime is where processes crash, and one library of the right version is all a process needs.
func loadBase(path string) (*C.OrtApiBase, string, error) {
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	var message *C.char
	base := C.gw_load(cPath, &message)
	if message != nil {
		defer C.free(unsafe.Pointer(message))
		return nil, "", fmt.Errorf("can't load the library %s: %s", path, oneLine(C.GoString(message)))
	}
	if base == nil {
		return nil, "", fmt.Errorf("%s is no onnxruntime library: it has no function OrtGetApiBase", path)
	}
	version := C.gw_base_version(base)
	if version == nil {
		return nil, "", fmt.Errorf("%s is no onnxruntime library: it names no version", path)
	}
	return base, C.GoString(version), nil
}
