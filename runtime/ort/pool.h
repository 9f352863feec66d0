// The memory pool of the runtime's values: one range of addresses that all sessions of the process share.
#ifndef GHOSTWRITER_POOL_H
#define GHOSTWRITER_POOL_H

#include "api_table.h"

// What a pool holds, in bytes: values, now and at most, and with memory that no value lies in any more.
typedef struct {
  size_t used, most_used, held, most_held;
} gw_pool_stats;

// Makes the process's pool and registers it with the runtime's environment as the allocator of main memory. *registered
// stays false where the system can't reserve addresses; then the runtime's own arenas serve.
OrtStatus *gw_pool_register(const OrtApi *api, uint32_t version, bool *registered);

void gw_pool_read(gw_pool_stats *stats);

// Begins a new measurement of what is used and held at most: gives back what is above the present values.
void gw_pool_restart(void);

// Gives the pages that no value lies in back to the system.
void gw_pool_trim(void);

// The pool's two functions, for tests.
void *gw_pool_alloc(size_t size);
void gw_pool_free(void *p);

#endif
