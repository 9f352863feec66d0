#include "bridge_device.h"
#include "bridge_call.h"

#include <string.h>

OrtStatus *gw_memory(const OrtApi *api, const char *name, int device, gw_memory_type type, OrtMemoryInfo **out) {
  enum { device_allocator = 0 };  // OrtDeviceAllocator
  return CALL(api, CreateMemoryInfo)(name, device_allocator, device, type, out);
}
void gw_memory_release(const OrtApi *api, OrtMemoryInfo *memory) { CALL(api, ReleaseMemoryInfo)(memory); }

OrtStatus *gw_allocator(const OrtApi *api, const OrtSession *s, const OrtMemoryInfo *memory, OrtAllocator **out) {
  return CALL(api, CreateAllocator)(s, memory, out);
}
void gw_allocator_release(const OrtApi *api, OrtAllocator *allocator) { CALL(api, ReleaseAllocator)(allocator); }

OrtStatus *gw_new_tensor(const OrtApi *api, OrtAllocator *allocator, const int64_t *dims, size_t rank,
                         gw_element_type type, OrtValue **out, void **data) {
  OrtStatus *status;
  TRY(CALL(api, CreateTensorAsOrtValue)(allocator, dims, rank, type, out));
  status = CALL(api, GetTensorMutableData)(*out, data);
  if (status != NULL) {
    CALL(api, ReleaseValue)(*out);
    *out = NULL;
  }
  return status;
}

// The binding holds a reference of its own to each value.
static OrtStatus *bind(const OrtApi *api, OrtIoBinding *b, const OrtMemoryInfo *main_memory, const gw_place *p, bool input) {
  OrtValue *value = p->value;
  OrtStatus *status;
  if (!input && !p->bound) return CALL(api, BindOutputToDevice)(b, p->name, main_memory);
  if (value == NULL) TRY(gw_wrap(api, main_memory, &p->view, &value));
  status = input ? CALL(api, BindInput)(b, p->name, value) : CALL(api, BindOutput)(b, p->name, value);
  if (p->value == NULL) CALL(api, ReleaseValue)(value);
  return status;
}

// Takes the values of the outputs that are not bound; the others are references to places that the caller has.
static OrtStatus *take_values(const OrtApi *api, const OrtIoBinding *b, const gw_place *outputs, size_t n_out, OrtValue **values) {
  OrtAllocator *allocator = NULL;
  OrtValue **all = NULL;
  size_t n = 0, i;
  if (n_out == 0) return NULL;
  TRY(CALL(api, GetAllocatorWithDefaultOptions)(&allocator));
  TRY(CALL(api, GetBoundOutputValues)(b, allocator, &all, &n));
  for (i = 0; i < n; i++) {
    if (i < n_out && !outputs[i].bound) {
      values[i] = all[i];
    } else if (all[i] != NULL) {
      CALL(api, ReleaseValue)(all[i]);
    }
  }
  return CALL(api, AllocatorFree)(allocator, all);
}

static OrtStatus *run(const OrtApi *api, OrtSession *s, const OrtRunOptions *o, const OrtMemoryInfo *main_memory, OrtIoBinding *b,
                      const gw_place *inputs, size_t n_in, const gw_place *outputs, size_t n_out, OrtValue **values) {
  size_t i;
  for (i = 0; i < n_in; i++) TRY(bind(api, b, main_memory, &inputs[i], true));
  for (i = 0; i < n_out; i++) TRY(bind(api, b, main_memory, &outputs[i], false));
  TRY(CALL(api, SynchronizeBoundInputs)(b));
  uint64_t setting = gw_flush_subnormals();
  OrtStatus *status = CALL(api, RunWithBinding)(s, o, b);
  gw_restore_subnormals(setting);
  TRY(status);
  TRY(CALL(api, SynchronizeBoundOutputs)(b));
  return take_values(api, b, outputs, n_out, values);
}

OrtStatus *gw_run_bound(const OrtApi *api, OrtSession *s, const OrtRunOptions *o, const OrtMemoryInfo *main_memory,
                        const gw_place *inputs, size_t n_in, const gw_place *outputs, size_t n_out, OrtValue **values) {
  OrtIoBinding *b = NULL;
  OrtStatus *status;
  memset(values, 0, n_out * sizeof *values);
  TRY(CALL(api, CreateIoBinding)(s, &b));
  status = run(api, s, o, main_memory, b, inputs, n_in, outputs, n_out, values);
  CALL(api, ReleaseIoBinding)(b);
  return status;
}
