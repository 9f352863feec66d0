// How the C files of this package call a function of the table.
#ifndef GHOSTWRITER_BRIDGE_CALL_H
#define GHOSTWRITER_BRIDGE_CALL_H

#include "api_table.h"

#define CALL(api, name) ((gw_fn_##name)(((void *const *)(api))[gw_at_##name]))

// Returns the status of a call if it is an error.
#define TRY(call) \
  do { \
    OrtStatus *status_ = (call); \
    if (status_ != NULL) return status_; \
  } while (0)

#endif
