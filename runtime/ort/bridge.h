// What Go calls: small C functions over the table of api_table.h (Go can't call a C function pointer itself). Each
// returns NULL, or an OrtStatus that the caller turns into an error and releases.
#ifndef GHOSTWRITER_BRIDGE_H
#define GHOSTWRITER_BRIDGE_H

#include "api_table.h"

// A tensor in memory that the caller owns.
typedef struct {
  void *data;
  size_t bytes;
  const int64_t *dims;
  size_t rank;
  gw_element_type type;
} gw_view;

// One input, output or overridable initializer of a session, as declared. The strings and dims are malloc'ed.
typedef struct {
  char *name;
  gw_onnx_type kind;
  gw_element_type type;
  bool has_shape;
  size_t rank;
  int64_t *dims;
  char **symbols;
} gw_info;

// The lists of a session.
enum { gw_inputs, gw_outputs, gw_overridable };

const char *gw_base_version(OrtApiBase *base);
const OrtApi *gw_base_api(OrtApiBase *base, uint32_t version);

// Makes malloc give every block of 1 MiB or more back to the system when it is freed.
void gw_return_large_blocks(void);

// How this thread treats numbers below the smallest normal one: gw_flush_subnormals makes it take them for zero and
// returns the setting there was, which gw_restore_subnormals puts back.
uint64_t gw_flush_subnormals(void);
void gw_restore_subnormals(uint64_t setting);

const char *gw_status_message(const OrtApi *api, const OrtStatus *status);
void gw_status_release(const OrtApi *api, OrtStatus *status);

OrtStatus *gw_providers(const OrtApi *api, char ***names, int *n);
OrtStatus *gw_providers_release(const OrtApi *api, char **names, int n);

OrtStatus *gw_free_dimension(const OrtApi *api, OrtSessionOptions *o, const char *symbol, int64_t size);
OrtStatus *gw_end_profiling(const OrtApi *api, OrtSession *s, char **path);

OrtStatus *gw_count(const OrtApi *api, const OrtSession *s, int list, size_t *n);
OrtStatus *gw_describe(const OrtApi *api, const OrtSession *s, int list, size_t i, gw_info *info);
void gw_info_release(gw_info *info);

OrtStatus *gw_run_options(const OrtApi *api, const char *const *keys, const char *const *values, size_t n, OrtRunOptions **out);
OrtStatus *gw_terminate(const OrtApi *api, OrtRunOptions *o);
void gw_run_options_release(const OrtApi *api, OrtRunOptions *o);

// A value over the memory of a view.
OrtStatus *gw_wrap(const OrtApi *api, const OrtMemoryInfo *memory, const gw_view *v, OrtValue **out);

// Runs the session. values has room for n_in + n_out entries; bound[i] says that outputs[i] is a destination to write
// to. On success values[n_in + i] holds the value of each output i that is not bound; the caller releases it. All other
// values are released here, on failure every one.
OrtStatus *gw_run(const OrtApi *api, OrtSession *s, const OrtRunOptions *o, const OrtMemoryInfo *memory,
                  const char *const *input_names, const gw_view *inputs, size_t n_in,
                  const char *const *output_names, const gw_view *outputs, const bool *bound, size_t n_out,
                  OrtValue **values);

// What a value is: kind and, for a tensor, element type, rank and data.
OrtStatus *gw_value(const OrtApi *api, OrtValue *v, gw_onnx_type *kind, gw_element_type *type, size_t *rank, void **data);
OrtStatus *gw_value_dims(const OrtApi *api, const OrtValue *v, int64_t *dims, size_t rank);
void gw_value_release(const OrtApi *api, OrtValue *v);

#endif
