package runtime

import (
	"context"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// The names of variants that others refer to.
const (
	benchPlain    = "plain"
	benchProducts = "products"
)

// A benchVariant is a way to compute something of one microbatch.
type benchVariant struct {
	name, what string
	passes     []benchProgram // the programs it runs
	open       func(c *benchCell) (benchRun, error)
}

// A benchProgram names a program of a cell.
type benchProgram struct {
	pass   ghost.Pass
	memory ghost.Memory
}

// The programs of the variants.
var (
	lossesAlone   = benchProgram{ghost.Losses, ghost.NormalMemory}
	clipped       = benchProgram{ghost.Clipped, ghost.NormalMemory}
	clippedLow    = benchProgram{ghost.Clipped, ghost.LowMemory}
	normsAlone    = benchProgram{ghost.Norms, ghost.NormalMemory}
	normsAloneLow = benchProgram{ghost.Norms, ghost.LowMemory}
	weighted      = benchProgram{ghost.Weighted, ghost.NormalMemory}
	weightedLow   = benchProgram{ghost.Weighted, ghost.LowMemory}
)

// A benchRun does a variant's work once.
type benchRun func(ctx context.Context) error

// benchVariants in the order of a report.
var benchVariants = []benchVariant{
	{"forward", "onnxruntime's forward pass of the model's file, logits", nil, (*benchCell).openForward},
	{benchPlain, "not private: forward, backward, summed gradient", []benchProgram{weighted}, (*benchCell).openPlain},
	{"dp", "private, one pass (book-keeping): losses, norms, factors, clipped sum", []benchProgram{clipped}, clippedBy(clipped)},
	{"dp-low", "dp with --memory low: activations and gradients computed again", []benchProgram{clippedLow}, clippedBy(clippedLow)},
	{"dp-two-pass", "private, two passes: norms, then the weighted sum", []benchProgram{normsAlone, weighted}, twoPassBy(normsAlone, weighted)},
	{"dp-two-pass-low", "dp-two-pass with --memory low", []benchProgram{normsAloneLow, weightedLow}, twoPassBy(normsAloneLow, weightedLow)},
	{benchProducts, "the step's products with weights alone: the ceiling", nil, (*benchCell).openProducts},
	{"logical", "a whole private step: microbatches, exact sum, noise, Adam", []benchProgram{clipped}, (*benchCell).openLogical},
}

// byDefault reports a variant that is measured where none is named.
func (v benchVariant) byDefault(o *BenchOptions) bool {
	low := slices.ContainsFunc(v.passes, func(p benchProgram) bool { return p.memory.IsLow() })
	return (v.name != "logical" || o.Logical > 0) && (!low || o.Memory.IsLow())
}

// BenchVariants names what Bench can measure.
func BenchVariants() []string {
	var out []string
	for _, v := range benchVariants {
		out = append(out, v.name)
	}
	return out
}

// variant returns the variant of a checked name.
func variant(name string) benchVariant {
	for _, v := range benchVariants {
		if v.name == name {
			return v
		}
	}
	return benchVariant{}
}

// openForward runs the model's file as it is, in a plain session.
func (c *benchCell) openForward() (benchRun, error) {
	p, err := c.program(lossesAlone) // names the inputs
	if err != nil {
		return nil, err
	}
	batch, err := c.batch(p)
	if err != nil {
		return nil, err
	}
	s, err := c.model.session()
	if err != nil {
		return nil, err
	}
	feeds := map[string]*ort.Tensor{}
	for _, in := range s.Inputs() {
		t, ok := batch.Inputs[in.Name]
		if !ok {
			t, err = c.emptyInput(in)
		}
		if err == nil {
			feeds[in.Name], err = convert(t, in.DType)
		}
		if err != nil {
			return nil, usage("input %q: %w", in.Name, err)
		}
	}
	fetch := ort.Fetch{Name: c.prepared.Output, Keep: true}
	if _, ok := c.fileOutput(s); !ok {
		return nil, usage("the model's file has no output %q to time the forward pass of; leave forward out of the variants", c.prepared.Output)
	}
	return func(ctx context.Context) error {
		out, err := s.Run(ctx, feeds, fetch)
		if err != nil {
			return err
		}
		out[fetch.Name].Release()
		return nil
	}, nil
}

// emptyInput is what training leaves out of a model's inputs: a cache of no tokens,
// and false for the switch that would read it.
func (c *benchCell) emptyInput(in ort.Info) (*ort.Tensor, error) {
	shape := make([]int64, len(in.Dims))
	for i, d := range in.Dims {
		shape[i] = max(d, 0)
		if i == 0 && d < 0 {
			shape[i] = int64(c.Microbatch)
		}
	}
	return ort.NewZeros(in.DType, shape)
}

func (c *benchCell) fileOutput(s *ort.Session) (ort.Info, bool) {
	for _, o := range s.Outputs() {
		if o.Name == c.prepared.Output {
			return o, true
		}
	}
	return ort.Info{}, false
}

// ones weighs every record alike.
func (c *benchCell) ones() ([]float32, *ort.Tensor, error) {
	v := make([]float32, c.Microbatch)
	for i := range v {
		v[i] = 1
	}
	t, err := floatTensor(v)
	return v, t, err
}

func (c *benchCell) openPlain() (benchRun, error) {
	s, feeds, err := c.step(weighted)
	if err != nil {
		return nil, err
	}
	_, ones, err := c.ones()
	if err != nil {
		return nil, err
	}
	return c.summing(s, feeds, map[string]*ort.Tensor{s.program.Weight: ones})
}

func clippedBy(program benchProgram) func(c *benchCell) (benchRun, error) {
	return func(c *benchCell) (benchRun, error) {
		s, feeds, err := c.step(program)
		if err != nil {
			return nil, err
		}
		return c.summing(s, feeds, nil)
	}
}

// summing runs a step whose sums stay where the run leaves them, as in training.
func (c *benchCell) summing(s *step, feeds, options map[string]*ort.Tensor) (benchRun, error) {
	fetches, err := c.trainer.fetches(s.program)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		out, err := s.run(ctx, feeds, c.weights, options, fetches)
		if err != nil {
			return err
		}
		err = c.trainer.kept.take(s.program, c.trainer.sums, out)
		if c.see != nil {
			c.see(c.trainer.kept)
		}
		c.trainer.kept.release()
		return err
	}, nil
}

