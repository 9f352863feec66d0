package ort

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	yalue "github.com/yalue/onnxruntime_go"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// A GPU is one that the driver lists.
type GPU struct {
	Device     Device
	Name       string
	Bytes      int64  // of its memory, in use or not
	Capability string // compute capability, as "9.0"
}

// driver is what NVIDIA's driver says.
type driver struct {
	CUDA string // the newest CUDA that it runs, as "13.0"
	GPUs []GPU
}

// GPUs lists the NVIDIA GPUs that the driver offers. An error says why there are none.
func GPUs() ([]GPU, error) {
	d, err := readDriver(driverLibrary)
	return d.GPUs, err
}

const cudaProvider = "CUDAExecutionProvider"

// CheckDevice reports whether sessions can run on a device: the library has its provider with all the libraries that
// reads, and the driver has the device. The error is a *DeviceError. The processor can always be used.
func (e *Env) CheckDevice(d Device) error {
	if d.IsCPU() {
		return nil
	}
	providers, err := e.Providers()
	if err != nil {
		return err
	}
	dir := filepath.Dir(e.library.Path)
	problems := checkBuild(e.library.Path, providers)
	if problems == nil {
		problems = checkProvider(dir)
	}
	problems = append(problems, checkDriver(d, driverLibrary)...)
	if problems != nil {
		return &DeviceError{d, problems}
	}
	return nil
}

// LoadFor is Load for sessions on a device: for a GPU, where nobody names a library, the GPU build in the cache is taken
// if it is there.
func LoadFor(d Device, explicit string) (*Env, error) {
	if !d.IsCPU() && explicit == "" && os.Getenv(pinned.LibraryEnv) == "" {
		if dir, err := pinned.CUDACacheDir(); err == nil {
			if path, err := inFolder(dir); err == nil {
				return Open(path)
			}
		}
	}
	return Load(explicit)
}

// cudaRemedy says how to get a library with the CUDA provider.
const cudaRemedy = "fetch the GPU build with `make gpu-library` (or take libonnxruntime.so.1.N, libonnxruntime_providers_shared.so and " +
	"libonnxruntime_providers_cuda.so of PyPI's onnxruntime-gpu, all in one folder, and set " + pinned.LibraryEnv + " to the first)"

// checkBuild looks for the provider in the library.
func checkBuild(library string, providers []string) []DeviceProblem {
	if slices.Contains(providers, cudaProvider) {
		return nil
	}
	return []DeviceProblem{{fmt.Sprintf("the onnxruntime library %s has %s and no %s", library, strings.Join(providers, ", "), cudaProvider), cudaRemedy}}
}

// checkDriver asks the driver for the device.
func checkDriver(d Device, library string) []DeviceProblem {
	found, err := readDriver(library)
	switch {
	case err != nil && found.CUDA == "":
		return []DeviceProblem{{fmt.Sprintf("no NVIDIA driver (%v)", err), "install it (in a container: start that with NVIDIA's container toolkit, as docker run --gpus all), or use --device cpu"}}
	case err != nil:
		return []DeviceProblem{{fmt.Sprintf("%v, though %s is there", err, library), "check with nvidia-smi that driver and GPU work, and that this process may use them"}}
	case len(found.GPUs) == 0:
		return []DeviceProblem{{fmt.Sprintf("the driver (CUDA %s) offers no GPU", found.CUDA), "check CUDA_VISIBLE_DEVICES, and in a container that a GPU was given to it"}}
	case d.index >= len(found.GPUs):
		names := make([]string, len(found.GPUs))
		for i, g := range found.GPUs {
			names[i] = g.Device.String() + " (" + g.Name + ")"
		}
		return []DeviceProblem{{"the driver offers " + strings.Join(names, ", "), "name one of these (CUDA_VISIBLE_DEVICES renumbers them)"}}
	}
	return nil
}

