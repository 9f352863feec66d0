package ort

// #include <stdbool.h>
// #include "pool.h"
import "C"

import (
	"unsafe"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// PoolStats is the state of the memory that the runtime's values lie in, in bytes.
type PoolStats struct {
	Used, MostUsed int64 // by values: now, and at most since the last restart
	Held, MostHeld int64 // with what is kept for the next values: never more than values used at most and a sixteenth
}

// poolSlack is the part of what values used that may be held above it, as in pool.c.
const poolSlack = 16

// PoolHolds is the most that the pool holds while its values take so many bytes at one time.
func PoolHolds(values int64) int64 { return values + values/poolSlack }

// Pool reads the pool's state. It is zero where the system has none.
func (e *Env) Pool() PoolStats {
	var s C.gw_pool_stats
	C.gw_pool_read(&s)
	return PoolStats{Used: int64(s.used), MostUsed: int64(s.most_used), Held: int64(s.held), MostHeld: int64(s.most_held)}
}

// Pooled reports that sessions share a pool; without one each has an arena of the runtime, and Pool is zero.
func (e *Env) Pooled() bool { return e.pooled }

// RestartPool begins a new measurement of what is used and held at most, with the memory of the present values.
func (e *Env) RestartPool() { C.gw_pool_restart() }

// TrimPool gives memory in which no value lies back to the system.
func (e *Env) TrimPool() { C.gw_pool_trim() }

// startPool makes the pool that sessions share. Without one each session has an arena of the runtime.
func (e *Env) startPool() error {
	var registered C.bool
	if err := e.check(C.gw_pool_register(e.api, pinned.HeaderAPIVersion, &registered)); err != nil {
		return err
	}
	e.pooled = bool(registered)
	return nil
}

// poolAlloc and poolFree are what the runtime calls, for tests.
func poolAlloc(size int) unsafe.Pointer { return C.gw_pool_alloc(C.size_t(size)) }
func poolFree(p unsafe.Pointer)         { C.gw_pool_free(p) }
