package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A FinetuneResult says what a training run did.
type FinetuneResult struct {
	Steps           int64   // optimizer steps of the written model
	Planned         int64   // and how many were planned
	Epsilon         float64 // rigorous bound of everything charged; NaN when nothing is guaranteed
	Delta           float64
	NoiseMultiplier float64
	Out             string
	Stamp           string // "NOT PRIVATE: …", or empty
	// Score is that of the written model, larger is better: a noised evaluation that was paid
	// for, or of public validation data the accuracy, else the loss times -1. NaN without any.
	Score float64
}

// ErrInterrupted is wrapped by the error of a run that was stopped on request
// after a checkpoint. It can be resumed.
var ErrInterrupted = errors.New("interrupted")

// Finetune trains the model on private data and writes the output directory:
// the model with its new weights, the ledger, checkpoints, and in release/ the
// privacy statement. Every stage is checked before the first step is charged;
// a run that dies can be resumed.
//
// With o.Ranks the run is one of several processes, which all call Finetune and get
// the same result, or all an error; only rank 0 writes. After an error that wraps
// ErrRanks the others must be ended.
//
// When o.Stop is closed the run ends after the step in progress, with a
// checkpoint and ErrInterrupted. When ctx ends it stops at once: the step in
// progress stays charged.
func Finetune(ctx context.Context, o FinetuneOptions) (_ *FinetuneResult, err error) {
	if o.Progress == nil {
		o.Progress = silent{}
	}
	f := &finetune{options: &o, out: outputDir{path: o.Out, hook: o.Hook}, score: math.NaN()}
	defer func() { err = errors.Join(err, f.close()) }()
	for _, stage := range []func(context.Context) error{f.meet, f.check, f.open, f.read, f.compile, f.settle, f.verify, f.begin} {
		err := stage(ctx)
		if err := f.ranks.agree(err); err != nil {
			return nil, err
		}
	}
	if !f.ranks.first() {
		return f.follow(ctx)
	}
	result, err := f.lead(ctx)
	return result, f.ranks.end(result, err)
}

// lead takes the steps and writes the result.
func (f *finetune) lead(ctx context.Context) (*FinetuneResult, error) {
	trainErr := f.train(ctx)
	if trainErr != nil && !errors.Is(trainErr, dpadam.ErrBudgetSpent) {
		return nil, trainErr
	}
	if trainErr != nil && f.taken == 0 {
		return nil, trainErr
	}
	result, err := f.finish(ctx)
	if err != nil {
		return nil, err
	}
	return result, trainErr
}

// A finetune is one training run, stage by stage.
type finetune struct {
	options *FinetuneOptions
	out     outputDir
	ranks   *ranks // nil for one process

	model    *Model
	env      *ort.Env
	prepared *ghost.Prepared
	reader   *reader
	data     *dataset
	valid    *dataset

	trainer *trainer
	program *ghost.Program // of the longest padding length: names what is trained
	losses  *stepSet
	plan    *dpadam.Plan
	ledger  *dpadam.Ledger

	place  workplace         // where it computes
	memory *ort.DeviceMemory // of the weights; nil where they lie in main memory

	held       int64 // bytes of the run's vectors
	lowered    bool  // --memory auto chose low
	estimating bool  // nothing is written
	origin     batchOrigin
	mode       string    // of classification
	use        MemoryUse // what the run is predicted to take
	restore    func()    // of the collector's limit

	taken    int64   // optimizer steps of the present weights
	total    int64   // steps this run will end with
	clipNorm float64 // of a checkpoint, where the plan adapts it; 0 otherwise
	metrics  []metric
	debug    *debugLog

	evaluations *privateEvaluations // nil without any
	score       float64             // of the present weights; NaN if nothing that may be released says it
}

