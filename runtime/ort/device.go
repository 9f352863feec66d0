package ort

// #include "bridge_device.h"
import "C"

import (
	"fmt"
	"strconv"
	"strings"
)

// Device says where a session's operators run. The zero value is the processor.
type Device struct {
	cuda  bool
	index int
}

// CUDA is the NVIDIA GPU of that index.
func CUDA(index int) Device { return Device{cuda: true, index: index} }

// ParseDevice reads "cpu" (or nothing), "cuda" (the first GPU) or "cuda:N".
func ParseDevice(text string) (Device, error) {
	switch {
	case text == "" || text == "cpu":
		return Device{}, nil
	case text == "cuda":
		return CUDA(0), nil
	}
	if digits, ok := strings.CutPrefix(text, "cuda:"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 && n < 1024 && strconv.Itoa(n) == digits {
			return CUDA(n), nil
		}
	}
	return Device{}, fmt.Errorf("unknown device %q: there are cpu, cuda and cuda:N, the GPU of that number", text)
}

// String is the form that ParseDevice reads: "cpu", "cuda:0".
func (d Device) String() string {
	if d.cuda {
		return "cuda:" + strconv.Itoa(d.index)
	}
	return "cpu"
}

// IsCPU reports whether operators run on the processor.
func (d Device) IsCPU() bool { return !d.cuda }

// memoryName is the runtime's name of the device's own memory, pinnedMemory the name and the kind (OrtMemType) of main
// memory that the device reads and writes directly.
func (d Device) memoryName() string {
	if d.cuda {
		return "Cuda"
	}
	return "Cpu"
}

func (d Device) pinnedMemory() (name string, kind C.gw_memory_type) {
	const byDefault, cpuOutput = 0, -1
	if d.cuda {
		return "CudaPinned", cpuOutput
	}
	return "Cpu", byDefault
}

// DeviceError says why a device can't be used: everything that was looked for and not found.
type DeviceError struct {
	Device   Device
	Problems []DeviceProblem
}

// DeviceProblem is one reason, with what to do about it.
type DeviceProblem struct{ Found, Remedy string }

func (e *DeviceError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.Found + ": " + p.Remedy
	}
	return fmt.Sprintf("device %s can't be used: %s", e.Device, strings.Join(parts, "; and "))
}
