#include "pool.h"

#include <stdlib.h>
#include <string.h>

#define CALL(api, name) ((gw_fn_##name)(((void *const *)(api))[gw_at_##name]))

// The allocator's interface in the header (OrtAllocator); the functions that are left out are optional.
struct OrtAllocator {
  uint32_t version;
  void *(*Alloc)(OrtAllocator *, size_t);
  void (*Free)(OrtAllocator *, void *);
  const OrtMemoryInfo *(*Info)(const OrtAllocator *);
  void *(*Reserve)(OrtAllocator *, size_t);
  void *GetStats, *AllocOnStream, *Shrink;
};

#ifdef _WIN32

OrtStatus *gw_pool_register(const OrtApi *api, uint32_t version, bool *registered) { return NULL; }
void gw_pool_read(gw_pool_stats *stats) { memset(stats, 0, sizeof *stats); }
void gw_pool_restart(void) {}
void gw_pool_trim(void) {}
void *gw_pool_alloc(size_t size) { return malloc(size); }
void gw_pool_free(void *p) { free(p); }

#else

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

// A block is a stretch of the range: a value with its header, or a gap between values. Blocks lie one after the other
// from the bottom to the top; no two gaps are neighbours, and none lies at the top.
typedef struct block {
  struct block *below, *above;   // neighbours by address
  struct block *before, *after;  // of a gap: others, in no order
  char *at;
  size_t size;
  bool gap;
  bool spent;  // of a gap, while memory is given back: no large page is left in it
} block;

enum {
  header = 64,        // before each value, holds its block's address; keeps values aligned to cache lines
  small = 16 << 10,   // values below this come from malloc
  grain = 4 << 10,    // sizes are rounded up to pages
  slack = 16,         // the part that may be held above what values took
  huge = 2 << 20,     // the system's large pages, which are asked for and, where that is enough, given back whole
  stride = 64 << 20,  // addresses become memory in steps of this
};

static struct {
  pthread_mutex_t lock;
  char *bottom, *top, *ready, *end;  // values lie below top; [bottom, ready) may be used
  char *written;                     // above it nothing lies in memory
  char *in_memory;                   // by grain of [bottom, ready): 1 where a value was and nothing was given back since
  size_t held;                       // bytes of these grains: what may lie in memory
  block *highest, *gaps, *spare;
  gw_pool_stats stats;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static block *new_block(void) {
  block *b = pool.spare;
  if (b != NULL) {
    pool.spare = b->after;
  } else {
    b = malloc(sizeof *b);
  }
  if (b != NULL) memset(b, 0, sizeof *b);
  return b;
}

static void drop_block(block *b) {
  b->after = pool.spare;
  pool.spare = b;
}

static void add_gap(block *b) {
  b->gap = true;
  b->before = NULL;
  b->after = pool.gaps;
  if (pool.gaps != NULL) pool.gaps->before = b;
  pool.gaps = b;
}

static void remove_gap(block *b) {
  b->gap = false;
  if (b->before != NULL) b->before->after = b->after;
  if (b->after != NULL) b->after->before = b->before;
  if (pool.gaps == b) pool.gaps = b->after;
}

// The smallest gap that is large enough, the lowest of equal ones.
static block *best_gap(size_t size) {
  block *best = NULL, *g;
  for (g = pool.gaps; g != NULL; g = g->after) {
    if (g->size < size || (best != NULL && (g->size > best->size || (g->size == best->size && g->at > best->at)))) continue;
    best = g;
  }
  return best;
}

// Takes size bytes from the lower end of a gap.
static block *take(block *g, size_t size) {
  remove_gap(g);
  if (g->size > size) {
    block *rest = new_block();
    if (rest != NULL) {  // without memory for a rest the value has it all
      rest->at = g->at + size;
      rest->size = g->size - size;
      rest->below = g;
      rest->above = g->above;
      g->above->below = rest;  // a gap is never the highest block
      g->above = rest;
      g->size = size;
      add_gap(rest);
    }
  }
  return g;
}

// Makes the next addresses usable, size bytes at least.
static bool make_ready(size_t size) {
  size_t more = (size + stride - 1) / stride * stride, ready = pool.ready - pool.bottom;
  char *map;
  if (more > (size_t)(pool.end - pool.ready)) more = pool.end - pool.ready;
  if ((map = realloc(pool.in_memory, (ready + more) / grain)) == NULL) return false;
  pool.in_memory = map;
  memset(map + ready / grain, 0, more / grain);
  if (mprotect(pool.ready, more, PROT_READ | PROT_WRITE) != 0) return false;
#ifdef MADV_HUGEPAGE
  madvise(pool.ready, more, MADV_HUGEPAGE);
#endif
  pool.ready += more;
  return true;
}

// Puts a block on top of the others.
static block *extend(size_t size) {
  block *b;
  if (size > (size_t)(pool.end - pool.top)) return NULL;
  if (pool.top + size > pool.ready && !make_ready(pool.top + size - pool.ready)) return NULL;
  if ((b = new_block()) == NULL) return NULL;
  b->at = pool.top;
  b->size = size;
  b->below = pool.highest;
  if (pool.highest != NULL) pool.highest->above = b;
  pool.highest = b;
  pool.top += size;
  if (pool.written < pool.top) pool.written = pool.top;
  return b;
}

// Bytes of [from, to) that may lie in memory.
static size_t held_in(const char *from, const char *to) {
  size_t i = (from - pool.bottom) / grain, end = (to - pool.bottom) / grain, n = 0;
  for (; i < end; i++) n += (size_t)pool.in_memory[i];
  return n * grain;
}

// A value will be written to all of its block.
static void mark(const block *b) {
  pool.held += b->size - held_in(b->at, b->at + b->size);
  memset(pool.in_memory + (b->at - pool.bottom) / grain, 1, b->size / grain);
}

// Gives the whole pages of [from, to) back; they read as zeros when they are next used.
static void give_back(char *from, char *to) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  size_t freed;
  from = (char *)(((uintptr_t)from + page - 1) / page * page);
  to = (char *)((uintptr_t)to / page * page);
  if (from >= to || (freed = held_in(from, to)) == 0 || madvise(from, to - from, MADV_DONTNEED) != 0) return;
  memset(pool.in_memory + (from - pool.bottom) / grain, 0, (to - from) / grain);
  pool.held -= freed;
}

