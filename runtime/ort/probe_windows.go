//go:build windows

package ort

// #include "bridge.h"
import "C"

import "errors"

// loadBase says that Windows is not supported yet: reading a library's version before it is used needs its loader, and
// nothing here has been run on that system.
func loadBase(path string) (*C.OrtApiBase, string, error) {
	return nil, "", errors.New("running models is not supported on Windows yet; use Linux or macOS (or WSL)")
}
