//go:build mpi

package mpi

/*
#cgo pkg-config: ompi-c
#include <mpi.h>
#include <stdlib.h>

// What the headers define as macros that cgo can't read.
static MPI_Comm gw_world(void)      { return MPI_COMM_WORLD; }
static MPI_Datatype gw_byte(void)   { return MPI_BYTE; }
static MPI_Datatype gw_float(void)  { return MPI_FLOAT; }
static MPI_Datatype gw_int64(void)  { return MPI_INT64_T; }
static MPI_Datatype gw_double(void) { return MPI_DOUBLE; }

static int gw_errors_return(void) { return MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN); }

// Sums of each rank's block of a buffer [size*block], which comes back at the buffer's beginning.
static int gw_reduce_scatter(void *buffer, int block, MPI_Datatype type) {
	return MPI_Reduce_scatter_block(MPI_IN_PLACE, buffer, block, type, MPI_SUM, MPI_COMM_WORLD);
}

// Every rank's block of a buffer [size*block], in place.
static int gw_all_gather(void *buffer, int block, MPI_Datatype type) {
	return MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, buffer, block, type, MPI_COMM_WORLD);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"
)

// World is this process's place among those that mpirun started. Its methods may be called from one goroutine at a
// time.
type World struct {
	rank, size int
	calls      chan func()
	buffer     []uint64 // pieces of vectors on their way
}

// The buffer that vectors travel through has pieceBytes, or blockBytes for each rank if that is more: large enough that
// the latency of a call, or of a ring's turn, does not matter, and small enough that it stays in a cache and that the
// library's own buffers are kept between calls.
const (
	pieceBytes = 1 << 20
	blockBytes = 256 << 10
	maxMessage = 64 << 10 // of Exchange
)

// Open initialises MPI. Once Close was called it can't be opened again.
func Open() (*World, error) {
	// Go handles the signals of faults itself; Open MPI would print a warning that it leaves them alone.
	if err := os.Setenv("OMPI_MCA_opal_signal", ""); err != nil {
		return nil, err
	}
	w := &World{calls: make(chan func())}
	go func() { // the one thread that calls MPI
		runtime.LockOSThread()
		for f := range w.calls {
			f()
		}
	}()
	err := w.call("MPI_Init_thread", func() C.int {
		var provided C.int
		if code := C.MPI_Init_thread(nil, nil, C.MPI_THREAD_FUNNELED, &provided); code != C.MPI_SUCCESS {
			return code
		}
		return C.gw_errors_return()
	})
	if err != nil {
		return nil, err
	}
	var rank, size C.int
	err = errors.Join(w.call("MPI_Comm_rank", func() C.int { return C.MPI_Comm_rank(C.gw_world(), &rank) }),
		w.call("MPI_Comm_size", func() C.int { return C.MPI_Comm_size(C.gw_world(), &size) }))
	if err != nil {
		return nil, err
	}
	w.rank, w.size = int(rank), int(size)
	return w, nil
}

// call runs f on MPI's thread and turns its code into an error.
func (w *World) call(name string, f func() C.int) error {
	done := make(chan C.int)
	w.calls <- func() { done <- f() }
	code := <-done
	if code == C.MPI_SUCCESS {
		return nil
	}
	text := (*C.char)(C.malloc(C.MPI_MAX_ERROR_STRING))
	defer C.free(unsafe.Pointer(text))
	var length C.int
	w.calls <- func() { done <- C.MPI_Error_string(code, text, &length) }
	<-done
	return fmt.Errorf("%s: %s", name, C.GoStringN(text, length))
}

// Rank implements dpadam.Comm.
func (w *World) Rank() int { return w.rank }

// Size implements dpadam.Comm.
func (w *World) Size() int { return w.size }

// Close ends MPI, once every rank has come so far.
func (w *World) Close() error {
	err := errors.Join(w.call("MPI_Barrier", func() C.int { return C.MPI_Barrier(C.gw_world()) }),
		w.call("MPI_Finalize", func() C.int { return C.MPI_Finalize() }))
	close(w.calls)
	return err
}

// Abort ends all processes of the world with an exit code. It does not return.
func (w *World) Abort(code int) {
	_ = w.call("MPI_Abort", func() C.int { return C.MPI_Abort(C.gw_world(), C.int(code)) })
	os.Exit(code)
}

// Broadcast implements dpadam.Comm.
func (w *World) Broadcast(data []byte) error {
	for piece := range pieces(len(data), pieceBytes) {
		part := data[piece.lo:piece.hi]
		if err := w.call("MPI_Bcast", func() C.int {
			return C.MPI_Bcast(unsafe.Pointer(unsafe.SliceData(part)), C.int(len(part)), C.gw_byte(), 0, C.gw_world())
		}); err != nil {
			return err
		}
	}
	return nil
}

// Exchange implements dpadam.Comm.
func (w *World) Exchange(mine []byte) ([][]byte, error) {
	out := make([][]byte, w.size)
	n := len(mine)
	if n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes is too long to exchange, %d are the most", n, maxMessage)
	}
	all := make([]byte, n*w.size)
	copy(all[n*w.rank:], mine)
	if n > 0 {
		if err := w.call("MPI_Allgather", func() C.int {
			return C.gw_all_gather(unsafe.Pointer(unsafe.SliceData(all)), C.int(n), C.gw_byte())
		}); err != nil {
			return nil, err
		}
	}
	for r := range out {
		out[r] = all[n*r : n*(r+1) : n*(r+1)]
	}
	return out, nil
}

// ReduceScatter implements dpadam.Comm.
func (w *World) ReduceScatter(sums []int64, bounds []int) error {
	return reduceScatter(w, sums, bounds, C.gw_int64())
}

// ReduceScatterFloats implements dpadam.Comm.
func (w *World) ReduceScatterFloats(sums []float64, bounds []int) error {
	return reduceScatter(w, sums, bounds, C.gw_double())
}

// reduceScatter sends a piece of every rank's coordinates at a time.
func reduceScatter[T int64 | float64](w *World, v []T, bounds []int, datatype C.MPI_Datatype) error {
	return travel(w, v, bounds, func(buffer []T, block int, at func(r int) []T) error {
		for r := range w.size {
			copy(buffer[r*block:(r+1)*block], at(r))
		}
		err := w.call("MPI_Reduce_scatter_block", func() C.int {
			return C.gw_reduce_scatter(unsafe.Pointer(unsafe.SliceData(buffer)), C.int(block), datatype)
		})
		copy(at(w.rank), buffer[:block])
		return err
	})
}

// AllGather implements dpadam.Comm.
func (w *World) AllGather(values []float32, bounds []int) error {
	return travel(w, values, bounds, func(buffer []float32, block int, at func(r int) []float32) error {
		copy(buffer[w.rank*block:], at(w.rank))
		err := w.call("MPI_Allgather", func() C.int {
			return C.gw_all_gather(unsafe.Pointer(unsafe.SliceData(buffer)), C.int(block), C.gw_float())
		})
		for r := range w.size {
			copy(at(r), buffer[r*block:(r+1)*block])
		}
		return err
	})
}

// travel cuts every rank's coordinates into the same number of pieces and calls f for each: with a buffer of a block
// for every rank, and what gives rank r's piece, which may be shorter than a block or empty.
func travel[T int64 | float64 | float32](w *World, v []T, bounds []int, f func(buffer []T, block int, at func(r int) []T) error) error {
	if err := checkBounds(bounds, w.size, len(v)); err != nil {
		return err
	}
	if w.buffer == nil {
		w.buffer = make([]uint64, max(pieceBytes, w.size*blockBytes)/8)
	}
	var t T
	buffer := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(w.buffer))), 8*len(w.buffer)/int(unsafe.Sizeof(t)))
	longest := 0
	for r := range w.size {
		longest = max(longest, bounds[r+1]-bounds[r])
	}
	for piece := range pieces(longest, len(buffer)/w.size) {
		block := piece.hi - piece.lo
		err := f(buffer[:w.size*block], block, func(r int) []T {
			return v[min(bounds[r]+piece.lo, bounds[r+1]):min(bounds[r]+piece.hi, bounds[r+1])]
		})
		if err != nil {
			return err
		}
	}
	return nil
}
