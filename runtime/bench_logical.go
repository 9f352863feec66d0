package runtime

import (
	"context"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// openLogical prepares whole private steps of the trainer itself, ledger included:
// every record is sampled (q = 1), so that each step has the same work.
func (c *benchCell) openLogical() (benchRun, error) {
	t, err := c.openTrainer()
	if err != nil {
		return nil, err
	}
	n := int64(0)
	return func(ctx context.Context) error {
		n++
		_, err := t.step(ctx, n, t.plan.Steps())
		return err
	}, nil
}

// openTrainer prepares a trainer of steps that sample every record.
func (c *benchCell) openTrainer() (*trainer, error) {
	s, _, err := c.step(clipped)
	if err != nil {
		return nil, err
	}
	data, err := c.syntheticDataset(s.program)
	if err != nil {
		return nil, err
	}
	o := &FinetuneOptions{ClipNorm: benchClipNorm, Threads: c.Threads}
	plan, err := dpadam.NewPlan(dpadam.Config{
		Records: int64(c.Logical), ExpectedBatch: float64(c.Logical), Steps: int64(c.Rounds + 1), NoiseMultiplier: 1, ClipNorm: benchClipNorm, Rho: rho,
		Dim: int64(len(c.trainer.sums.Data())), Microbatch: c.Microbatch, Optimizer: dpadam.Adam(1e-9), // the weights stay what they are
	})
	if err != nil {
		return nil, usage("the logical step: %w", err)
	}
	set := newStepSet(c.model.env, c.prepared, ghost.Spec{}, workplace{threads: c.Threads})
	set.byLength[c.Length] = &plannedStep{program: s.program, longest: c.Length, step: s}
	t := &trainer{options: o, plan: plan, data: data, weights: c.weights, sums: c.trainer.sums, kept: c.trainer.kept, steps: set, size: c.Microbatch}
	t.own = t.ranks.own(plan.Spec().Dim)
	if t.optimizer, err = dpadam.NewOptimizer(plan, nil); err != nil {
		return nil, err
	}
	if err := c.startLedger(t, data.size()); err != nil {
		return nil, err
	}
	return t, nil
}

// startLedger gives a trainer a ledger in a temporary folder.
func (c *benchCell) startLedger(t *trainer, records int) error {
	dir, err := os.MkdirTemp("", "ghostwriter-bench-")
	if err != nil {
		return err
	}
	c.closers = append(c.closers, func() error { return os.RemoveAll(dir) })
	ledger, err := dpadam.CreateLedger(context.Background(), filepath.Join(dir, "ledger"), t.plan, dpadam.LedgerOptions{})
	if err != nil {
		return err
	}
	c.closers = append(c.closers, ledger.Close)
	t.stepper, err = dpadam.NewStepper(ledger, records, dpadam.StepperOptions{Workers: c.Threads})
	return err
}

// syntheticDataset repeats the cell's batch up to the logical step's records.
func (c *benchCell) syntheticDataset(p *ghost.Program) (*dataset, error) {
	batch, err := c.batch(p)
	if err != nil {
		return nil, err
	}
	ids, ok := batch.Inputs["input_ids"]
	if !ok || len(ids.Shape()) != 2 || batch.Inputs["decoder_input_ids"] != nil {
		return nil, usage("a logical step is measured of models that read input_ids alone; leave it out")
	}
	wide, err := convert(ids, ort.Int64)
	if err != nil {
		return nil, err
	}
	values, err := ort.Data[int64](wide)
	if err != nil {
		return nil, err
	}
	buckets, err := tokenize.NewBuckets(c.Length)
	if err != nil {
		return nil, err
	}
	d := &dataset{loss: c.BenchOptions.Loss, buckets: buckets}
	switch d.loss {
	case "causal-lm", "classify":
	default:
		return nil, usage("a logical step is measured with the loss causal-lm or classify, not %s; leave it out", d.loss)
	}
	for i := range c.Logical {
		row := values[i%c.Microbatch*c.Length:][:c.Length]
		e := tokenize.Example{Row: i, IDs: make([]int32, c.Length), MaskPosition: -1}
		for k, id := range row {
			e.IDs[k] = int32(id)
		}
		if d.loss == "causal-lm" {
			e.Labels = e.IDs
		}
		d.examples = append(d.examples, e)
	}
	return d, nil
}
