package dpadam

import (
	"context"
	"fmt"
)

// Stepper couples ledger, sampler, accumulator and noise, so that a step can only be taken
// in the order charge, sample, sum, release, and only whole. One goroutine drives it.
//
// In a distributed run every rank has one, and all take each step together: the records added on
// all ranks make the step's batch, and each rank is given its own slice of the release.
type Stepper struct {
	plan    *Plan
	ledger  *Ledger // nil on ranks other than 0
	sampler *Sampler
	acc     *Accumulator
	noiser  *Noiser
	chooser *chooser // nil where the unit is a record
	team    *team    // nil for one process
	current *Step
	indices []int
}

// StepperOptions are the options of NewStepper; the zero value is right for training.
type StepperOptions struct {
	Workers int                // goroutines that draw noise; 0: one for each processor
	Hook    func(point string) // called at the fault points of the noise
	// ClipNorm is the clipping norm to go on with, a checkpoint's, where the plan adapts it;
	// 0 is the plan's.
	ClipNorm float64
	// Ranks joins the ranks of a distributed run; nil for a run of one process. Making a stepper
	// is collective then.
	Ranks Comm
}

// NewStepper takes fresh keys and makes a stepper over a data set of rows records, at most
// the plan's N.
func NewStepper(l *Ledger, rows int, o StepperOptions) (*Stepper, error) {
	return newStepper(l.plan, l, rows, o)
}

// FollowStepper makes the stepper of a rank other than 0, which holds no ledger: rank 0's charges
// give it its permits. The plan must be rank 0's.
func FollowStepper(p *Plan, rows int, o StepperOptions) (*Stepper, error) {
	if o.Ranks == nil || o.Ranks.Rank() == 0 {
		return nil, fmt.Errorf("%w: only a rank other than 0 goes without a ledger", ErrMisuse)
	}
	return newStepper(p, nil, rows, o)
}

