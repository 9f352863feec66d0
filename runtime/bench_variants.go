package runtime

import (
	"context"
	"maps"

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
	passes     []ghost.Pass // the programs it runs
	open       func(c *benchCell) (benchRun, error)
}

// A benchRun does a variant's work once.
type benchRun func(ctx context.Context) error

// benchVariants in the order of a report.
var benchVariants = []benchVariant{
	{"forward", "onnxruntime's forward pass of the model's file, logits", nil, (*benchCell).openForward},
	{benchPlain, "not private: forward, backward, summed gradient", []ghost.Pass{ghost.Weighted}, (*benchCell).openPlain},
	{"dp", "private, one pass (book-keeping): losses, norms, factors, clipped sum", []ghost.Pass{ghost.Clipped}, (*benchCell).openClipped},
	{"dp-two-pass", "private, two passes: norms, then the weighted sum", []ghost.Pass{ghost.Norms, ghost.Weighted}, (*benchCell).openTwoPass},
	{benchProducts, "the step's products with weights alone: the ceiling", nil, (*benchCell).openProducts},
	{"logical", "a whole private step: microbatches, exact sum, noise, Adam", []ghost.Pass{ghost.Clipped}, (*benchCell).openLogical},
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
	p, err := c.program(ghost.Losses) // names the inputs
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
	s, feeds, err := c.step(ghost.Weighted)
	if err != nil {
		return nil, err
	}
	_, ones, err := c.ones()
	if err != nil {
		return nil, err
	}
	return c.summing(s, feeds, map[string]*ort.Tensor{s.program.Weight: ones})
}

func (c *benchCell) openClipped() (benchRun, error) {
	s, feeds, err := c.step(ghost.Clipped)
	if err != nil {
		return nil, err
	}
	return c.summing(s, feeds, nil)
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

func (c *benchCell) openTwoPass() (benchRun, error) {
	norms, feeds, err := c.step(ghost.Norms)
	if err != nil {
		return nil, err
	}
	second, _, err := c.step(ghost.Weighted)
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

// step opens the program of a pass, once in a cell, and feeds it the batch.
func (c *benchCell) step(pass ghost.Pass) (*step, map[string]*ort.Tensor, error) {
	p, err := c.program(pass)
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
	s, err := c.session(pass)
	if err != nil {
		return nil, nil, err
	}
	feeds, rows, err := s.feeds(batch)
	if err == nil && rows != int64(c.Microbatch) {
		err = usage("the model takes %d records at a time", rows)
	}
	return s, maps.Clone(feeds), err
}
