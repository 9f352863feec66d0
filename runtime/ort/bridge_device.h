// Runs whose inputs and outputs can lie in a device's memory: what Go calls, as in bridge.h.
#ifndef GHOSTWRITER_BRIDGE_DEVICE_H
#define GHOSTWRITER_BRIDGE_DEVICE_H

#include "bridge.h"

// One input or output of a bound run: a value that lies on the device, or else the caller's memory. An output with
// neither (bound is false) is allocated by the runtime in main memory.
typedef struct {
  const char *name;
  OrtValue *value;
  gw_view view;
  bool bound;
} gw_place;

// Memory of a device by the name that the runtime gives it, as "Cpu", "Cuda" or "CudaPinned".
OrtStatus *gw_memory(const OrtApi *api, const char *name, int device, gw_memory_type type, OrtMemoryInfo **out);
void gw_memory_release(const OrtApi *api, OrtMemoryInfo *memory);

// A session's allocator for such memory. It must be released before the session, and what it allocated before it.
OrtStatus *gw_allocator(const OrtApi *api, const OrtSession *s, const OrtMemoryInfo *memory, OrtAllocator **out);
void gw_allocator_release(const OrtApi *api, OrtAllocator *allocator);

// An uninitialised tensor in the allocator's memory; data is its address there.
OrtStatus *gw_new_tensor(const OrtApi *api, OrtAllocator *allocator, const int64_t *dims, size_t rank,
                         gw_element_type type, OrtValue **out, void **data);

// Runs the session with every input and output bound to its place, and waits until the device is done. values has room
// for n_out entries; on success values[i] holds the value of each output i that is not bound, for the caller to release.
OrtStatus *gw_run_bound(const OrtApi *api, OrtSession *s, const OrtRunOptions *o, const OrtMemoryInfo *main_memory,
                        const gw_place *inputs, size_t n_in, const gw_place *outputs, size_t n_out, OrtValue **values);

#endif