static void give_back_top(void) {
  give_back(pool.top, pool.written);
  pool.written = pool.top;
}

// What may be held: what values ever took at one time, and a part of it more.
static size_t may_hold(void) { return pool.stats.most_used + pool.stats.most_used / slack; }

static size_t excess(void) { return pool.held > may_hold() ? pool.held - may_hold() : 0; }

// Gives large pages that lie whole in [from, to) back, the highest first, until no more is held than may be. Values go
// to the lower end of a gap: what is kept there is what the next one writes to.
static void give_back_huge(char *from, char *to) {
  uintptr_t low = ((uintptr_t)from + huge - 1) / huge * huge, high = (uintptr_t)to / huge * huge;
  for (; high > low && excess() > 0; high -= huge) give_back((char *)(high - huge), (char *)high);
}

// Gives memory back in which no value lies, until no more is held than may be. A value that fits into no gap then costs
// new pages, which the system clears, but the peak stays near that of the values. Only the excess goes: with whole gaps
// a step of GPT-2 asks for twice its memory anew, a twelfth of its time.
static void hold_no_more(void) {
  block *g;
  if (excess() > 0) give_back_huge(pool.top, pool.written);
  while (excess() > 0) {
    block *most = NULL;
    for (g = pool.gaps; g != NULL; g = g->after) {
      if (g->size >= 2 * huge && (most == NULL || g->size > most->size) && !g->spent) most = g;
    }
    if (most == NULL) break;
    give_back_huge(most->at, most->at + most->size);
    most->spent = true;
  }
  if (excess() > 0) give_back_top();
  for (g = pool.gaps; g != NULL; g = g->after) {
    if (excess() > 0) give_back(g->at, g->at + g->size);
    g->spent = false;
  }
  if (pool.held > pool.stats.most_held) pool.stats.most_held = pool.held;
}

static void *alloc_locked(size_t size) {
  block *b = best_gap(size);
  b = b != NULL ? take(b, size) : extend(size);
  if (b == NULL) return NULL;
  mark(b);
  memcpy(b->at, &b, sizeof b);
  pool.stats.used += b->size;
  if (pool.stats.used > pool.stats.most_used) pool.stats.most_used = pool.stats.used;
  hold_no_more();
  return b->at + header;
}

