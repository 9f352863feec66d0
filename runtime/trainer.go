package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A trainer takes private steps: sample, microbatches, clipped sums, noise,
// update. It holds everything in flat arenas: weights, the noised sum, the
// optimizer's moments. The sum of a microbatch lies in the arena of the noised sum
// or, where nothing asks for it as one vector, where the run left it.
type trainer struct {
	options *FinetuneOptions
	plan    *dpadam.Plan
	data    *dataset
	weights *Weights
	sums    *ort.Arena
	kept    *microSum // of the last run; nil where it goes into sums
	unit    []float32 // the sum of a unit of several runs, once one is met

	observed func(noised []float32) // shows a test what a step releases; nil otherwise

	moved    *moved          // the weights that the optimizer moves, of a method that trains others; nil otherwise
	averaged *ort.Arena      // of --ema: what is written in the end; nil otherwise
	average  *dpadam.Average // keeps averaged up to date

	steps     *stepSet // the clipped pass, or the weighted one without privacy and as the second of two
	norms     *stepSet // the first of two passes; nil otherwise
	stepper   *dpadam.Stepper
	optimizer dpadam.Optimizer // of the own coordinates
	own       dpadam.Range     // that this process noises and updates: all, or a rank's
	ranks     *ranks           // nil for one process
	whole     []float32        // a vector to gather the second moments in, on rank 0 of several
	size      int              // records of a microbatch
	fixed     bool             // the model takes no other number of records
}

// stepStats are what a step learns of private data: for debug output only.
type stepStats struct {
	Records int
	Loss    float64 // mean over the records; NaN when none counts
	stepNumbers

	finite int       // of what is clipped: records, or units
	scored int       // records in Loss
	debug  bool      // quantiles are asked for
	norms  []float64 // of every finite gradient

	adapted float64 // C of the step where the plan adapts it, a released number; 0 otherwise
	stop    bool    // a rank was asked to stop
}

// stepNumbers are the statistics of a step that are always finite.
type stepNumbers struct {
	NormMean      float64                     `json:"norm_mean"` // of finite gradients
	NormMax       float64                     `json:"norm_max"`
	NormQuantiles [len(normQuantiles)]float64 `json:"norm_quantiles"` // at 10, 25, 50, 75 and 90 %
	Clipped       float64                     `json:"clipped_fraction"`
	NotFinite     int                         `json:"not_finite"`
	Dropped       int                         `json:"dropped"`
}

// step takes optimizer step n of total.
func (t *trainer) step(ctx context.Context, n, total int64) (stepStats, error) {
	var stats stepStats
	t.weights.changed() // whoever wrote to them since
	t.data = t.data.drawn(n)
	s, err := t.stepper.Begin(ctx, n)
	if err != nil {
		return stats, err
	}
	stats.Records, stats.debug = len(s.Records()), t.options.Debug
	if t.plan.Adapts() {
		stats.adapted = t.stepper.ClipNorm()
	}
	add := t.addRecords
	if t.data.units != nil {
		add = t.addUnits
	}
	if err := add(ctx, s, &stats); err != nil {
		return stats, s.Fail(err)
	}
	if err := t.options.planted.plant(s, t.sums.Data()); err != nil {
		return stats, s.Fail(err)
	}
	if t.kept != nil { // between runs the runtime's memory is free for the noised sum
		t.steps.env.TrimPool()
	}
	if err := s.Release(ctx, t.sums.Data()); err != nil {
		return stats, err
	}
	t.options.planted.observe(t.sums.Data())
	if t.observed != nil {
		t.observed(t.sums.Data())
	}
	t.options.Hook.At(dpadam.PointUpdateBefore)
	weights, own := t.weights.Trained.Data(), t.stepper.Own()
	t.weights.changed()
	if rate := t.plan.LearningRate(n, total); t.moved == nil {
		err = t.optimizer.Update(weights[own.Start:own.End], t.sums.Data()[own.Start:own.End], rate)
	} else {
		err = t.moved.step(t.weights, t.sums, t.optimizer, rate, n)
	}
	if err = t.ranks.agree(err); err != nil {
		return stats, err
	}
	if t.kept != nil {
		t.sums.Discard()
	}
	if err := t.ranks.gather(weights); err != nil {
		return stats, err
	}
	if t.average != nil {
		if err := t.average.Update(t.weights.Trained.Data()); err != nil {
			return stats, err
		}
	}
	t.options.Hook.At(dpadam.PointUpdateAfter)
	if stats.stop, err = t.ranks.join(&stats, stopped(t.options.Stop)); err != nil {
		return stats, err
	}
	stats.finish()
	return stats, nil
}

