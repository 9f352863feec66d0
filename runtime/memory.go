package runtime

import (
	"math"
	goruntime "runtime"
	"runtime/debug"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// heldBytes is what a run holds from its first step to its last beside the
// microbatch: for every trained number its weight, the microbatch's sum and the
// step's (in int64), and the optimizer's moments, which with Adam is six times its
// four bytes, and with an average of the weights seven; and the frozen numbers once.
// Of several ranks each has its share of the moments, and rank 0 the average, and
// a vector to gather the second moments in for a checkpoint.
func heldBytes(p *ghost.Program, o dpadam.OptimizerSpec, average bool, r *ranks) int64 {
	const weight, microbatch, step = 1, 1, 2
	trained, moments := elements(p.Trained), int64(o.StateVectors())
	each := int64(weight + microbatch + step)
	if average && r.first() {
		each++
	}
	if r != nil && r.first() {
		each += max(0, moments-1)
	}
	own := r.own(trained)
	return 4 * (each*trained + moments*int64(own.End-own.Start) + elements(p.Frozen) + elements(p.Unreached))
}

func elements(params []ghost.Parameter) (n int64) {
	for _, p := range params {
		n += p.Elements()
	}
	return n
}

// microbatchMemory is what is left for the runs of a microbatch: of --max-memory
// all, of what the system has free a third: the data, the files that are written
// and other programs want some too.
// What is free is divided among the processes of the run on this machine.
func microbatchMemory(maxMemory, held int64, processes int) (int64, error) {
	const unknown = 2 << 30 // where the system does not say what is free
	if maxMemory > 0 {
		if maxMemory <= held {
			return 0, usage("weights, sums and moments need %d MB, --max-memory allows %d; train fewer parameters (--trainable, --method bias-only), or with --optimizer sgd and without --ema",
				held>>20+1, maxMemory>>20)
		}
		return maxMemory - held, nil
	}
	free := availableMemory() / int64(processes)
	switch {
	case free == 0:
		return unknown, nil
	case free <= held:
		return 0, usage("weights, sums and moments need %d MB, %d are free; train fewer parameters (--trainable, --method bias-only), or with --optimizer sgd and without --ema", held>>20+1, free>>20)
	}
	return (free - held) / 3, nil
}

// limitGarbage bounds the garbage that a run's steps may leave before it is
// collected, and returns what undoes that. Go collects when garbage equals what is
// alive; with vectors of many gigabytes that would be never, or too late. A limit
// that the user has set (GOMEMLIMIT) is left alone.
func limitGarbage(held int64) (restore func()) {
	const large, garbage = 1 << 30, 1 << 29
	if held < large || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return func() {}
	}
	var now goruntime.MemStats
	goruntime.ReadMemStats(&now)
	debug.SetMemoryLimit(int64(now.Sys-now.HeapReleased) + held + garbage)
	return func() { debug.SetMemoryLimit(math.MaxInt64) }
}
