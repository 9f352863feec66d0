package runtime

import (
	"math"
	goruntime "runtime"
	"runtime/debug"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// A MemoryUse says what the memory of a run consists of, in bytes.
type MemoryUse struct {
	// Process is what the process holds before the run's vectors are made: the
	// program, the runtime's library, the model's graphs, the data.
	Process int64 `json:"process"`
	// Weights are those of the model; Sums those of one microbatch where they have a
	// vector of their own, as with units of several records, of which there are two
	// where a unit takes several runs; Lattice the exact sums of a step, in 64 bits;
	// Moments the optimizer's; Average that of --ema.
	Weights int64 `json:"weights"`
	Sums    int64 `json:"sums"`
	Lattice int64 `json:"lattice"`
	Moments int64 `json:"moments"`
	Average int64 `json:"average,omitempty"`
	// Sessions is what the runtime makes of the programs, Garbage what steps leave
	// before it is collected.
	Sessions int64 `json:"sessions"`
	Garbage  int64 `json:"garbage"`
	// Microbatch is the peak of the values of one run of a whole microbatch of the
	// longest length, its sums among them, or the vector of the noised sum where that
	// is more. Such a run is the first, on padding, when there are no moments yet.
	Microbatch int64 `json:"microbatch"`
	// Step is that peak for the records that a step is likely to have of each length,
	// beside the moments.
	Step int64 `json:"step"`
}

// Vectors is what a run holds from its first step to its last.
func (m MemoryUse) Vectors() int64 { return m.Weights + m.Sums + m.Lattice + m.Moments + m.Average }

// Total is the predicted peak of the process: in the first step, where what the runs
// on padding took is still held, or in a later one.
func (m MemoryUse) Total() int64 {
	return m.Process + m.Vectors() - m.Moments + m.Sessions + m.Garbage + max(m.Microbatch, m.Moments+m.Step)
}

// vectorMemory is what a run holds from its first step to its last beside the
// microbatch: for every trained number its weight, the microbatch's sum and the
// step's (in int64), and the optimizer's moments, which with Adam is six times its
// four bytes, and with an average of the weights seven; and the frozen numbers once.
// Of several ranks each has its share of the moments, and rank 0 the average, and
// a vector to gather the second moments in for a checkpoint.
func vectorMemory(p *ghost.Program, o dpadam.OptimizerSpec, average bool, r *ranks) MemoryUse {
	const number = 4
	trained, moments := elements(p.Trained), int64(o.StateVectors())
	own := r.own(trained)
	m := MemoryUse{
		Weights: number * (trained + elements(p.Frozen) + elements(p.Unreached)),
		Sums:    number * trained,
		Lattice: 2 * number * trained,
		Moments: number * moments * int64(own.End-own.Start),
	}
	if average && r.first() {
		m.Average = number * trained
	}
	if r != nil && r.first() {
		m.Moments += number * max(0, moments-1) * trained
	}
	return m
}

// heldBytes is all of vectorMemory.
func heldBytes(p *ghost.Program, o dpadam.OptimizerSpec, average bool, r *ranks) int64 {
	return vectorMemory(p, o, average, r).Vectors()
}

// sessionBytes is what the runtime holds of a program of so many bytes, beside its
// values: its graph, kernels and plan.
func sessionBytes(model int) int64 { return 24 * int64(model) }

// libraryBytes are the pages of the runtime's library that the first runs take in.
const libraryBytes = 6 << 20

// garbageBytes is what steps may leave before it is collected. Collecting costs
// little: what is alive are vectors of numbers, which hold no pointers.
const garbageBytes = 8 << 20

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
			return 0, usage("beside a microbatch the run needs %d MB (weights, sums, moments, library, data), --max-memory allows %d; train fewer parameters (--trainable, --method bias-only), or with --optimizer sgd and without --ema",
				held>>20+1, maxMemory>>20)
		}
		return maxMemory - held, nil
	}
	free := availableMemory() / int64(processes)
	switch {
	case free == 0:
		return unknown, nil
	case free <= held:
		return 0, usage("beside a microbatch the run needs %d MB (weights, sums, moments, library), %d are free; train fewer parameters (--trainable, --method bias-only), or with --optimizer sgd and without --ema", held>>20+1, free>>20)
	}
	return (free - held) / 3, nil
}

// limitGarbage bounds the garbage that a run's steps may leave before it is
// collected, and returns what undoes that. Go collects when garbage equals what is
// alive; beside vectors of gigabytes that would be never, or too late. A limit
// that the user has set (GOMEMLIMIT) is left alone.
func limitGarbage(held int64) (restore func()) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return func() {}
	}
	var now goruntime.MemStats
	goruntime.ReadMemStats(&now)
	debug.SetMemoryLimit(int64(now.Sys-now.HeapReleased) + held + garbageBytes)
	return func() { debug.SetMemoryLimit(math.MaxInt64) }
}