func newStepper(p *Plan, l *Ledger, rows int, o StepperOptions) (*Stepper, error) {
	s := &Stepper{plan: p, ledger: l}
	if o.Ranks != nil {
		if l != nil && o.Ranks.Rank() != 0 {
			return nil, fmt.Errorf("%w: rank %d has a ledger; rank 0 holds the only one", ErrMisuse, o.Ranks.Rank())
		}
		s.team = newTeam(o.Ranks, p.spec.Dim)
	}
	keys, err := s.drawKeys(o)
	if s.team != nil {
		err = s.team.share(p, keys, err)
	}
	if err == nil {
		err = s.assemble(rows, o, keys)
	}
	if s.team != nil {
		err = Agree(o.Ranks, err)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// stepKeys are the secrets of a run: of its samples, of the records of its units, of its noise.
type stepKeys struct{ sampling, choosing, noise [keyBytes]byte }

func (s *Stepper) drawKeys(o StepperOptions) (*stepKeys, error) {
	var k stepKeys
	sampling, err := NewSamplingKey(s.plan)
	if err != nil {
		return nil, err
	}
	k.sampling = sampling.key
	if k.choosing, err = freshKey(s.plan.spec.Seed, "records of a unit"); err != nil {
		return nil, err
	}
	s.noiser, err = NewNoiser(s.plan, o.Workers, o.Hook)
	if err != nil {
		return nil, err
	}
	k.noise = s.noiser.keys.state
	return &k, nil
}

// assemble makes the parts of a stepper.
func (s *Stepper) assemble(rows int, o StepperOptions, k *stepKeys) (err error) {
	defer func() { *k = stepKeys{} }()
	s.noiser.keys.state = k.noise
	if s.team != nil {
		s.noiser.own = s.team.own
	}
	if s.sampler, err = NewSampler(s.plan, rows, SamplingKey{k.sampling}); err != nil {
		return err
	}
	if s.chooser, err = newChooser(s.plan, k.choosing); err != nil {
		return err
	}
	s.acc = NewAccumulator(s.plan)
	if o.ClipNorm != 0 {
		return s.acc.SetClipNorm(o.ClipNorm)
	}
	return nil
}

// ClipNorm is C_t, the clipping norm of the step to come: the plan's, unless the plan adapts it.
// It is a function of what the steps before have released.
func (s *Stepper) ClipNorm() float64 { return s.acc.ClipNorm() }

// ClipTo is the norm that the trainer clips to, C_t*(1-rho); see Plan.ClipTo.
func (s *Stepper) ClipTo() float64 { return s.plan.spec.clipTo(s.acc.ClipNorm()) }

// Step is one charged step in progress.
type Step struct {
	stepper *Stepper
	permit  *Permit
	records []int
}

// Begin charges optimizer step n (from 1) to the ledger and draws its batch. A step in
// progress that was not released is dropped: it stays charged and is gone.
func (s *Stepper) Begin(ctx context.Context, n int64) (*Step, error) {
	s.current = nil
	s.acc.Reset()
	permit, err := s.charge(ctx, n)
	if err != nil {
		return nil, err
	}
	s.indices, err = s.sampler.Sample(s.indices[:0], permit.index)
	if err != nil {
		return nil, err
	}
	s.current = &Step{stepper: s, permit: permit, records: s.indices}
	return s.current, nil
}

func (s *Stepper) charge(ctx context.Context, n int64) (*Permit, error) {
	if s.team != nil {
		return s.team.charge(ctx, s.ledger, s.plan, n)
	}
	return s.ledger.Charge(ctx, n)
}

// Own are the coordinates that this process noises and updates: all, or a rank's slice.
func (s *Stepper) Own() Range { return s.noiser.own }

// Records are the sampled records (units, where the plan has several records a unit), ascending; none in an empty batch, which is released all
// the same. The slice is valid until the next Begin. Which and how many they are is secret.
func (st *Step) Records() []int { return st.records }

// Index is the number of the charge.
func (st *Step) Index() uint64 { return st.permit.index }

// running refuses what is added to a step that is over.
func (st *Step) running() error {
	if st.stepper.current != st {
		return fmt.Errorf("%w: the step is over", ErrMisuse)
	}
	return nil
}

// Add adds the clipped sum of a microbatch that held so many of the step's records
// (Accumulator.Add).
func (st *Step) Add(sum []float32, records int) error {
	if err := st.running(); err != nil {
		return err
	}
	return st.stepper.acc.Add(sum, records)
}

// AddCounted is Add under adaptive clipping (Accumulator.AddCounted).
func (st *Step) AddCounted(sum []float32, records, within int) error {
	if err := st.running(); err != nil {
		return err
	}
	return st.stepper.acc.AddCounted(sum, records, within)
}

// Release writes the noised sum into out, once, and ends the step. It refuses a step of
// which a sampled record has not been added: a partial batch is not the mechanism that was
// accounted. In a distributed run only the rank's own slice of out is written (Own), and the release
// of all ranks fails where that of one does.
func (st *Step) Release(ctx context.Context, out []float32) error {
	s := st.stepper
	if s.team != nil {
		return st.releaseTogether(ctx, out)
	}
	if s.current != st {
		return errStepOver
	}
	if s.acc.err == nil && s.acc.records != int64(len(st.records)) {
		return errPartialBatch
	}
	if err := s.noiser.Release(ctx, st.permit, s.acc, out); err != nil {
		return err
	}
	s.current = nil
	return nil
}

var (
	errStepOver     = fmt.Errorf("%w: the step is over; its noise is drawn once", ErrMisuse)
	errPartialBatch = fmt.Errorf("%w: not every sampled record was added to the step, or one was added twice", ErrMisuse)
)

// Fail ends a step that this process cannot take, and returns err. In a distributed run the other
// ranks' releases then fail too; every rank calls either Fail or Release.
func (st *Step) Fail(err error) error {
	s := st.stepper
	s.current = nil
	if s.team == nil {
		return err
	}
	_, err = s.team.settle(partial{}, err)
	s.acc.Reset()
	return err
}

// releaseTogether is Release on one of several ranks: the sums are agreed on and added up, every
// rank noises its slice, and only when all have is any of it used.
func (st *Step) releaseTogether(ctx context.Context, out []float32) error {
	s := st.stepper
	err := s.acc.err
	switch {
	case s.current != st:
		err = errStepOver
	case err == nil:
		err = ctx.Err()
	}
	s.current = nil
	sum, err := s.team.settle(partial{s.acc.records, s.acc.microbatches, s.acc.doubled}, err)
	if err == nil {
		err = st.checkWhole(sum)
	}
	if err != nil {
		return err
	}
	if err := s.team.collect(s.acc); err != nil {
		return err
	}
	s.acc.doubled = sum.doubled
	if err := Agree(s.team.comm, s.noiser.Release(ctx, st.permit, s.acc, out)); err != nil {
		return err
	}
	if s.plan.Adapts() {
		return s.team.shareClip(s.acc)
	}
	return nil
}

// checkWhole holds what all ranks have added to the sample and to what the noise is proven for. It
// gives the same answer on every rank.
func (st *Step) checkWhole(sum partial) error {
	if sum.records != int64(len(st.records)) {
		return errPartialBatch
	}
	if l := st.stepper.plan.spec.Lattice; l != nil && sum.microbatches > l.MaxMicrobatches {
		return fmt.Errorf("%w: the ranks added %d microbatches, the plan proves its noise for %d", ErrMisuse, sum.microbatches, l.MaxMicrobatches)
	}
	return nil
}
