#include "bridge.h"
#include "bridge_call.h"

#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

// OrtApiBase holds these two functions and nothing else.
struct OrtApiBase {
  const OrtApi *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)(void);
};

const char *gw_base_version(OrtApiBase *base) { return base->GetVersionString(); }
const OrtApi *gw_base_api(OrtApiBase *base, uint32_t version) { return base->GetApi(version); }

void gw_return_large_blocks(void) {
#ifdef __GLIBC__
  // By default glibc raises its threshold for mapped blocks to the size of the largest one freed, up to 32 MiB; smaller
  // ones then come from a heap that fragments and is never given back. Setting the threshold switches that off.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

uint64_t gw_flush_subnormals(void) {
#if defined(__x86_64__) || defined(_M_X64)
  unsigned int setting = _mm_getcsr();
  _mm_setcsr(setting | 0x8040); // flush to zero, subnormals are zeros
  return setting;
#elif defined(__aarch64__) && defined(__GNUC__)
  uint64_t setting;
  __asm__ __volatile__("mrs %0, fpcr" : "=r"(setting));
  __asm__ __volatile__("msr fpcr, %0" : : "r"(setting | (UINT64_C(1) << 24)));
  return setting;
#else
  return 0;
#endif
}

void gw_restore_subnormals(uint64_t setting) {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_setcsr((unsigned int)setting);
#elif defined(__aarch64__) && defined(__GNUC__)
  __asm__ __volatile__("msr fpcr, %0" : : "r"(setting));
#else
  (void)setting;
#endif
}

const char *gw_status_message(const OrtApi *api, const OrtStatus *status) { return CALL(api, GetErrorMessage)(status); }
void gw_status_release(const OrtApi *api, OrtStatus *status) { CALL(api, ReleaseStatus)(status); }

OrtStatus *gw_providers(const OrtApi *api, char ***names, int *n) { return CALL(api, GetAvailableProviders)(names, n); }
OrtStatus *gw_providers_release(const OrtApi *api, char **names, int n) { return CALL(api, ReleaseAvailableProviders)(names, n); }

OrtStatus *gw_free_dimension(const OrtApi *api, OrtSessionOptions *o, const char *symbol, int64_t size) {
  return CALL(api, AddFreeDimensionOverrideByName)(o, symbol, size);
}

// Moves a string of the runtime's allocator to malloc.
static OrtStatus *take_string(const OrtApi *api, OrtAllocator *allocator, char *from, char **to) {
  *to = strdup(from);
  return CALL(api, AllocatorFree)(allocator, from);
}

OrtStatus *gw_end_profiling(const OrtApi *api, OrtSession *s, char **path) {
  OrtAllocator *allocator = NULL;
  char *name = NULL;
  TRY(CALL(api, GetAllocatorWithDefaultOptions)(&allocator));
  TRY(CALL(api, SessionEndProfiling)(s, allocator, &name));
  return take_string(api, allocator, name, path);
}

OrtStatus *gw_count(const OrtApi *api, const OrtSession *s, int list, size_t *n) {
  switch (list) {
    case gw_inputs: return CALL(api, SessionGetInputCount)(s, n);
    case gw_outputs: return CALL(api, SessionGetOutputCount)(s, n);
    default: return CALL(api, SessionGetOverridableInitializerCount)(s, n);
  }
}

static OrtStatus *name_of(const OrtApi *api, const OrtSession *s, int list, size_t i, OrtAllocator *a, char **out) {
  switch (list) {
    case gw_inputs: return CALL(api, SessionGetInputName)(s, i, a, out);
    case gw_outputs: return CALL(api, SessionGetOutputName)(s, i, a, out);
    default: return CALL(api, SessionGetOverridableInitializerName)(s, i, a, out);
  }
}

static OrtStatus *type_of(const OrtApi *api, const OrtSession *s, int list, size_t i, OrtTypeInfo **out) {
  switch (list) {
    case gw_inputs: return CALL(api, SessionGetInputTypeInfo)(s, i, out);
    case gw_outputs: return CALL(api, SessionGetOutputTypeInfo)(s, i, out);
    default: return CALL(api, SessionGetOverridableInitializerTypeInfo)(s, i, out);
  }
}

// Fills the shape fields of info; the symbols of the runtime belong to the type and are copied.
static OrtStatus *read_shape(const OrtApi *api, const OrtTensorTypeAndShapeInfo *shape, gw_info *info) {
  const char **symbols;
  OrtStatus *status;
  size_t i;
  info->has_shape = CALL(api, TensorTypeAndShape_HasShape)(shape);
  if (!info->has_shape) return NULL;
  TRY(CALL(api, GetDimensionsCount)(shape, &info->rank));
  if (info->rank == 0) return NULL;
  info->dims = calloc(info->rank, sizeof(int64_t));
  info->symbols = calloc(info->rank, sizeof(char *));
  TRY(CALL(api, GetDimensions)(shape, info->dims, info->rank));
  symbols = calloc(info->rank, sizeof(char *));
  status = CALL(api, GetSymbolicDimensions)(shape, symbols, info->rank);
  for (i = 0; status == NULL && i < info->rank; i++) info->symbols[i] = strdup(symbols[i] == NULL ? "" : symbols[i]);
  free(symbols);
  return status;
}

static OrtStatus *read_type(const OrtApi *api, const OrtTypeInfo *type, gw_info *info) {
  const OrtTensorTypeAndShapeInfo *shape = NULL;  // belongs to type
  TRY(CALL(api, GetOnnxTypeFromTypeInfo)(type, &info->kind));
  TRY(CALL(api, CastTypeInfoToTensorInfo)(type, &shape));
  if (shape == NULL) return NULL;
  TRY(CALL(api, GetTensorElementType)(shape, &info->type));
  return read_shape(api, shape, info);
}

OrtStatus *gw_describe(const OrtApi *api, const OrtSession *s, int list, size_t i, gw_info *info) {
  OrtAllocator *allocator = NULL;
  OrtTypeInfo *type = NULL;
  OrtStatus *status;
  char *name = NULL;
  memset(info, 0, sizeof *info);
  TRY(CALL(api, GetAllocatorWithDefaultOptions)(&allocator));
  TRY(name_of(api, s, list, i, allocator, &name));
  TRY(take_string(api, allocator, name, &info->name));
  TRY(type_of(api, s, list, i, &type));
  status = read_type(api, type, info);
  CALL(api, ReleaseTypeInfo)(type);
  return status;
}

void gw_info_release(gw_info *info) {
  size_t i;
  for (i = 0; info->symbols != NULL && i < info->rank; i++) free(info->symbols[i]);
  free(info->symbols);
  free(info->dims);
  free(info->name);
  memset(info, 0, sizeof *info);
}

OrtStatus *gw_run_options(const OrtApi *api, const char *const *keys, const char *const *values, size_t n, OrtRunOptions **out) {
  size_t i;
  TRY(CALL(api, CreateRunOptions)(out));
  for (i = 0; i < n; i++) {
    OrtStatus *status = CALL(api, AddRunConfigEntry)(*out, keys[i], values[i]);
    if (status != NULL) {
      CALL(api, ReleaseRunOptions)(*out);
      *out = NULL;
      return status;
    }
  }
  return NULL;
}

OrtStatus *gw_terminate(const OrtApi *api, OrtRunOptions *o) { return CALL(api, RunOptionsSetTerminate)(o); }
void gw_run_options_release(const OrtApi *api, OrtRunOptions *o) { CALL(api, ReleaseRunOptions)(o); }

// A tensor of no elements may have no memory at all, but the runtime wants an address.
static char nowhere[64];

OrtStatus *gw_wrap(const OrtApi *api, const OrtMemoryInfo *memory, const gw_view *v, OrtValue **out) {
  void *data = v->bytes == 0 ? nowhere : v->data;
  return CALL(api, CreateTensorWithDataAsOrtValue)(memory, data, v->bytes, v->dims, v->rank, v->type, out);
}

static OrtStatus *wrap_all(const OrtApi *api, const OrtMemoryInfo *memory, const gw_view *views, const bool *wanted,
                           size_t n, OrtValue **values) {
  size_t i;
  for (i = 0; i < n; i++) {
    if (wanted == NULL || wanted[i]) TRY(gw_wrap(api, memory, &views[i], &values[i]));
  }
  return NULL;
}

static void release_value(const OrtApi *api, OrtValue **v) {
  if (*v != NULL) CALL(api, ReleaseValue)(*v);
  *v = NULL;
}

OrtStatus *gw_run(const OrtApi *api, OrtSession *s, const OrtRunOptions *o, const OrtMemoryInfo *memory,
                  const char *const *input_names, const gw_view *inputs, size_t n_in,
                  const char *const *output_names, const gw_view *outputs, const bool *bound, size_t n_out,
                  OrtValue **values) {
  OrtStatus *status;
  size_t i;
  memset(values, 0, (n_in + n_out) * sizeof *values);
  status = wrap_all(api, memory, inputs, NULL, n_in, values);
  if (status == NULL) status = wrap_all(api, memory, outputs, bound, n_out, values + n_in);
  if (status == NULL) {
    uint64_t setting = gw_flush_subnormals(); // the calling thread computes too
    status = CALL(api, Run)(s, o, input_names, (const OrtValue *const *)values, n_in, output_names, n_out, values + n_in);
    gw_restore_subnormals(setting);
  }
  for (i = 0; i < n_in; i++) release_value(api, &values[i]);
  for (i = 0; i < n_out; i++) {
    if (status != NULL || bound[i]) release_value(api, &values[n_in + i]);
  }
  return status;
}

static OrtStatus *tensor_type(const OrtApi *api, const OrtValue *v, gw_element_type *type, size_t *rank) {
  OrtTensorTypeAndShapeInfo *shape = NULL;
  OrtStatus *status;
  TRY(CALL(api, GetTensorTypeAndShape)(v, &shape));
  status = CALL(api, GetTensorElementType)(shape, type);
  if (status == NULL) status = CALL(api, GetDimensionsCount)(shape, rank);
  CALL(api, ReleaseTensorTypeAndShapeInfo)(shape);
  return status;
}

OrtStatus *gw_value(const OrtApi *api, OrtValue *v, gw_onnx_type *kind, gw_element_type *type, size_t *rank, void **data) {
  enum { tensor = 1, string = 8 };  // ONNX_TYPE_TENSOR, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING
  TRY(CALL(api, GetValueType)(v, kind));
  if (*kind != tensor) return NULL;
  TRY(tensor_type(api, v, type, rank));
  if (*type == string) return NULL;
  return CALL(api, GetTensorMutableData)(v, data);
}

OrtStatus *gw_value_dims(const OrtApi *api, const OrtValue *v, int64_t *dims, size_t rank) {
  OrtTensorTypeAndShapeInfo *shape = NULL;
  OrtStatus *status;
  TRY(CALL(api, GetTensorTypeAndShape)(v, &shape));
  status = CALL(api, GetDimensions)(shape, dims, rank);
  CALL(api, ReleaseTensorTypeAndShapeInfo)(shape);
  return status;
}

void gw_value_release(const OrtApi *api, OrtValue *v) { CALL(api, ReleaseValue)(v); }