func (f *finetune) close() error {
	var errs []error
	if f.restore != nil {
		f.restore()
	}
	if f.ledger != nil {
		errs = append(errs, f.ledger.Close())
	}
	if f.trainer != nil {
		errs = append(errs, f.trainer.close())
	}
	if f.losses != nil {
		errs = append(errs, f.losses.Close())
	}
	if f.debug != nil {
		errs = append(errs, f.debug.close())
	}
	if f.model != nil {
		errs = append(errs, f.model.Close())
	}
	return errors.Join(append(errs, f.closeDevice())...)
}

// check refuses what can be refused before anything is read.
func (f *finetune) check(context.Context) error { return f.options.validate() }

// open opens model, library and output directory.
func (f *finetune) open(ctx context.Context) (err error) {
	o := f.options
	if f.ranks.first() && !f.estimating {
		if err := f.out.check(o.Resume); err != nil {
			return err
		}
	}
	if f.model, err = Open(o.Model, Options{Library: o.Library, Threads: o.Threads, Device: f.device(), Output: o.Output, Head: o.Head}); err != nil {
		return err
	}
	if o.trained, err = f.model.Adapt(ctx, o.method(), o.Trainable); err != nil {
		return err
	}
	if f.prepared, err = f.model.Prepared(); err != nil {
		return err
	}
	if f.env, err = f.model.Env(); err != nil {
		return err
	}
	return f.openDevice()
}

// read reads the data.
func (f *finetune) read(ctx context.Context) (err error) {
	if f.reader, err = newReader(f.model, f.options); err != nil {
		return err
	}
	f.mode = f.reader.mode
	if f.data, err = f.reader.read(ctx, f.options.Train, "train", f.options.UnitColumn, f.options.canaries...); err != nil {
		return err
	}
	if f.options.Valid != "" {
		f.valid, err = f.reader.read(ctx, f.options.Valid, "valid", "")
	}
	return err
}

// compile builds the programs of every padding length.
func (f *finetune) compile(ctx context.Context) error {
	o := f.options
	spec := ghost.Spec{
		Loss: f.data.loss, Clip: o.clipRule(), ClipNorm: float32(o.clipNorm()), ClipGamma: float32(o.clipGamma()),
		ClipPer: ghost.Grouping(o.ClipPer), ClipShares: ghost.Sharing(o.ClipShares),
		Trainable: o.trained, Freeze: o.Freeze,
		Precision: ghost.Precision(o.Precision), Emulated: o.emulated, Records: int64(o.Microbatch), Memory: f.memoryMode(),
	}
	t := &trainer{options: o, data: f.data, ranks: f.ranks}
	f.trainer = t
	if f.memory == nil && f.data.units == nil && o.planted == nil {
		t.kept, spec.RowsApart, spec.SumsKept = &microSum{}, rowsApart, true
	}
	set := func(pass ghost.Pass) *stepSet {
		spec.Pass = pass
		return newStepSet(f.env, f.prepared, spec, f.place)
	}
	switch {
	case o.NoPrivacy && o.ClipNorm == 0, f.data.units != nil:
		t.steps = set(ghost.Weighted)
	case o.TwoPass:
		t.norms, t.steps = set(ghost.Norms), set(ghost.Weighted)
	default:
		t.steps = set(ghost.Clipped)
	}
	if f.valid != nil {
		f.losses = set(ghost.Losses)
	}
	edges := f.data.buckets.Edges()
	for _, s := range t.sets() {
		if err := s.planAll(ctx, edges); err != nil {
			return err
		}
		f.program = s.byLength[edges[len(edges)-1]].program
	}
	if f.losses != nil {
		if err := f.losses.planAll(ctx, f.valid.buckets.Edges()); err != nil {
			return err
		}
	}
	return usageUnless(f.prepared.RefuseLeft(f.program.Selection))
}

// settleSize chooses the microbatch by what memory there is.
func (f *finetune) settleSize(ctx context.Context) error {
	planned, err := f.ranks.fromFirst(f.plannedMicrobatch())
	if err != nil {
		return err
	}
	size, err := f.ranks.least(f.settleMemory(ctx, planned))
	if err != nil {
		return err
	}
	t := f.trainer // which the memory mode may have changed
	t.size, t.fixed = size, t.fixed || f.oneShape()
	return f.planFor(ctx, size)
}