void *gw_pool_alloc(size_t size) {
  void *p = NULL;
  if (size == 0) return NULL;
  if (size < small || pool.bottom == NULL || size > SIZE_MAX - header - grain) {
    return posix_memalign(&p, header, size) == 0 ? p : NULL;
  }
  pthread_mutex_lock(&pool.lock);
  p = alloc_locked((size + header + grain - 1) / grain * grain);
  pthread_mutex_unlock(&pool.lock);
  return p;
}

// Joins a block to the one below it, which takes its place.
static block *join_below(block *b) {
  block *low = b->below;
  low->size += b->size;
  low->above = b->above;
  if (b->above != NULL) b->above->below = low;
  if (pool.highest == b) pool.highest = low;
  drop_block(b);
  return low;
}

static void free_locked(block *b) {
  pool.stats.used -= b->size;
  if (b->below != NULL && b->below->gap) {
    remove_gap(b->below);
    b = join_below(b);
  }
  if (b->above != NULL && b->above->gap) {
    remove_gap(b->above);
    join_below(b->above);
  }
  if (b->above != NULL) {
    add_gap(b);
    return;
  }
  pool.top = b->at;
  pool.highest = b->below;
  if (b->below != NULL) b->below->above = NULL;
  drop_block(b);
}

void gw_pool_free(void *p) {
  block *b;
  if (p == NULL) return;
  if ((char *)p < pool.bottom || (char *)p >= pool.end) {
    free(p);
    return;
  }
  pthread_mutex_lock(&pool.lock);
  memcpy(&b, (char *)p - header, sizeof b);
  free_locked(b);
  pthread_mutex_unlock(&pool.lock);
}

void gw_pool_read(gw_pool_stats *stats) {
  pthread_mutex_lock(&pool.lock);
  *stats = pool.stats;
  stats->held = pool.held;
  pthread_mutex_unlock(&pool.lock);
}

void gw_pool_restart(void) {
  pthread_mutex_lock(&pool.lock);
  pool.stats.most_used = pool.stats.most_held = pool.stats.used;
  hold_no_more();
  pthread_mutex_unlock(&pool.lock);
}

void gw_pool_trim(void) {
  block *g;
  pthread_mutex_lock(&pool.lock);
  for (g = pool.gaps; g != NULL; g = g->after) give_back(g->at, g->at + g->size);
  give_back_top();
  pthread_mutex_unlock(&pool.lock);
}

// Reserves addresses, which cost nothing until they are used: as many as the system gives.
static bool reserve(void) {
  size_t size;
  for (size = (size_t)1 << (sizeof(void *) == 8 ? 43 : 29); size >= (size_t)1 << 28; size /= 2) {
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) continue;
    pool.bottom = pool.top = pool.ready = pool.written = p;
    pool.end = pool.bottom + size;
    return true;
  }
  return false;
}

static OrtMemoryInfo *memory;

static void *alloc_value(OrtAllocator *a, size_t size) { return gw_pool_alloc(size); }
static void free_value(OrtAllocator *a, void *p) { gw_pool_free(p); }
static const OrtMemoryInfo *info(const OrtAllocator *a) { return memory; }

// What a session keeps as long as it lives stays out of the pool.
static void *keep_value(OrtAllocator *a, size_t size) {
  void *p = NULL;
  return size > 0 && posix_memalign(&p, header, size) == 0 ? p : NULL;
}

static OrtAllocator allocator = {.Alloc = alloc_value, .Free = free_value, .Info = info, .Reserve = keep_value};

OrtStatus *gw_pool_register(const OrtApi *api, uint32_t version, bool *registered) {
  OrtEnv *env = NULL;
  OrtStatus *status;
  if (pool.bottom != NULL || !reserve()) return NULL;
  allocator.version = version;
  status = CALL(api, CreateCpuMemoryInfo)(0, 0, &memory);
  // The environment is the one that is open already: there is one for the process.
  if (status == NULL) status = CALL(api, CreateEnv)(4, "ghostwriter", &env);
  if (status == NULL) status = CALL(api, RegisterAllocator)(env, &allocator);
  *registered = status == NULL;
  return status;
}

#endif
