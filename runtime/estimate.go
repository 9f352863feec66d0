package runtime

import (
	"cmp"
	"context"
	"errors"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// An Estimate says what a run of Finetune will take, before it starts.
type Estimate struct {
	Epsilon         float64 // rigorous bound of the whole plan; NaN when nothing is guaranteed
	Delta           float64
	NoiseMultiplier float64
	SampleRate      float64
	Steps           int64
	ExpectedBatch   float64
	Records         int64 // N, counted in the unit of privacy
	Coordinates     int64 // trained
	Stamp           string

	Microbatch int // records of one run
	Mode       ghost.Memory
	Memory     MemoryUse
	Lengths    []LengthEstimate
	Time       *TimeEstimate // nil where nothing is known

	Recipe      string        // whose values stand for those that were not given
	BatchReason string        // where the expected batch comes from
	Batches     []BatchChoice // other batches at the same epochs and target; empty without a target
	Warnings    []string      // what goes against the paper's guidance
}

// A LengthEstimate is one padding length of the run.
type LengthEstimate struct {
	Tokens  int     // of a padded record
	Share   float64 // of the records
	Peak    int64   // bytes of the values of a run, predicted
	Largest []LargeValue
	Seconds float64 // of a run of the microbatch, see TimeEstimate.Predicted; 0 where it is not known
	fixed   float64 // what of them a run of fewer records takes too
}

// A LargeValue is a value that is held at the peak.
type LargeValue struct {
	Name  string `json:"name"`
	Op    string `json:"op"`
	Bytes int64  `json:"bytes"`
}

// A TimeEstimate is what was measured of a run, and what follows for the whole.
type TimeEstimate struct {
	Microbatches float64 // seconds of a step's runs, expected
	Update       float64 // seconds of a step's noise and update
	Step         float64 // both
	Total        float64 // of all steps, without validation and checkpoints
	// Predicted says that no microbatch was run: their time is that of their products
	// and of what other operators read and write, at rates that were measured.
	Predicted bool
}

// EstimateOptions say what to estimate beside the options of the run.
type EstimateOptions struct {
	// Measure loads the weights and times one microbatch of every length in use.
	// Without it, or where the system has not the memory that is needed, the time is
	// predicted from the machine's rates; on a GPU there is none then.
	Measure bool
}

// EstimateRun resolves the options as Finetune does, by the same code, and says
// what the run will take. It writes nothing, and charges nothing. Without a data
// file (o.Train) the number of records must be given (o.Records), and every record
// is taken to have the longest length.
func EstimateRun(ctx context.Context, o FinetuneOptions, e EstimateOptions) (_ *Estimate, err error) {
	o.Progress = silent{}
	f := &finetune{options: &o, estimating: true, score: math.NaN()}
	defer func() { err = errors.Join(err, f.close()) }()
	for _, stage := range []func(context.Context) error{f.meet, f.checkEstimate, f.open, f.readOrAssume, f.compile, f.settleSize, f.settlePlan} {
		if err := stage(ctx); err != nil {
			return nil, err
		}
	}
	out, err := f.estimate()
	if err == nil {
		err = f.advise(out)
	}
	switch free := availableMemory(); {
	case err != nil:
		return nil, err
	case e.Measure && (free == 0 || out.Memory.Total()-out.Memory.Process < free):
		return out, f.measure(ctx, out)
	case f.place.device.IsCPU():
		return out, f.predict(ctx, out)
	}
	return out, nil
}

// checkEstimate is Finetune's check without what only a run needs.
func (f *finetune) checkEstimate(context.Context) error {
	if err := f.options.takeRecipe(); err != nil {
		return err
	}
	o := *f.options
	o.Out = cmp.Or(o.Out, ".")
	switch {
	case o.Resume:
		return usage("estimate looks at a run that has not begun; leave --resume out")
	case o.Train == "" && o.Records == 0:
		return usage("give --train FILE, or --records N without one")
	case o.Train == "" && o.UnitColumn != "":
		return usage("--unit-column needs the data: give --train")
	case o.Train == "" && o.DPEvaluate > 0:
		return usage("--dp-evaluate needs the data: give --train and --valid")
	}
	o.Train = cmp.Or(o.Train, ".")
	return o.validate()
}

// readOrAssume reads the data, or without them makes a set whose records all have
// the longest length.
func (f *finetune) readOrAssume(ctx context.Context) (err error) {
	if f.options.Train != "" {
		return f.read(ctx)
	}
	o := f.options
	r := &reader{options: o, prepared: f.prepared, reserved: f.model.reserved()}
	if r.recipe, err = o.recipe(); err != nil {
		return err
	}
	if r.config, err = f.model.readConfig(); err != nil {
		return err
	}
	if err := r.settleMode(); err != nil {
		return err
	}
	if err := r.settleLength(); err != nil {
		return err
	}
	f.mode = r.mode
	f.data = &dataset{loss: r.loss(), labelWords: []int64{0, 1}}
	longest := r.maxLength
	if fixed, ok := fixedLength(f.prepared); ok {
		longest = int(fixed)
	}
	if f.data.buckets, err = tokenize.NewBuckets(longest); err != nil {
		return usage("%w", err)
	}
	return nil
}

// estimate sums up what is settled.
func (f *finetune) estimate() (*Estimate, error) {
	s := f.plan.Spec()
	out := &Estimate{
		Epsilon: math.NaN(), Delta: s.Delta, NoiseMultiplier: s.NoiseMultiplier, SampleRate: s.SampleRate, Steps: s.Steps,
		ExpectedBatch: s.ExpectedBatch, Records: s.Records, Coordinates: s.Dim, Stamp: f.plan.Stamp(),
		Microbatch: f.trainer.size, Mode: f.memoryMode(), Memory: f.use,
	}
	var err error
	if f.plan.Private() {
		if out.Epsilon, err = f.plan.Bound(f.plan.Planned()); err != nil {
			return nil, err
		}
	}
	if out.Lengths, err = f.lengths(); err != nil {
		return nil, err
	}
	out.Memory.Step = f.stepPeak(s.ExpectedBatch, out.Lengths)
	return out, nil
}

// lengths describes the padding lengths that the records have.
func (f *finetune) lengths() ([]LengthEstimate, error) {
	edges := f.data.buckets.Edges()
	count := map[int]int{}
	for i := range f.data.examples {
		count[f.data.edge(i)]++
	}
	all := len(f.data.examples)
	if all == 0 {
		count[edges[len(edges)-1]], all = 1, 1
	}
	var out []LengthEstimate
	for _, edge := range edges {
		if count[edge] == 0 {
			continue
		}
		l := LengthEstimate{Tokens: edge, Share: float64(count[edge]) / float64(all)}
		for _, set := range f.trainer.sets() {
			st, err := set.plan(edge)
			if err != nil {
				return nil, err
			}
			peak := st.peak(f.trainer.size, edge)
			if peak.Bytes < l.Peak {
				continue
			}
			l.Peak, l.Largest = peak.Bytes, nil
			for _, v := range peak.Live[:min(largestValues, len(peak.Live))] {
				l.Largest = append(l.Largest, LargeValue{v.Name, v.Op, v.Bytes})
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// largestValues is how many values of a peak are listed.
const largestValues = 10

// settlePlan fixes the plan from what data, program and microbatch say.
func (f *finetune) settlePlan(ctx context.Context) (err error) {
	evaluation, err := f.evaluationSpec()
	if err != nil {
		return err
	}
	t := f.trainer
	rows := int64(f.data.size())
	if f.estimating && f.options.Train == "" {
		rows = f.options.Records
	}
	facts := planFacts{rows, elements(f.program.Trained), f.model.method.describe(), t.size, len(f.data.buckets.Edges()) + f.options.planted.buckets(), f.program.Groups, evaluation}
	if err := f.settleOptions(facts); err != nil {
		return err
	}
	if f.plan, err = f.options.plan(ctx, facts); err != nil {
		return err
	}
	if n := f.plan.Spec().Records; rows > n {
		return usage("%s has %d %s, more than --records %d: the noise is proven for at most N", f.options.Train, rows, f.data.noun(), n)
	}
	t.plan = f.plan
	return nil
}

// secondsPerStep is what a step's runs take: of the expected batch each length has
// its share. A part-filled run has as many rows as records, so it takes what a run takes whatever its rows, and its part of the rest.
func secondsPerStep(batch float64, size int, lengths []LengthEstimate) (seconds float64) {
	for _, l := range lengths {
		runs := batch * l.Share / float64(size)
		seconds += math.Ceil(runs)*l.fixed + runs*(l.Seconds-l.fixed)
	}
	return seconds
}