// settle chooses the microbatch, loads the weights, tries a run of padding on
// every program, and fixes the plan. Nothing is charged before all that works.
func (f *finetune) settle(ctx context.Context) (err error) {
	if err := f.settleSize(ctx); err != nil {
		return err
	}
	t := f.trainer
	for _, s := range t.sets() {
		s.forget()
	}
	f.restore = limitGarbage(f.held)
	if t.weights, err = loadWeights(f.prepared, f.program.Trained, append(f.program.Unreached, f.program.Frozen...)); err != nil {
		return err
	}
	if err := f.moveToDevice(); err != nil {
		return err
	}
	if err := f.settlePlan(ctx); err != nil {
		return err
	}
	dim := int64(len(t.sums.Data()))
	if err := f.options.planted.begin(f.plan, f.data.size()); err != nil {
		return err
	}
	f.out.stamp = f.plan.Stamp()
	t.own = f.ranks.own(dim)
	if t.optimizer, err = dpadam.NewSliceOptimizer(f.plan, undecayed(f.program.Trained, t.weights.Trained), t.own); err != nil {
		return err
	}
	if err := f.startMoved(); err != nil {
		return err
	}
	if err := t.warmUp(ctx); err != nil {
		return err
	}
	if err := f.checkPlaces(ctx); err != nil || !f.ranks.first() {
		return err
	}
	if err := t.startAverage(); err != nil {
		return err
	}
	return f.warmUpEvaluation(ctx)
}

// plannedMicrobatch is that of the run to resume; 0 for a new one.
func (f *finetune) plannedMicrobatch() (int, error) {
	if !f.options.Resume || !f.ranks.first() {
		return 0, nil
	}
	record, err := dpadam.ReadLedger(f.out.ledger())
	if err != nil {
		return 0, err
	}
	return record.Plan().Spec().Microbatch, nil
}

// settleMemory fixes what a run holds and the records of one run of the graph, and
// where it is for us to choose the memory mode.
func (f *finetune) settleMemory(ctx context.Context, planned int) (size int, err error) {
	if f.options.recordsPerUnit() > 0 {
		planned = 0 // the plan's microbatch is one unit, whatever runs it takes
	}
	size, err = f.settleRows(ctx, planned)
	return f.lowerMemory(ctx, planned, size, err)
}

// settleRows is settleMemory in one mode. A unit that needs several runs needs a
// vector for their sum.
func (f *finetune) settleRows(ctx context.Context, planned int) (size int, err error) {
	k := f.options.recordsPerUnit()
	if err := f.openSessions(ctx); err != nil {
		return 0, err
	}
	f.countVectors()
	f.held = f.use.Vectors()
	if size, err = f.microbatch(ctx, planned); err != nil {
		return 0, err
	}
	if k > size {
		f.use.Sums *= 2
		f.held = f.use.Vectors()
		if size, err = f.microbatch(ctx, planned); err != nil {
			return 0, err
		}
	}
	if err := f.planFor(ctx, size); err != nil {
		return 0, err
	}
	f.use.Microbatch = f.microbatchPeak(size)
	f.use.Step = f.use.Microbatch
	return size, f.checkMemory(size)
}

// planFor plans all programs for runs of that many records, and opens the sessions of
// those that are new.
func (f *finetune) planFor(ctx context.Context, records int) error {
	for _, s := range f.allSets() {
		if err := s.planFor(ctx, records); err != nil {
			return err
		}
	}
	return f.openSets(ctx)
}