func twoPassBy(first, second benchProgram) func(c *benchCell) (benchRun, error) {
	return func(c *benchCell) (benchRun, error) { return c.openTwoPass(first, second) }
}

func (c *benchCell) openTwoPass(first, then benchProgram) (benchRun, error) {
	norms, feeds, err := c.step(first)
	if err != nil {
		return nil, err
	}
	second, _, err := c.step(then)
	if err != nil {
		return nil, err
	}
	factors, t, err := c.ones()
	if err != nil {
		return nil, err
	}
	sum, err := c.summing(second, feeds, map[string]*ort.Tensor{second.program.Weight: t})
	if err != nil {
		return nil, err
	}
	clip := GradNormsOptions{ClipNorm: benchClipNorm}
	return func(ctx context.Context) error {
		out, err := norms.run(ctx, feeds, c.weights, nil, nil)
		if err != nil {
			return err
		}
		norm, err := floats(out[norms.program.Norm])
		if err != nil {
			return err
		}
		for i, n := range norm {
			factors[i] = float32(clip.factor(n))
		}
		return sum(ctx)
	}, nil
}

// step opens a program, once in a cell, and feeds it the batch.
func (c *benchCell) step(program benchProgram) (*step, map[string]*ort.Tensor, error) {
	p, err := c.program(program)
	if err != nil {
		return nil, nil, err
	}
	if err := c.load(p); err != nil {
		return nil, nil, err
	}
	batch, err := c.batch(p)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.session(program)
	if err != nil {
		return nil, nil, err
	}
	feeds, rows, err := s.feeds(batch)
	if err == nil && rows != int64(c.Microbatch) {
		err = usage("the model takes %d records at a time", rows)
	}
	return s, maps.Clone(feeds), err
}