// checkProvider looks for the provider's files beside the library, and asks the loader for everything the provider
// itself is linked with: the runtime's own message names the first that is missing only.
func checkProvider(dir string) []DeviceProblem {
	for _, name := range []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"} {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return []DeviceProblem{{fmt.Sprintf("%s is not beside the library, in %s", name, dir), cudaRemedy}}
		}
	}
	path := filepath.Join(dir, "libonnxruntime_providers_cuda.so")
	needed, err := neededLibraries(path)
	if err != nil {
		return []DeviceProblem{{err.Error(), cudaRemedy}}
	}
	if !slices.ContainsFunc(needed, func(name string) bool { return strings.HasPrefix(name, "libcudnn.so.") }) {
		needed = append(needed, lazyCuDNN)
	}
	needed = slices.DeleteFunc(needed, func(name string) bool { return name == driverLibrary }) // checkDriver asks for it
	var missing []string
	for _, name := range needed {
		if err := loads(name); err != nil {
			missing = append(missing, describeMissing(name, err))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []DeviceProblem{{fmt.Sprintf("the loader finds no %s, which %s needs", strings.Join(missing, ", "), path), cudaLibrariesRemedy(needed)}}
}

// describeMissing names a library that does not load, with the loader's reason unless it is just not there.
func describeMissing(name string, err error) string {
	if strings.Contains(err.Error(), name+": cannot open shared object file: No such file") {
		return name
	}
	return fmt.Sprintf("%s (%v)", name, err)
}

// lazyCuDNN is what the provider opens itself at its first reduction, where it is not linked with it.
const lazyCuDNN = "libcudnn.so.9"

// neededLibraries are those that a shared library is linked with.
func neededLibraries(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	return f.ImportedLibraries()
}

// cudaLibrariesRemedy names the CUDA and the cuDNN that a provider was built for, by the numbers of the libraries it is
// linked with.
func cudaLibrariesRemedy(needed []string) string {
	cuda, cudnn := "", "9"
	for _, name := range needed {
		if v, ok := strings.CutPrefix(name, "libcudart.so."); ok {
			cuda = " " + v
		}
		if v, ok := strings.CutPrefix(name, "libcudnn.so."); ok {
			cudnn = v
		}
	}
	return fmt.Sprintf("install the CUDA%s runtime libraries (cuBLAS, cuRAND, cudart) and cuDNN %s, and let the loader find them (LD_LIBRARY_PATH or ldconfig)", cuda, cudnn)
}

// appendDevice lets the session's operators run on o.Device where its provider has a kernel for them; the others run on
// the processor.
func (e *Env) appendDevice(so *yalue.SessionOptions, o Options) error {
	if o.Device.IsCPU() {
		return nil
	}
	if err := e.CheckDevice(o.Device); err != nil {
		return err
	}
	cuda, err := yalue.NewCUDAProviderOptions()
	if err == nil {
		defer cuda.Destroy()
		err = cuda.Update(o.cudaOptions())
	}
	if err == nil {
		err = so.AppendExecutionProviderCUDA(cuda)
	}
	if err != nil {
		return &DeviceError{o.Device, []DeviceProblem{{"the CUDA provider does not start (" + flatten(err).Error() + ")", "check that driver, CUDA and cuDNN fit the library " + e.library.Path}}}
	}
	return nil
}

// cudaOptions are the provider's settings. A product of float32 is one of float32: TF32, which the provider takes by
// default, keeps 10 bits of each factor, and a sum of clipped gradients would no longer have the norm that was computed
// for it (docs/devices.md). The search for convolution algorithms is off, because what it finds depends on the clock.
func (o Options) cudaOptions() map[string]string {
	m := map[string]string{
		"device_id":              strconv.Itoa(o.Device.index),
		"use_tf32":               "0",
		"cudnn_conv_algo_search": "DEFAULT",
	}
	if o.exact {
		m["arena_extend_strategy"] = "kSameAsRequested"
	}
	if o.DeviceMemory > 0 {
		m["gpu_mem_limit"] = strconv.FormatInt(o.DeviceMemory, 10)
	}
	return m
}
