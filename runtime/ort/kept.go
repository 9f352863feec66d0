package ort

// #include "bridge.h"
import "C"

import (
	"runtime"
	"sync/atomic"
)

// kept is memory of the runtime that tensors lie in (see Fetch.Keep). The last tensor to go takes it along.
type kept struct{ *owned }

// owned is a value that is given back once.
type owned struct {
	env   *Env
	value *C.OrtValue
	freed atomic.Bool
}

func (o *owned) free() {
	if !o.freed.Swap(true) {
		C.gw_value_release(o.env.api, o.value)
	}
}

// keep makes v the owner of t's memory.
func (t *Tensor) keep(e *Env, v *C.OrtValue) {
	t.kept = &kept{&owned{env: e, value: v}}
	runtime.AddCleanup(t.kept, (*owned).free, t.kept.owned)
}

// gone reports whether the memory was given back.
func (k *kept) gone() bool { return k != nil && k.freed.Load() }

// Release gives the memory of a kept output back to the runtime at once; otherwise Go does when it finds the tensor
// unused. The tensor and everything that shares its data (Bytes, Data, Reshape) must not be used afterwards, nor may a
// run be using it. On a tensor in Go's memory, and a second time, it does nothing.
func (t *Tensor) Release() {
	if t == nil || t.kept == nil || t.kept.gone() {
		return
	}
	t.kept.free()
	t.data, t.n, t.shape = nil, 0, []int64{0}
}
