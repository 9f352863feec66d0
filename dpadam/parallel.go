package dpadam

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls f on stretches [a, b) that cover [0, n), each of size elements (the last
// may be shorter), on all processors. f must not depend on the order.
func parallel(n, size int, f func(a, b int)) {
	parallelN(runtime.GOMAXPROCS(0), n, size, func(_, a, b int) { f(a, b) })
}

// parallelN is parallel on at most workers goroutines; f also gets the number of the
// goroutine, for scratch space of its own.
func parallelN(workers, n, size int, f func(worker, a, b int)) {
	stretches := (n + size - 1) / size
	workers = min(workers, stretches)
	if workers <= 1 {
		for a := 0; a < n; a += size {
			f(0, a, min(a+size, n))
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for {
				a := int(next.Add(1)-1) * size
				if a >= n {
					return
				}
				f(w, a, min(a+size, n))
			}
		})
	}
	wg.Wait()
}