// microbatch settles the records of one run: what the model's declared batch
// demands, what a resumed run's plan says, what the user gives, or what fits
// into memory.
func (f *finetune) microbatch(ctx context.Context, planned int) (int, error) {
	fixed := fixedBatch(f.prepared.Inputs())
	switch {
	case fixed > 0 && f.options.Microbatch > 0 && fixed != f.options.Microbatch:
		return 0, usage("--microbatch %d: the model was exported with a batch of %d", f.options.Microbatch, fixed)
	case fixed > 0:
		f.trainer.fixed = true
		return fixed, nil
	case f.options.Microbatch > 0:
		return f.options.Microbatch, nil
	case planned > 0:
		return planned, nil
	}
	limit, err := f.microbatchLimit()
	if err != nil {
		return 0, err
	}
	size, err := chooseMicrobatch(func(records int) (int64, error) {
		err := f.planFor(ctx, records)
		return f.safePeak(records), err
	}, limit)
	return f.options.capRows(size), err
}

// undecayed are the coordinates that weight decay leaves out: parameters that
// are only ever biases, scales or shifts, in the arena's order.
func undecayed(params []ghost.Parameter, arena *ort.Arena) []dpadam.Range {
	var out []dpadam.Range
	for _, p := range params {
		decays := false
		for _, u := range p.Uses {
			decays = decays || u.Kind == ghost.Linear || u.Kind == ghost.Embedding
		}
		if offset, ok := arena.Offset(p.Name); ok && !decays {
			out = append(out, dpadam.Range{Start: offset, End: offset + int(p.Elements())})
		}
	}
	slices.SortFunc(out, func(a, b dpadam.Range) int { return a.Start - b.Start })
	return out
}

// begin creates the output directory and the ledger, or opens them again.
func (f *finetune) begin(ctx context.Context) error {
	if !f.ranks.first() {
		return f.joinRanks(nil)
	}
	o := f.options
	err := f.reserved(ctx, func() error { return f.start(ctx) })
	if err == nil { // only now: the ledger's lock says that no other process writes here
		err = f.out.clean()
	}
	if err := f.joinRanks(err); err != nil {
		return err
	}
	f.total = min(f.plan.Steps(), f.taken+f.ledger.StepsAffordable())
	if err := f.beginEvaluations(); err != nil {
		return err
	}
	if o.Debug {
		if f.debug, err = newDebugLog(f.out.path, f.plan.Stamp(), f.taken+1); err == nil {
			err = f.debug.dropped(f.out.path, f.plan.Stamp(), f.data, f.valid)
		}
	}
	return err
}

// start creates the output directory with a ledger, or opens that of an earlier run.
func (f *finetune) start(ctx context.Context) (err error) {
	o := f.options
	if err := f.out.create(); err != nil {
		return err
	}
	ledgerOptions := dpadam.LedgerOptions{Hook: o.Hook.At}
	if o.Resume {
		return f.resume(ctx, ledgerOptions)
	}
	if err := f.out.writeConfig(o); err != nil {
		return err
	}
	f.ledger, err = dpadam.CreateLedger(ctx, f.out.ledger(), f.plan, ledgerOptions)
	return err
}

// resume opens the ledger of an earlier run and takes over its last checkpoint.
func (f *finetune) resume(ctx context.Context, lo dpadam.LedgerOptions) error {
	points, err := f.out.checkpoints()
	if err != nil {
		return err
	}
	for _, c := range points {
		lo.Heads = append(lo.Heads, c.Ledger)
	}
	best, err := f.out.bestModels()
	if err != nil {
		return err
	}
	for _, b := range best {
		lo.Heads = append(lo.Heads, b.Ledger)
	}
	if f.ledger, err = dpadam.OpenLedger(ctx, f.out.ledger(), f.plan, lo); err != nil {
		return err
	}
	if len(points) == 0 {
		f.options.Progress.Message(fmt.Sprintf("no checkpoint: starting from the given model; %d steps are charged already", f.ledger.Charged()))
		return nil
	}
	last := points[len(points)-1]
	if err := last.load(f.plan, f.trainer.state(f.trainer.wholeState())); err != nil {
		return err
	}
	if f.plan.Adapts() != (last.ClipNorm != 0) {
		return usage("%s: its state.json is damaged: the clipping norm is missing or does not belong there; remove this checkpoint to go on from an earlier one", last.path)
	}
	f.trainer.weights.changed()
	f.taken, f.clipNorm = last.Step, last.ClipNorm
	if err := f.placeMoved(); err != nil {
		return err
	}
	f.metrics, err = f.out.readMetrics(f.taken)
	return err
}

