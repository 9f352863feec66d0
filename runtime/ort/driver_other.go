//go:build !linux

package ort

import (
	"fmt"
	"runtime"
)

const driverLibrary = "the NVIDIA driver"

// readDriver: CUDA devices are supported on Linux only.
func readDriver(string) (driver, error) {
	return driver{}, fmt.Errorf("GPUs are supported on linux, this is %s", runtime.GOOS)
}

func loads(string) error { return nil }
