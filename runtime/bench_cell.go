package runtime

import (
	"context"
	"fmt"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// benchClipNorm is C of the timed steps; time does not depend on it.
const benchClipNorm = 0.1

// A benchCell measures one length and microbatch.
type benchCell struct {
	*bench
	BenchCell
	programs map[benchProgram]*ghost.Program
	steps    map[benchProgram]*step
	shared   *Batch
	closers  []func() error
	see      func(*microSum) // shows a test what a run computed
}

func (b *bench) newCell(length, size int) *benchCell {
	return &benchCell{
		bench:     b,
		BenchCell: BenchCell{Model: b.Name, Loss: b.Loss, Length: length, Microbatch: size, Tokens: length * size},
		programs:  map[benchProgram]*ghost.Program{}, steps: map[benchProgram]*step{},
	}
}

// cell measures everything in one cell.
func (b *bench) cell(ctx context.Context, length, size int) (*BenchCell, error) {
	c := b.newCell(length, size)
	defer c.close()
	for _, p := range c.prepared.Parameters {
		c.Parameters += p.Elements()
	}
	for _, p := range c.prepared.Products(int64(size), int64(length)) {
		c.ProductOperations += 3 * p.Operations()
	}
	if why, err := c.impossible(); why != "" || err != nil {
		c.Skipped = why
		b.Message(fmt.Sprintf("%s, length %d, microbatch %d: skipped: %s", b.Name, length, size, why))
		return &c.BenchCell, err
	}
	timed, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.rounds(ctx, timed); err != nil {
		return nil, err
	}
	c.close()
	if err := c.peaks(ctx, timed); err != nil {
		return nil, err
	}
	for _, t := range timed {
		c.Variants = append(c.Variants, t.BenchMeasure)
	}
	c.Summarize()
	return &c.BenchCell, nil
}

func (c *benchCell) close() {
	for _, f := range slices.Backward(c.closers) {
		_ = f() // what was measured stays measured
	}
	for _, s := range c.steps {
		_ = s.Close()
	}
	c.closers, c.steps = nil, map[benchProgram]*step{}
	goruntime.GC()
}

// A timed is a variant that is open.
type timed struct {
	BenchMeasure
	run  func(ctx context.Context) (seconds, cpu float64, err error)
	peak func(ctx context.Context) (int64, error)
}

// open opens every variant, ours and the peers'.
func (c *benchCell) open(ctx context.Context) ([]*timed, error) {
	var out []*timed
	for _, name := range c.BenchOptions.Variants {
		v := variant(name)
		run, err := v.open(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t := &timed{BenchMeasure: BenchMeasure{Name: name, By: "ghostwriter", What: v.what}, run: stopwatch(run)}
		for _, pass := range v.passes {
			t.PredictedBytes = max(t.PredictedBytes, c.peak(pass).Bytes)
		}
		if c.Peak != nil && name != benchProducts {
			t.peak = func(ctx context.Context) (int64, error) { return c.Peak(ctx, c.BenchCell, name) }
		}
		out = append(out, t)
	}
	for _, p := range c.Peers {
		theirs, err := p.open(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("peer %s: %w", p.Command, err)
		}
		out = append(out, theirs...)
	}
	return out, nil
}

// stopwatch measures a run in seconds of the clock and of the processor.
func stopwatch(run benchRun) func(context.Context) (float64, float64, error) {
	return func(ctx context.Context) (float64, float64, error) {
		goruntime.GC()
		cpu, begin := processSeconds(), time.Now()
		err := run(ctx)
		return time.Since(begin).Seconds(), processSeconds() - cpu, err
	}
}

// rounds takes every variant's time in turn, each round beginning with another, so
// that none always follows the same one. The first round is not counted.
func (c *benchCell) rounds(ctx context.Context, all []*timed) error {
	for round := range c.Rounds + 1 {
		for k := range all {
			t := all[(k+round)%len(all)]
			seconds, cpu, err := t.run(ctx)
			if err != nil && ctx.Err() != nil && round > 1 {
				keepWhole(all, round-1)
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
			if round == 0 {
				continue
			}
			t.Seconds = append(t.Seconds, seconds)
			if cpu > 0 {
				t.CPUSeconds = append(t.CPUSeconds, cpu)
			}
		}
		c.Message(fmt.Sprintf("%s, length %d, microbatch %d: round %d of %d", c.Name, c.Length, c.Microbatch, round, c.Rounds))
	}
	return nil
}

// keepWhole leaves the rounds that every variant has: those of a run that was
// interrupted.
func keepWhole(all []*timed, rounds int) {
	for _, t := range all {
		t.Seconds = t.Seconds[:min(rounds, len(t.Seconds))]
		t.CPUSeconds = t.CPUSeconds[:min(rounds, len(t.CPUSeconds))]
	}
}

// peaks has each variant's peak measured in a process of its own.
func (c *benchCell) peaks(ctx context.Context, all []*timed) (err error) {
	for _, t := range all {
		if t.peak == nil || c.Peak == nil || ctx.Err() != nil {
			continue
		}
		c.Message(fmt.Sprintf("%s, length %d, microbatch %d: peak memory of %s", c.Name, c.Length, c.Microbatch, t.Name))
		if t.PeakBytes, err = t.peak(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("peak memory of %s: %w", t.Name, err)
		}
	}
	return nil // what was timed is worth a report even where a peak was interrupted
}

// program compiles a program, once in a cell.
func (c *benchCell) program(of benchProgram) (*ghost.Program, error) {
	if p := c.programs[of]; p != nil {
		return p, nil
	}
	p, err := c.prepared.Compile(ghost.Spec{
		Loss: c.BenchOptions.Loss, Pass: of.pass, Memory: of.memory, ClipNorm: benchClipNorm, Length: int64(c.Length), Records: int64(c.Microbatch),
		RowsApart: rowsApart, SumsKept: true,
	})
	if err != nil {
		return nil, usageUnless(err)
	}
	c.programs[of] = p
	return p, nil
}

// impossible says why the cell is not measured, "" if it is.
func (c *benchCell) impossible() (string, error) {
	config, err := c.model.readConfig()
	if err != nil {
		return "", err
	}
	if n := config.Positions; n > 0 && int64(c.Length) > n {
		return fmt.Sprintf("the model has %d positions", n), nil
	}
	return c.tooLarge()
}

// session opens a program, once in a cell.
func (c *benchCell) session(pass benchProgram) (*step, error) {
	if s := c.steps[pass]; s != nil {
		return s, nil
	}
	p, err := c.program(pass)
	if err != nil {
		return nil, err
	}
	data, err := p.Graph.Marshal()
	if err != nil {
		return nil, err
	}
	s, err := openSeen(c.model.env, p, data, workplace{threads: c.Threads})
	if err == nil {
		c.steps[pass] = s
	}
	return s, err
}

// peak predicts the memory of the values of a pass, whose session is open.
func (c *benchCell) peak(pass benchProgram) ghost.Peak {
	return peakOf(c.programs[pass], c.steps[pass], int64(c.Microbatch), int64(c.Length))
}

// tooLarge says why the cell is not measured: the values of its largest pass, since
// sessions share their memory where there is a pool, beside weights, the forward
// pass's own copy of them, and the exact sum and the moments of a logical step.
func (c *benchCell) tooLarge() (string, error) {
	limit := int64(c.MaxMemory)
	if limit == 0 {
		limit = availableMemory()
	}
	var sum, most, held int64
	seen := map[benchProgram]bool{}
	for _, name := range c.BenchOptions.Variants {
		v := variant(name)
		switch v.name {
		case "forward":
			held += 4 * c.Parameters
		case "logical":
			held += 16 * c.Parameters
		}
		for _, pass := range v.passes {
			if seen[pass] {
				continue
			}
			seen[pass] = true
			if _, err := c.session(pass); err != nil {
				return "", err
			}
			peak := c.peak(pass).Bytes
			sum, most = sum+peak, max(most, peak)
		}
	}
	need := sum
	if c.model.env.Pooled() {
		need = ort.PoolHolds(most)
	}
	if len(seen) > 0 && c.weights == nil {
		held += 4 * c.Parameters
	}
	if limit > 0 && need+held > limit {
		return fmt.Sprintf("the variants together need about %d MB, %d MB are allowed", (need+held)>>20, limit>>20), nil
	}
	return "", nil
}

// batch makes synthetic records, the same for every variant.
func (c *benchCell) batch(p *ghost.Program) (*Batch, error) {
	if c.shared == nil {
		b, err := syntheticBatch(c.prepared, p, int64(c.Microbatch), int64(c.Length))
		if err != nil {
			return nil, err
		}
		c.shared = b
	}
	return c.shared, nil
}