// addRecords adds the clipped sums of a step's records.
func (t *trainer) addRecords(ctx context.Context, s *dpadam.Step, stats *stepStats) error {
	for _, m := range deal(t.ranks, t.data.pack(t.options.planted.dataset(s.Records()), t.size, t.fixed)) {
		r, err := t.run(ctx, m)
		if err != nil {
			return err
		}
		if t.kept == nil {
			t.options.planted.see(t.sums.Data())
		}
		stats.add(r, t.clipTo())
		err = t.add(s, m, r)
		t.kept.release()
		if err != nil {
			return err
		}
	}
	return nil
}

// sets lists the programs in use.
func (t *trainer) sets() []*stepSet {
	if t.norms == nil {
		return []*stepSet{t.steps}
	}
	return []*stepSet{t.norms, t.steps}
}

func (t *trainer) close() error {
	var errs []error
	for _, s := range t.sets() {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// warmUp runs every program once on padding alone, the longest first. What the
// runtime would refuse is found before anything is charged, the runtime's
// memory grows to its full size at once, and the sums must come out zero.
func (t *trainer) warmUp(ctx context.Context) error {
	edges := t.data.buckets.Edges()
	done := map[*step]bool{}
	for i := len(edges) - 1; i >= 0; i-- {
		st, err := t.steps.at(edges[i])
		if err != nil {
			return err
		}
		if done[st] {
			continue
		}
		done[st] = true
		if _, err := t.run(ctx, microbatch{nil, edges[i], t.size}); err != nil {
			return err
		}
		k, found := t.nonzero()
		if t.kept.release(); found {
			return fmt.Errorf("the training step gives padding a gradient (coordinate %d): this is a fault of ghostwriter; please report the model", k)
		}
	}
	return nil
}

// parts are the last run's sum, wherever it lies.
func (t *trainer) parts() []dpadam.Part {
	if t.kept != nil {
		return t.kept.parts
	}
	return []dpadam.Part{{Data: t.sums.Data()}}
}

// nonzero finds a coordinate of the last run's sum that is not 0.
func (t *trainer) nonzero() (coordinate int, found bool) {
	for _, p := range t.parts() {
		for k, v := range p.Data {
			if v != 0 {
				return p.Start + k, true
			}
		}
	}
	return 0, false
}

// ran is what a microbatch's run tells of its rows, beside the sums.
type ran struct {
	real   []bool // rows that are records with a gradient
	finite []bool
	loss   []float64
	norm   []float64 // of each row's gradient; nil where the program computes none
	groups []ghost.Group
	group  [][]float64 // norms by group and row
}

// run runs a microbatch and leaves the (clipped) sum of the records' gradients in
// t.kept, until that is released, or else in t.sums.
func (t *trainer) run(ctx context.Context, m microbatch) (*ran, error) {
	st, err := t.steps.at(m.edge)
	if err != nil {
		return nil, err
	}
	batch, real, err := t.data.collate(m.records, m.edge, m.rows, st.program.Data)
	if err != nil {
		return nil, err
	}
	feeds, _, err := st.feeds(batch)
	if err != nil {
		return nil, err
	}
	options, first, err := t.inputs(ctx, m, feeds, real, st.program)
	if err != nil {
		return nil, err
	}
	fetches, err := t.fetches(st.program)
	if err != nil {
		return nil, err
	}
	out, err := st.run(ctx, feeds, t.weights, options, fetches)
	if err != nil {
		return nil, hideData(err)
	}
	if t.kept != nil {
		if err := t.kept.take(st.program, t.sums, out); err != nil {
			t.kept.release()
			return nil, err
		}
	}
	if first != nil {
		return first, nil
	}
	return readRows(st.program, out, real)
}

// readRows reads what a program says of each row.
func readRows(p *ghost.Program, out map[string]*ort.Tensor, real []bool) (r *ran, err error) {
	r = &ran{real: real}
	if r.loss, err = floats(out[p.Loss]); err != nil {
		return nil, err
	}
	if r.finite, err = ort.Data[bool](out[p.Finite]); err != nil {
		return nil, err
	}
	if p.Norm != "" {
		if r.norm, err = floats(out[p.Norm]); err != nil {
			return nil, err
		}
	}
	if p.GroupNorm != "" {
		r.groups = p.Groups
		r.group, err = columns(out[p.GroupNorm], len(p.Groups))
	}
	return r, err
}

// hideData keeps a context's end and cuts a runtime error's text, which can
// quote the record that caused it.
func hideData(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.New("the runtime failed in a training step; its message may quote data and is withheld (run gradnorms on public data to see it)")
}

// inputs returns what the program is fed beside batch and weights, and where norms
// have a pass of their own what that tells of the rows.
func (t *trainer) inputs(ctx context.Context, m microbatch, feeds map[string]*ort.Tensor, real []bool, p *ghost.Program) (map[string]*ort.Tensor, *ran, error) {
	out := map[string]*ort.Tensor{}
	if p.Valid != "" {
		v, err := boolTensor(real)
		if err != nil {
			return nil, nil, err
		}
		out[p.Valid], out[p.ClipNorm] = v, ort.Scalar(float32(t.clipTo()))
		if p.ClipGamma != "" {
			out[p.ClipGamma] = ort.Scalar(float32(t.options.clipGamma()))
		}
		return out, nil, nil
	}
	weights := make([]float32, len(real))
	for i, r := range real {
		if r {
			weights[i] = 1
		}
	}
	var first *ran
	if t.norms != nil {
		var err error
		if first, err = t.firstPass(ctx, m, feeds, real, weights); err != nil {
			return nil, nil, err
		}
	}
	v, err := floatTensor(weights)
	out[p.Weight] = v
	return out, first, err
}

// firstPass computes norms and turns them into the weights of the second pass.
func (t *trainer) firstPass(ctx context.Context, m microbatch, feeds map[string]*ort.Tensor, real []bool, weights []float32) (*ran, error) {
	st, err := t.norms.at(m.edge)
	if err != nil {
		return nil, err
	}
	v, err := boolTensor(real)
	if err != nil {
		return nil, err
	}
	out, err := st.run(ctx, feeds, t.weights, map[string]*ort.Tensor{st.program.Valid: v}, nil)
	if err != nil {
		return nil, hideData(err)
	}
	r, err := readRows(st.program, out, real)
	if err != nil {
		return nil, err
	}
	clip := t.clip()
	for i := range weights {
		weights[i] = 0
		if real[i] && r.finite[i] {
			weights[i] = float32(clip.factor(r.norm[i]))
		}
	}
	return r, nil
}

// fetches asks for what a program says of each row, and for the sums: as the run
// leaves them, or each in its place in the arena. Neither is copied.
func (t *trainer) fetches(p *ghost.Program) ([]ort.Fetch, error) {
	out := make([]ort.Fetch, 0, len(p.Trained)+4)
	out = append(out, ort.Fetch{Name: p.Loss}, ort.Fetch{Name: p.Finite})
	for _, name := range []string{p.Norm, p.GroupNorm} {
		if name != "" {
			out = append(out, ort.Fetch{Name: name})
		}
	}
	if t.kept != nil {
		return append(out, fetchKept(p)...), nil
	}
	for _, param := range p.Trained {
		v, err := t.sums.Tensor(param.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, ort.Fetch{Name: p.Sums[param.Name], Into: v})
	}
	return out, nil
}

// add takes the statistics of one run.
func (s *stepStats) add(r *ran, clip float64) {
	for i := range r.loss {
		switch {
		case !r.real[i]:
		case !r.finite[i]:
			s.NotFinite++
		default:
			s.finite++
			s.scored++
			s.Loss += r.loss[i]
			if r.norm == nil {
				continue
			}
			s.addNorm(r.norm[i])
			if r.exceeds(i, clip) {
				s.Clipped++
			}
		}
	}
}

// exceeds reports whether a row's gradient, or with groups a part of it, is longer than
// what it is clipped to.
func (r *ran) exceeds(row int, clip float64) bool {
	for k, g := range r.groups {
		if math.Hypot(r.group[k][row], ghost.GroupFloor*r.norm[row]) > g.Share*clip {
			return true
		}
	}
	return len(r.groups) == 0 && r.norm[row] > clip
}

// finish turns sums into means.
func (s *stepStats) finish() {
	s.Dropped = s.Records - s.finite - s.NotFinite
	s.Loss /= float64(s.scored) // NaN for none
	s.quantiles()
	if n := float64(s.finite); n > 0 {
		s.NormMean, s.Clipped = s.NormMean/n, s.Clipped/n
	}
}
