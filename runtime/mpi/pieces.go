//go:build mpi

package mpi

import "iter"

// A piece is the part [lo, hi) of a vector.
type piece struct{ lo, hi int }

// pieces cuts n elements into pieces of at most size.
func pieces(n, size int) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for lo := 0; lo < n; lo += size {
			if !yield(piece{lo, min(lo+size, n)}) {
				return
			}
		}
	}
}
