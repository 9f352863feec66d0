package runtime

import (
	"context"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
)

// BenchOptions say what to measure.
type BenchOptions struct {
	// Model is a model file or directory; Name is what the report calls it.
	Model, Name string
	Library     string // as in Options
	Threads     int
	// Loss is the loss of the step, with synthetic records; Output and Head as in
	// Options.
	Loss, Output, Head string
	// Every length is measured with every microbatch.
	Lengths, Microbatches []int
	// Variants are the names of what is measured, of BenchVariants; nil takes all
	// but the logical step, and those of low memory only if Memory says so.
	Variants []string
	Memory   ghost.Memory
	// Rounds is how often everything is timed, after one round that is not; 0
	// takes 5.
	Rounds int
	// Logical is the records of a whole logical step; 0 leaves it out.
	Logical int
	// MaxMemory bounds what all variants of a cell are predicted to need together;
	// 0 takes what the system has free. A cell that needs more is skipped.
	MaxMemory Bytes
	// Peak measures the peak memory of a variant in a process of its own, in bytes,
	// by calling BenchPeak there; nil leaves peaks out.
	Peak func(ctx context.Context, cell BenchCell, variant string) (int64, error)
	// Peers are other programs that are timed in the same rounds.
	Peers []*BenchPeer
	// Message is told what is being done; nil is silent.
	Message func(string)
}

// benchVersion is the version of the report as JSON.
const benchVersion = 1

// A BenchReport is what Bench measured: the content of bench.json.
type BenchReport struct {
	Version int          `json:"version"` // of this format
	Machine BenchMachine `json:"machine"`
	Rounds  int          `json:"rounds"`
	Cells   []BenchCell  `json:"cells"`
}

// A BenchMachine says where it was measured.
type BenchMachine struct {
	OS        string            `json:"os"`
	Arch      string            `json:"arch"`
	Processor string            `json:"processor,omitempty"`
	Threads   int               `json:"threads"`
	Software  map[string]string `json:"software"` // name: version
}

// A BenchCell is one model at one length and microbatch.
type BenchCell struct {
	Model      string `json:"model"`
	Loss       string `json:"loss"`
	Length     int    `json:"length"`
	Microbatch int    `json:"microbatch"`
	Tokens     int    `json:"tokens"` // length × microbatch
	Parameters int64  `json:"parameters"`
	// ProductOperations is the work of a step that the fraction of the ceiling
	// counts: forward, input gradient and weight gradient of every product with a
	// weight, 6·parameters·tokens, in multiplications and additions.
	ProductOperations float64        `json:"product_operations"`
	Skipped           string         `json:"skipped,omitempty"` // why nothing was measured
	Variants          []BenchMeasure `json:"variants,omitempty"`
}

// A BenchMeasure is one variant in one cell. What could not be measured is 0 and
// absent in JSON.
type BenchMeasure struct {
	Name string `json:"name"`
	By   string `json:"by"` // the program: "ghostwriter", or a peer
	What string `json:"what"`
	// Seconds are of each round, in the order of rounds: the n-th of all variants
	// were taken one after the other. CPUSeconds likewise, of the processor.
	Seconds    []float64 `json:"seconds"`
	CPUSeconds []float64 `json:"cpu_seconds,omitempty"`

	Median     float64 `json:"median"`
	Min        float64 `json:"min"`
	Spread     float64 `json:"spread"` // (third quartile − first) / median
	CPU        float64 `json:"cpu,omitempty"`
	PerToken   float64 `json:"seconds_per_token"`
	Operations float64 `json:"operations_per_second,omitempty"` // product operations counted alone
	OfCeiling  float64 `json:"of_ceiling,omitempty"`

	PeakBytes      int64 `json:"peak_bytes,omitempty"`      // of a process that does only this
	PredictedBytes int64 `json:"predicted_bytes,omitempty"` // activations, by the planner

	// TimeRatio is the median over the rounds of this variant's time over the
	// non-private step's of the same round; MemoryRatio that of the peaks.
	TimeRatio   float64 `json:"time_ratio,omitempty"`
	MemoryRatio float64 `json:"memory_ratio,omitempty"`
}

