//go:build !mpi

package mpi

// World would be MPI's world; it has no values in this build.
type World struct{ *Local }

// Open fails: the program was built without MPI.
func Open() (*World, error) { return nil, ErrNotBuilt }

// Close does nothing.
func (w *World) Close() error { return nil }

// Abort does nothing.
func (w *World) Abort(int) {}
