package ort

/*
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// What the driver says, through its C API (stable since CUDA 4): each function returns 0 on success.
typedef struct {
  int version;  // of the newest CUDA that the driver runs, 1000*major + 10*minor
  int devices;
  int failed;         // the code of the first call that failed
  const char *call;   // and its name
} gw_driver;

typedef struct {
  char name[256];
  size_t bytes;
  int major, minor;  // compute capability
} gw_gpu;

// Opens the driver's library and begins; message is the loader's, malloc'ed, where it can't be loaded.
static void *gw_driver_open(const char *path, gw_driver *d, char **message) {
  int (*init)(unsigned), (*version)(int *), (*count)(int *);
  void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  memset(d, 0, sizeof *d);
  if (handle == NULL) {
    *message = strdup(dlerror());
    return NULL;
  }
  *(void **)&init = dlsym(handle, "cuInit");
  *(void **)&version = dlsym(handle, "cuDriverGetVersion");
  *(void **)&count = dlsym(handle, "cuDeviceGetCount");
  if (init == NULL || version == NULL || count == NULL) {
    *message = strdup("the library has no functions cuInit, cuDriverGetVersion and cuDeviceGetCount");
    dlclose(handle);
    return NULL;
  }
  d->call = "cuDriverGetVersion";
  if ((d->failed = version(&d->version)) != 0) return handle;
  d->call = "cuInit";
  if ((d->failed = init(0)) != 0) return handle;
  d->call = "cuDeviceGetCount";
  d->failed = count(&d->devices);
  return handle;
}

static int gw_driver_gpu(void *handle, int index, gw_gpu *g) {
  enum { capability_major = 75, capability_minor = 76 };  // CUdevice_attribute
  int (*get)(int *, int), (*name)(char *, int, int), (*total)(size_t *, int), (*attribute)(int *, int, int);
  int device, status;
  memset(g, 0, sizeof *g);
  *(void **)&get = dlsym(handle, "cuDeviceGet");
  *(void **)&name = dlsym(handle, "cuDeviceGetName");
  *(void **)&total = dlsym(handle, "cuDeviceTotalMem_v2");
  *(void **)&attribute = dlsym(handle, "cuDeviceGetAttribute");
  if (get == NULL || name == NULL || total == NULL || attribute == NULL) return -1;
  if ((status = get(&device, index)) != 0) return status;
  if ((status = name(g->name, sizeof g->name - 1, device)) != 0) return status;
  if ((status = total(&g->bytes, device)) != 0) return status;
  if ((status = attribute(&g->major, capability_major, device)) != 0) return status;
  return attribute(&g->minor, capability_minor, device);
}

// Whether the loader finds a library; message is its own, malloc'ed, where not.
static int gw_loads(const char *name, char **message) {
  if (dlopen(name, RTLD_LAZY | RTLD_LOCAL) != NULL) return 1;
  *message = strdup(dlerror());
  return 0;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// driverLibrary is the name under which NVIDIA's driver installs its C API.
const driverLibrary = "libcuda.so.1"

// readDriver asks the driver which GPUs there are. The library stays loaded: CUDA does not survive being unloaded.
func readDriver(library string) (driver, error) {
	name := C.CString(library)
	defer C.free(unsafe.Pointer(name))
	var raw C.gw_driver
	var message *C.char
	handle := C.gw_driver_open(name, &raw, &message)
	if handle == nil {
		defer C.free(unsafe.Pointer(message))
		return driver{}, fmt.Errorf("%s", oneLine(C.GoString(message)))
	}
	d := driver{CUDA: fmt.Sprintf("%d.%d", raw.version/1000, raw.version%1000/10)}
	if raw.failed != 0 {
		return d, fmt.Errorf("the driver's %s fails with code %d", C.GoString(raw.call), int(raw.failed))
	}
	for i := range int(raw.devices) {
		var g C.gw_gpu
		if code := C.gw_driver_gpu(handle, C.int(i), &g); code != 0 {
			return d, fmt.Errorf("the driver does not describe its GPU %d (code %d)", i, int(code))
		}
		d.GPUs = append(d.GPUs, GPU{
			Device: CUDA(i), Name: C.GoString(&g.name[0]), Bytes: int64(g.bytes), Capability: fmt.Sprintf("%d.%d", int(g.major), int(g.minor)),
		})
	}
	return d, nil
}

// loads asks the loader for a shared library, which then stays loaded.
func loads(library string) error {
	name := C.CString(library)
	defer C.free(unsafe.Pointer(name))
	var message *C.char
	if C.gw_loads(name, &message) != 0 {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return fmt.Errorf("%s", oneLine(C.GoString(message)))
}