// train takes the steps.
func (f *finetune) train(ctx context.Context) error {
	o := f.options
	f.announceRecipe()
	f.announce()
	f.announceRanks()
	if f.taken > 0 || o.Resume {
		o.Progress.Message(fmt.Sprintf("resumed after step %d: the run ends with %d of %d planned steps", f.taken, f.total, f.plan.Steps()))
	}
	if f.total == f.taken && f.taken < f.plan.Steps() {
		_, err := f.trainer.stepper.Begin(ctx, f.taken+1) // says what is charged and what it would cost
		if err == nil {
			err = dpadam.ErrBudgetSpent
		}
		return err
	}
	if f.taken == 0 { // a resumed run was scored before its first step
		if err := f.validate(ctx, 0); err != nil {
			return err
		}
	}
	every := f.checkpointEvery()
	for f.taken < f.total {
		n := f.taken + 1
		if err := f.ranks.give(order{kind: orderStep, step: n, total: f.total}); err != nil {
			return err
		}
		stats, err := f.trainer.step(ctx, n, f.total)
		if err != nil {
			return f.stopped(err)
		}
		f.taken = n
		if err := f.report(stats); err != nil {
			return err
		}
		evaluated, err := f.evaluatePrivately(ctx)
		if err != nil {
			return f.stopped(err)
		}
		stop := stats.stop || stopped(o.Stop)
		if n%every == 0 || n == f.total || stop || evaluated {
			if err := f.checkpoint(); err != nil {
				return err
			}
		}
		if stop && n < f.total {
			return f.interrupted()
		}
	}
	return f.validate(ctx, f.taken)
}

// stopped handles the end of a step's context: the weights are those of the last
// whole step, which a checkpoint keeps.
func (f *finetune) stopped(err error) error {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if f.taken > 0 {
		if cerr := f.checkpoint(); cerr != nil {
			return cerr
		}
	}
	return f.interrupted()
}

