package dpadam

import (
	"context"
	"fmt"
)

// Stepper couples ledger, sampler, accumulator and noise, so that a step can only be taken
// in the order charge, sample, sum, release, and only whole. One goroutine drives it.
type Stepper struct {
	ledger  *Ledger
	sampler *Sampler
	acc     *Accumulator
	noiser  *Noiser
	chooser *chooser // nil where the unit is a record
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
}

// NewStepper takes fresh keys and makes a stepper over a data set of rows records, at most
// the plan's N.
func NewStepper(l *Ledger, rows int, o StepperOptions) (*Stepper, error) {
	key, err := NewSamplingKey(l.plan)
	if err != nil {
		return nil, err
	}
	sampler, err := NewSampler(l.plan, rows, key)
	if err != nil {
		return nil, err
	}
	noiser, err := NewNoiser(l.plan, o.Workers, o.Hook)
	if err != nil {
		return nil, err
	}
	chooser, err := newChooser(l.plan)
	if err != nil {
		return nil, err
	}
	s := &Stepper{ledger: l, sampler: sampler, noiser: noiser, chooser: chooser, acc: NewAccumulator(l.plan)}
	if o.ClipNorm != 0 {
		if err := s.acc.SetClipNorm(o.ClipNorm); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ClipNorm is C_t, the clipping norm of the step to come: the plan's, unless the plan adapts it.
// It is a function of what the steps before have released.
func (s *Stepper) ClipNorm() float64 { return s.acc.ClipNorm() }

// ClipTo is the norm that the trainer clips to, C_t*(1-rho); see Plan.ClipTo.
func (s *Stepper) ClipTo() float64 { return s.ledger.plan.spec.clipTo(s.acc.ClipNorm()) }

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
	permit, err := s.ledger.Charge(ctx, n)
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

// Records are the sampled records (units, where the plan has several records a unit), ascending; none in an empty batch, which is released all
// the same. The slice is valid until the next Begin. Which and how many they are is secret.
func (st *Step) Records() []int { return st.records }

// Index is the number of the charge.
func (st *Step) Index() uint64 { return st.permit.index }

// Add adds the clipped sum of a microbatch that held so many of the step's records
// (Accumulator.Add).
func (st *Step) Add(sum []float32, records int) error {
	if st.stepper.current != st {
		return fmt.Errorf("%w: the step is over", ErrMisuse)
	}
	return st.stepper.acc.Add(sum, records)
}

// AddCounted is Add under adaptive clipping (Accumulator.AddCounted).
func (st *Step) AddCounted(sum []float32, records, within int) error {
	if st.stepper.current != st {
		return fmt.Errorf("%w: the step is over", ErrMisuse)
	}
	return st.stepper.acc.AddCounted(sum, records, within)
}

// Release writes the noised sum into out, once, and ends the step. It refuses a step of
// which a sampled record has not been added: a partial batch is not the mechanism that was
// accounted.
func (st *Step) Release(ctx context.Context, out []float32) error {
	s := st.stepper
	if s.current != st {
		return fmt.Errorf("%w: the step is over; its noise is drawn once", ErrMisuse)
	}
	if s.acc.err == nil && s.acc.records != int64(len(st.records)) {
		return fmt.Errorf("%w: not every sampled record was added to the step, or one was added twice", ErrMisuse)
	}
	if err := s.noiser.Release(ctx, st.permit, s.acc, out); err != nil {
		return err
	}
	s.current = nil
	return nil
}
