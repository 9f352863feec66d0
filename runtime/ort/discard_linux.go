package ort

import (
	"os"
	"syscall"
	"unsafe"
)

// discard gives the pages that lie wholly in v back to the system, which fills them with zeros when they are used again,
// and clears what is left at both ends. Go's collector does not look into memory without pointers, and does not mind.
func discard(v []float32) bool {
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	first := (begin + page - 1) / page * page
	last := (begin + uintptr(len(v))*4) / page * page
	if last <= first {
		return false
	}
	head, tail := int(first-begin)/4, int(last-begin)/4
	pages := unsafe.Slice((*byte)(unsafe.Pointer(&v[head])), (tail-head)*4)
	if syscall.Madvise(pages, syscall.MADV_DONTNEED) != nil {
		return false
	}
	clear(v[:head])
	clear(v[tail:])
	return true
}