func (f *finetune) interrupted() error {
	return fmt.Errorf("%w after step %d of %d; go on with --resume --out %s", ErrInterrupted, f.taken, f.total, f.out.path)
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func (f *finetune) checkpointEvery() int64 {
	if f.options.CheckpointEvery > 0 {
		return f.options.CheckpointEvery
	}
	return max(1, (f.plan.Steps()+9)/10)
}

// announce tells the watcher what is about to happen.
func (f *finetune) announce() {
	s := f.plan.Spec()
	b := Begin{
		Records: s.Records, Steps: f.total, FirstStep: f.taken, ExpectedBatch: s.ExpectedBatch, NoiseMultiplier: s.NoiseMultiplier,
		Unit: s.Unit, RecordsPerUnit: s.RecordsPerUnit, SampleRate: s.SampleRate, Delta: s.Delta, TargetEpsilon: s.TargetEpsilon, Coordinates: s.Dim, Microbatch: s.Microbatch, Stamp: f.plan.Stamp(),
	}
	if !s.RecordsDeclared && f.plan.Noisy() {
		b.RecordsArePublic = fmt.Sprintf("N = %d, the number of %s read, is treated as public; declare it with --records if it must not be", s.Records, f.data.noun())
	}
	b.Selected, b.Clipping = f.program.Selection.Lines(), describeClipping(s)
	for _, p := range f.program.Unreached {
		b.Unreached = append(b.Unreached, p.Name)
	}
	for _, p := range f.program.Trained {
		b.Trained = append(b.Trained, p.Name)
	}
	f.options.Progress.Begin(b)
}

// report tells of a step and keeps what may be released of it.
func (f *finetune) report(stats stepStats) error {
	epsilon, err := f.epsilon()
	if err != nil {
		return err
	}
	r := StepReport{Step: f.taken, Steps: f.total, Epsilon: epsilon, LearningRate: f.plan.LearningRate(f.taken, f.total), Loss: math.NaN()}
	f.metrics = append(f.metrics, metric{Step: r.Step, Epsilon: nullable(epsilon), LearningRate: r.LearningRate, ClipNorm: stats.adapted})
	if f.debug != nil {
		r.Loss = stats.Loss
		if err := f.debug.step(r, stats); err != nil {
			return err
		}
	}
	f.options.Progress.Step(r)
	return nil
}

// epsilon is what is charged so far; NaN when nothing is guaranteed.
func (f *finetune) epsilon() (float64, error) {
	if !f.plan.Private() {
		return math.NaN(), nil
	}
	return f.ledger.Bound()
}

func (f *finetune) checkpoint() error {
	c := checkpoint{Step: f.taken, Planned: f.plan.Steps(), Plan: f.plan.Hash(), Ledger: f.ledger.Head(), Resolved: f.plan.Spec()}
	if f.plan.Adapts() {
		c.ClipNorm = f.trainer.stepper.ClipNorm()
	}
	if err := f.ranks.give(order{kind: orderState}); err != nil {
		return err
	}
	slots, err := f.trainer.gatherState()
	if err != nil {
		return err
	}
	if err := f.out.writeCheckpoint(c, f.options, f.trainer.state(slots)); err != nil {
		return err
	}
	return f.out.writeMetrics(f.metrics)
}

// finish writes the model, the statement and everything a server needs.
func (f *finetune) finish(ctx context.Context) (*FinetuneResult, error) {
	if err := f.takeBest(); err != nil {
		return nil, err
	}
	epsilon, err := f.epsilon()
	if err != nil {
		return nil, err
	}
	s := f.plan.Spec()
	result := &FinetuneResult{
		Steps: f.taken, Planned: s.Steps, Epsilon: epsilon, Delta: s.Delta, NoiseMultiplier: s.NoiseMultiplier,
		Out: f.out.path, Stamp: f.plan.Stamp(), Score: f.score,
	}
	if err := f.writeModel(result); err != nil {
		return nil, err
	}
	if err := f.ledger.Finish(ctx, f.taken); err != nil {
		return nil, err
	}
	if err := f.out.writeMetrics(f.metrics); err != nil {
		return nil, err
	}
	if err := f.writeStatement(); err != nil {
		return nil, err
	}
	f.settleBudget(ctx)
	return result, f.samples(ctx)
}

// writeModel writes the model and what lies beside it.
func (f *finetune) writeModel(r *FinetuneResult) error {
	for _, from := range []string{f.model.Dir(), f.options.Tokenizer} {
		if from != "" {
			if err := f.out.copyCompanions(from); err != nil {
				return err
			}
		}
	}
	return f.model.method.save(f.model, f.out.path, f.trainer.released(), f.modelMetadata(r))
}

// privacyKey is the key of a file's metadata that says what its numbers guarantee.
const privacyKey = "ghostwriter.privacy"

// modelMetadata is what the written model says about itself.
func (f *finetune) modelMetadata(r *FinetuneResult) map[string]string {
	m := map[string]string{privacyKey: r.Stamp}
	if r.Stamp == "" {
		m[privacyKey] = fmt.Sprintf("(epsilon = %v, delta = %v) differentially private; see release/statement.txt", r.Epsilon, r.Delta)
	}
	if by := f.plan.Spec().Method; by != "" {
		m["ghostwriter.method"] = by
	}
	if d := f.plan.Spec().AverageDecay; d > 0 {
		m["ghostwriter.weights"] = fmt.Sprintf("exponential moving average over the steps, decay %g", d)
	}
	return m
}

// isDir reports whether path is a folder.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