// Bench times training steps of a model with synthetic records: all variants in
// one process, in turn, so that a slow minute of the machine is every variant's.
// When ctx ends, the report has the cells and whole rounds there are, and the error
// wraps ErrInterrupted.
func Bench(ctx context.Context, o BenchOptions) (*BenchReport, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	b, err := openBench(o)
	if err != nil {
		return nil, err
	}
	defer b.close()
	r := &BenchReport{Version: benchVersion, Rounds: b.Rounds, Machine: b.machine()}
	for _, length := range b.Lengths {
		for _, size := range b.Microbatches {
			cell, err := b.cell(ctx, length, size)
			if err != nil && ctx.Err() != nil {
				return r, interruptedBench(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s, length %d, microbatch %d: %w", b.Name, length, size, err)
			}
			r.Cells = append(r.Cells, *cell)
			if ctx.Err() != nil {
				return r, interruptedBench(ctx)
			}
		}
	}
	for _, p := range o.Peers {
		for name, version := range p.software {
			r.Machine.Software[name] = version
		}
	}
	return r, nil
}

// interruptedBench is the error of a bench whose context has ended.
func interruptedBench(ctx context.Context) error {
	return fmt.Errorf("%w after the rounds that are reported: %w", ErrInterrupted, ctx.Err())
}

func (o *BenchOptions) defaults() error {
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Name == "" {
		o.Name = o.Model
	}
	if o.Message == nil {
		o.Message = func(string) {}
	}
	memory, err := ParseMemoryMode(string(o.Memory))
	if err != nil {
		return err
	}
	o.Memory = memory
	if len(o.Variants) == 0 {
		for _, v := range benchVariants {
			if v.byDefault(o) {
				o.Variants = append(o.Variants, v.name)
			}
		}
	}
	switch {
	case o.Model == "":
		return usage("no model is given")
	case o.Rounds < 1:
		return usage("rounds %d: want 1 or more", o.Rounds)
	case o.Logical < 0:
		return usage("logical step of %d records: want 1 or more, or 0 for none", o.Logical)
	case len(o.Lengths) == 0 || len(o.Microbatches) == 0:
		return usage("no length or no microbatch is given")
	case !slices.Contains(onnxgrad.LossNames(), o.Loss):
		return usage("unknown loss %q; there are %s", o.Loss, strings.Join(onnxgrad.LossNames(), ", "))
	}
	for _, n := range slices.Concat(o.Lengths, o.Microbatches) {
		if n < 1 || n > 1<<20 {
			return usage("length or microbatch %d: want 1 to %d", n, 1<<20)
		}
	}
	for _, v := range o.Variants {
		if !slices.ContainsFunc(benchVariants, func(b benchVariant) bool { return b.name == v }) {
			return usage("unknown variant %q; there are %s", v, strings.Join(BenchVariants(), ", "))
		}
		if v == "logical" && o.Logical == 0 {
			return usage("variant logical: the number of records of the step is missing")
		}
	}
	return nil
}

// A bench is one run of Bench: what all cells share.
type bench struct {
	BenchOptions
	model    *Model
	prepared *ghost.Prepared
	weights  *Weights // loaded by the first program
	trainer  trainer  // holds the sums
}

func openBench(o BenchOptions) (*bench, error) {
	m, err := Open(o.Model, Options{Library: o.Library, Threads: o.Threads, Output: o.Output, Head: o.Head})
	if err != nil {
		return nil, err
	}
	b := &bench{BenchOptions: o, model: m}
	if b.prepared, err = m.Prepared(); err == nil {
		_, err = m.Env()
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	b.model.Close() // sessions only: nothing is lost
}

func (b *bench) machine() BenchMachine {
	threads := b.Threads
	if threads == 0 {
		threads = goruntime.GOMAXPROCS(0)
	}
	return BenchMachine{
		OS: goruntime.GOOS, Arch: goruntime.GOARCH, Processor: processorName(), Threads: threads,
		Software: map[string]string{"ghostwriter": Version, "onnxruntime": b.model.env.Version()},
	}
}

// load reads the weights and makes room for the sums, once.
func (b *bench) load(p *ghost.Program) (err error) {
	if b.weights != nil {
		return nil
	}
	frozen := slices.Concat(p.Unreached, p.Frozen)
	if b.weights, err = loadWeights(b.prepared, p.Trained, frozen); err != nil {
		return err
	}
	b.trainer.sums, b.trainer.kept = b.weights.Trained.Like(), &microSum{}
	return nil
}
