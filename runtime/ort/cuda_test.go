package ort

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]Device{"": {}, "cpu": {}, "cuda": CUDA(0), "cuda:0": CUDA(0), "cuda:3": CUDA(3)} {
		d, err := ParseDevice(text)
		if err != nil || d != want {
			t.Errorf("%q is %v, %v", text, d, err)
		}
		if again, err := ParseDevice(d.String()); err != nil || again != d || d.IsCPU() != (want == Device{}) {
			t.Errorf("%v reads back as %v, %v", d, again, err)
		}
	}
	for _, text := range []string{"gpu", "cuda:", "cuda:-1", "cuda:01", "cuda:+1", "cuda:x", "CUDA", "cuda:9999999999", "cpu:0"} {
		if d, err := ParseDevice(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
}

// Where a session on a GPU is refused, the error says what was found and what to do.
func TestCUDARefused(t *testing.T) {
	env := testEnv(t)
	if err := env.CheckDevice(Device{}); err != nil {
		t.Errorf("the processor is refused: %v", err)
	}
	err := env.CheckDevice(CUDA(0))
	if err == nil {
		t.Skip("there is a GPU")
	}
	var device *DeviceError
	if !errors.As(err, &device) || device.Device != CUDA(0) || len(device.Problems) == 0 {
		t.Fatalf("got %v", err)
	}
	for _, p := range device.Problems {
		if p.Found == "" || p.Remedy == "" || !strings.Contains(err.Error(), p.Found+": "+p.Remedy) {
			t.Errorf("%v says nothing of %+v", err, p)
		}
	}
	if _, merr := env.NewDeviceMemory(CUDA(0), 0); merr == nil || merr.Error() != err.Error() {
		t.Errorf("memory: %v", merr)
	}
	if _, serr := env.NewSession(model(t, chainGraph(1, 2), 10), Options{Device: CUDA(0)}); !errors.As(serr, &device) {
		t.Errorf("session: %v", serr)
	}
}

func TestCheckBuild(t *testing.T) {
	if p := checkBuild("lib.so", []string{"CPUExecutionProvider", cudaProvider}); p != nil {
		t.Errorf("got %v", p)
	}
	err := &DeviceError{CUDA(1), checkBuild("/x/libonnxruntime.so", []string{"CPUExecutionProvider"})}
	for _, want := range []string{"device cuda:1", "/x/libonnxruntime.so has CPUExecutionProvider and no CUDAExecutionProvider", "onnxruntime-gpu", "GHOSTWRITER_ORT_LIB", "make gpu-library"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// fakeDriver compiles a libcuda that answers as told: status of cuInit, number of GPUs.
func fakeDriver(t *testing.T, init, gpus int) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("CUDA devices are for linux")
	}
	source := filepath.Join(t.TempDir(), "cuda.c")
	text := `
#include <stddef.h>
#include <stdio.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuDeviceGetCount(int *n) { *n = GPUS; return 0; }
int cuDeviceGet(int *d, int i) { *d = 100 + i; return i < GPUS ? 0 : 101; }
int cuDeviceGetName(char *name, int size, int d) { snprintf(name, size, "GPU of number %d", d); return 0; }
int cuDeviceTotalMem_v2(size_t *n, int d) { *n = (size_t)80 << 30; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : 0; return 0; }
`
	text = strings.NewReplacer("INIT", itoa(init), "GPUS", itoa(gpus)).Replace(text)
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(filepath.Dir(source), "libcuda.so.1")
	cc := strings.Fields(goOutput(t, "env", "CC"))
	if out, err := exec.Command(cc[0], append(cc[1:], "-shared", "-fPIC", "-o", library, source)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return library
}

func itoa(n int) string { return string('0' + rune(n)) }

func TestReadDriver(t *testing.T) {
	d, err := readDriver(fakeDriver(t, 0, 2))
	if err != nil || d.CUDA != "12.4" || len(d.GPUs) != 2 {
		t.Fatalf("got %+v, %v", d, err)
	}
	if want := (GPU{CUDA(1), "GPU of number 101", 80 << 30, "9.0"}); d.GPUs[1] != want {
		t.Errorf("got %+v, want %+v", d.GPUs[1], want)
	}
}

func TestCheckDriver(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.so")
	for _, c := range []struct {
		library string
		device  int
		want    []string
	}{
		{fakeDriver(t, 0, 2), 1, nil},
		{fakeDriver(t, 0, 2), 2, []string{"device cuda:2", "cuda:0 (GPU of number 100), cuda:1 (GPU of number 101)"}},
		{fakeDriver(t, 0, 0), 0, []string{"the driver (CUDA 12.4) offers no GPU", "CUDA_VISIBLE_DEVICES"}},
		{fakeDriver(t, 3, 1), 0, []string{"cuInit fails with code 3", "nvidia-smi"}},
		{empty, 0, []string{"no NVIDIA driver (", empty, "--device cpu"}},
	} {
		problems := checkDriver(CUDA(c.device), c.library)
		if (problems == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.library, problems)
		}
		err := &DeviceError{CUDA(c.device), problems}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
}

// A provider whose libraries are missing: every one of them is named, with the CUDA that it was built for.
func TestCheckProvider(t *testing.T) {
	dir := t.TempDir()
	if p := checkProvider(dir); len(p) != 1 || p[0].Found != "libonnxruntime_providers_shared.so is not beside the library, in "+dir {
		t.Errorf("got %v", p)
	}
	build := func(name string, args ...string) {
		source := filepath.Join(dir, "empty.c")
		if err := os.WriteFile(source, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cc := strings.Fields(goOutput(t, "env", "CC"))
		args = append([]string{"-shared", "-fPIC", "-o", filepath.Join(dir, name), source}, args...)
		if out, err := exec.Command(cc[0], append(cc[1:], args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if runtime.GOOS != "linux" {
		t.Skip("CUDA devices are for linux")
	}
	build("libonnxruntime_providers_shared.so")
	build("libneeded.so", "-Wl,-soname,libcudart.so.77")
	build("libonnxruntime_providers_cuda.so", "-Wl,--no-as-needed", "-L"+dir, "-lneeded")
	err := &DeviceError{CUDA(0), checkProvider(dir)}
	for _, want := range []string{"libcudart.so.77", "CUDA 77", "LD_LIBRARY_PATH"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestCUDAOptions(t *testing.T) {
	m := Options{Device: CUDA(2)}.cudaOptions()
	if m["device_id"] != "2" || m["use_tf32"] != "0" || m["gpu_mem_limit"] != "" || m["arena_extend_strategy"] != "" {
		t.Errorf("got %v", m)
	}
	m = Options{Device: CUDA(0), DeviceMemory: 1 << 30, exact: true}.cudaOptions()
	if m["device_id"] != "0" || m["use_tf32"] != "0" || m["gpu_mem_limit"] != "1073741824" || m["arena_extend_strategy"] != "kSameAsRequested" {
		t.Errorf("got %v", m)
	}
	if _, err := testEnv(t).NewSession(model(t, chainGraph(1, 2), 10), Options{DeviceMemory: -1}); err == nil {
		t.Error("a negative bound of memory passed")
	}
}
