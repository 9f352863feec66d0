// Package mpi joins the processes of a distributed run. Its types implement dpadam.Comm, which
// says what each collective does:
//
//   - [World] is MPI's world, over Open MPI's C interface. It exists under the build tag mpi; without
//     the tag [Open] says how to get it. mpirun, Slurm and the Kubeflow MPI operator all start it.
//   - [Local] joins goroutines of one process, without any library: the tests of distributed training
//     run on it.
//
// # Rules of the cgo part
//
// MPI is initialised with MPI_THREAD_FUNNELED: one goroutine, locked to its thread, makes every call
// (runtime.LockOSThread), and the methods hand it work. Calls get pointers into Go slices, which the
// garbage collector neither moves nor frees during a call, and MPI keeps none after it: only blocking
// collectives are used. Vectors travel in pieces through a buffer whose size does not depend on the model,
// so that neither the library's temporary memory nor the 32-bit counts of MPI do.
//
// MPI's error handler is MPI_ERRORS_RETURN: a call that fails returns an error. Most often a lost
// rank shows in another way: the launcher kills the other ranks.
package mpi
