package runtime

import (
	"context"
	"fmt"
	"runtime/debug"
)

// BenchPeak does one variant's work of one cell twice and returns the peak memory
// of the present process since it began, in bytes. It is meant for a process that
// does nothing else; 0 where the system does not tell.
func BenchPeak(ctx context.Context, o BenchOptions, name string) (int64, error) {
	o.Variants, o.Peak, o.Peers = []string{name}, nil, nil
	if err := o.defaults(); err != nil {
		return 0, err
	}
	if len(o.Lengths) != 1 || len(o.Microbatches) != 1 {
		return 0, usage("a peak is that of one length and one microbatch")
	}
	b, err := openBench(o)
	if err != nil {
		return 0, err
	}
	defer b.close()
	c := b.newCell(o.Lengths[0], o.Microbatches[0])
	defer c.close()
	run, err := variant(name).open(c)
	if err != nil {
		return 0, err
	}
	b.forget(c)
	for range 2 {
		if err := run(ctx); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	return peakMemory(), nil
}

// forget drops what was needed to build the programs, the model's file with its
// weights above all: they lie in the arenas.
func (b *bench) forget(c *benchCell) {
	b.prepared, b.model.prepared, b.model.file = nil, nil, nil
	for _, p := range c.programs {
		p.Graph.Inits = nil
	}
	debug.FreeOSMemory()
}
