package dpadam

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

func mustStepper(t testing.TB, p *Plan, rows int, o StepperOptions) *Stepper {
	t.Helper()
	s, err := NewStepper(mustCreate(t, ledgerPath(t), p), rows, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The whole loop: a linear model's mean is learned privately; every step's records are those
// sampled, in microbatches of a fixed shape, empty batches included.
func TestPrivateTrainingLoop(t *testing.T) {
	const rows, d, microbatch = 400, 20, 16
	p := mustPlan(t, Config{Records: rows, ExpectedBatch: 60, Steps: 120, NoiseMultiplier: 1, ClipNorm: 1, Rho: 1e-3, Dim: d,
		Microbatch: microbatch, Delta: 1e-4, Optimizer: Adam(0.05), Schedule: ScheduleSpec{Name: "linear"}})
	s := mustStepper(t, p, rows, StepperOptions{})
	o, err := NewOptimizer(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	params, grad := make([]float32, d), make([]float32, d)
	for n := int64(1); n <= p.Steps(); n++ {
		step, err := s.Begin(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		for batch := range slices.Chunk(step.Records(), microbatch) {
			sum := make([]float32, d)
			for range batch { // every record pulls every coordinate to 1
				norm := 0.0
				for i := range params {
					norm += float64(params[i]-1) * float64(params[i]-1)
				}
				factor := float32(min(1, p.ClipTo()/math.Max(math.Sqrt(norm), 1e-9)))
				for i := range params {
					sum[i] += factor * (params[i] - 1)
				}
			}
			if err := step.Add(sum, len(batch)); err != nil {
				t.Fatal(err)
			}
		}
		if err := step.Release(t.Context(), grad); err != nil {
			t.Fatal(err)
		}
		if err := o.Update(params, grad, p.LearningRate(n, p.Steps())); err != nil {
			t.Fatal(err)
		}
	}
	mean := 0.0
	for _, x := range params {
		mean += float64(x) / d
	}
	if mean < 0.7 || mean > 1.3 {
		t.Errorf("learned %g, want about 1", mean)
	}
	if _, err := s.Begin(t.Context(), 121); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("one step more than planned: %v", err)
	}
	// An update of a coordinate that no record ever touched is noise too: all moved.
	if slices.Contains(params, 0) {
		t.Error("a coordinate was never updated")
	}
}

// The order of the fault points within a step: the ledger is synced before noise is drawn
// (DESIGN.md, invariants), and sampling never precedes the charge.
func TestStepOrder(t *testing.T) {
	var points []string
	hook := func(p string) { points = append(points, p) }
	l, err := CreateLedger(t.Context(), ledgerPath(t), smallPlan(t, 10), LedgerOptions{Hook: hook})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := NewStepper(l, 0, StepperOptions{Hook: hook})
	if err != nil {
		t.Fatal(err)
	}
	points = nil
	step, err := s.Begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := step.Release(t.Context(), make([]float32, 20)); err != nil {
		t.Fatal(err)
	}
	want := []string{PointLedgerBeforeWrite, PointLedgerAfterWrite, PointLedgerBeforeSync, PointLedgerAfterSync, PointNoiseBefore, PointNoiseAfter}
	if !slices.Equal(points, want) {
		t.Errorf("%v", points)
	}
}

// A step is released once and whole: partial batches (mistake 3), noise twice or per
// microbatch (mistake 7), a dropped step: all errors, and all stay charged.
func TestStepMisuse(t *testing.T) {
	p := mustPlan(t, Config{Records: 50, SampleRate: 1, Steps: 20, NoiseMultiplier: 1, ClipNorm: 1, Dim: 4, Microbatch: 10,
		Delta: 1e-3, Optimizer: Adam(1)})
	s := mustStepper(t, p, 50, StepperOptions{})
	out, sum := make([]float32, 4), make([]float32, 4)
	begin := func() *Step {
		st, err := s.Begin(t.Context(), 1)
		if err != nil || len(st.Records()) != 50 {
			t.Fatal(err)
		}
		return st
	}
	add := func(st *Step, records int) {
		if err := st.Add(sum, records); err != nil {
			t.Fatal(err)
		}
	}
	st := begin()
	add(st, 40)
	if err := st.Release(t.Context(), out); !errors.Is(err, ErrMisuse) {
		t.Errorf("partial batch: %v", err)
	}
	add(st, 10) // the missing records may still be added
	if err := st.Release(t.Context(), out); err != nil {
		t.Errorf("whole batch: %v", err)
	}
	if err := st.Release(t.Context(), out); !errors.Is(err, ErrMisuse) {
		t.Errorf("second release: %v", err)
	}
	if err := st.Add(sum, 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("add after release: %v", err)
	}
	dropped := begin()
	add(dropped, 50)
	next := begin()
	if err := dropped.Release(t.Context(), out); !errors.Is(err, ErrMisuse) {
		t.Errorf("dropped step: %v", err)
	}
	add(next, 50)
	if err := next.Release(t.Context(), out[:3]); !errors.Is(err, ErrMisuse) {
		t.Errorf("short gradient: %v", err)
	}
	if err := next.Release(t.Context(), out); err != nil {
		t.Errorf("after a refused release: %v", err)
	}
	twice := begin()
	add(twice, 50)
	if err := twice.Add(sum, 1); !errors.Is(err, ErrMisuse) { // more records than the plan has
		t.Errorf("a record added twice: %v", err)
	}
	if err := twice.Release(t.Context(), out); !errors.Is(err, ErrMisuse) {
		t.Errorf("after it: %v", err)
	}
	if s.ledger.Charged() != 4 {
		t.Errorf("%d charges, 4 steps were begun", s.ledger.Charged())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Begin(ctx, 2); !errors.Is(err, context.Canceled) || s.ledger.Charged() != 4 {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := NewStepper(s.ledger, 51, StepperOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("more rows than N: %v", err)
	}
}

// A repeated step is a new charge with a new sample and new noise, also under a seed, where
// everything else repeats.
func TestRepeatedStepIsFresh(t *testing.T) {
	seed := uint64(9)
	run := func() (samples [][]int, sums [][]float32) {
		p := mustPlan(t, Config{Records: 1000, ExpectedBatch: 100, Steps: 9, NoiseMultiplier: 1, ClipNorm: 1, Dim: 50, Microbatch: 100,
			Delta: 1e-4, Optimizer: Adam(1), Seed: &seed})
		s := mustStepper(t, p, 1000, StepperOptions{})
		for range 3 {
			st, err := s.Begin(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float32, 50)
			if err := st.Add(out, len(st.Records())); err != nil {
				t.Fatal(err)
			}
			if err := st.Release(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			samples, sums = append(samples, slices.Clone(st.Records())), append(sums, out)
		}
		return samples, sums
	}
	samples, sums := run()
	for i := range 2 {
		if slices.Equal(samples[i], samples[i+1]) || countEqual(sums[i], sums[i+1]) > 5 {
			t.Errorf("charges %d and %d repeat", i+1, i+2)
		}
	}
	again, sumsAgain := run()
	for i := range samples {
		if !slices.Equal(samples[i], again[i]) || !slices.Equal(sums[i], sumsAgain[i]) {
			t.Errorf("the seed does not fix charge %d", i+1)
		}
	}
}
