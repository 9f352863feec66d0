package dpadam

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/runtime/mpi"
)

// onRanks runs f on every rank of a group of goroutines and returns the ranks' errors. A rank that
// fails leaves the group.
func onRanks(size int, f func(c Comm) error) []error {
	errs := make([]error, size)
	var all sync.WaitGroup
	for r, c := range mpi.NewLocal(size) {
		all.Go(func() {
			if errs[r] = f(c); errors.Is(errs[r], ErrComm) {
				c.Abort()
			}
		})
	}
	all.Wait()
	return errs
}

func mustRanks(t testing.TB, size int, f func(c Comm) error) {
	t.Helper()
	for r, err := range onRanks(size, f) {
		if err != nil {
			t.Fatalf("rank %d of %d: %v", r, size, err)
		}
	}
}

// rankStepper makes a rank's stepper; l is rank 0's ledger.
func rankStepper(c Comm, l *Ledger, rows int, o StepperOptions) (*Stepper, error) {
	o.Ranks = c
	if c.Rank() == 0 {
		return NewStepper(l, rows, o)
	}
	return FollowStepper(l.Plan(), rows, o)
}

func TestRankBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim, size := rapid.Int64Range(1, maxDim).Draw(t, "dim"), rapid.IntRange(1, 5000).Draw(t, "size")
		b := RankBounds(dim, size)
		if len(b) != size+1 || b[0] != 0 || int64(b[size]) != dim {
			t.Fatalf("%d bounds from %d to %d", len(b), b[0], b[size])
		}
		for r := range size {
			if n := int64(b[r+1] - b[r]); n < dim/int64(size) || n > dim/int64(size)+1 {
				t.Fatalf("rank %d has %d of %d coordinates", r, n, dim)
			}
		}
	})
}

// A distributedRun is what a seeded run of some steps leaves.
type distributedRun struct {
	params   []float32
	records  [][]int
	released [][]float32
	clip     float64
}

// takeSteps takes three steps on one rank, or alone where c is nil. Whole microbatches of the global
// packing are dealt to the ranks.
func takeSteps(t testing.TB, c Comm, l *Ledger, rows int, out *distributedRun, whole *sync.Mutex) error {
	p := l.Plan()
	var s *Stepper
	var err error
	rank, size := 0, 1
	if c == nil {
		s, err = NewStepper(l, rows, StepperOptions{Workers: 2})
	} else {
		rank, size = c.Rank(), c.Size()
		s, err = rankStepper(c, l, rows, StepperOptions{Workers: 2})
	}
	if err != nil {
		return err
	}
	own := s.Own()
	o, err := NewSliceOptimizer(p, []Range{{3, 9}}, own)
	if err != nil {
		return err
	}
	params, grad := make([]float32, p.spec.Dim), make([]float32, p.spec.Dim)
	for n := int64(1); n <= 3; n++ {
		step, err := s.Begin(t.Context(), n)
		if err != nil {
			return err
		}
		records := slices.Clone(step.Records())
		if err := addParts(step, params, rank, size); err != nil {
			return step.Fail(err)
		}
		if err := step.Release(t.Context(), grad); err != nil {
			return err
		}
		if err := o.Update(params[own.Start:own.End], grad[own.Start:own.End], p.LearningRate(n, 3)); err != nil {
			return err
		}
		if c != nil {
			if err := c.AllGather(params, RankBounds(p.spec.Dim, size)); err != nil {
				return err
			}
		}
		whole.Lock()
		if len(out.released) < int(n) {
			out.released, out.records = append(out.released, make([]float32, p.spec.Dim)), append(out.records, records)
		}
		copy(out.released[n-1][own.Start:own.End], grad[own.Start:own.End])
		if !slices.Equal(out.records[n-1], records) {
			err = errors.New("ranks drew different samples")
		}
		whole.Unlock()
		if err != nil {
			return err
		}
	}
	if rank == 0 {
		out.params, out.clip = params, s.ClipNorm()
	}
	return nil
}

// addParts adds a rank's microbatches, or units, of a step; the sums depend on records and weights.
func addParts(step *Step, params []float32, rank, size int) error {
	p := step.stepper.plan
	sum := make([]float32, p.spec.Dim)
	fill := func(records []int) {
		for i := range sum {
			sum[i] = 0
			for _, r := range records {
				sum[i] += float32(p.spec.ClipNorm / math.Sqrt(float64(p.spec.Dim)) * math.Sin(float64(r*31+i)) * 0.9 * (1 - float64(params[i])))
			}
		}
	}
	if p.RecordsPerUnit() > 0 {
		for k, u := range step.Records() {
			if k%size != rank {
				continue
			}
			chosen, err := step.ChooseRecords(nil, u, 7)
			if err != nil {
				return err
			}
			fill(chosen)
			if err := step.AddUnit(sum, 0.25); err != nil {
				return err
			}
		}
		return nil
	}
	k := 0
	for batch := range slices.Chunk(step.Records(), p.spec.Microbatch) {
		if k++; (k-1)%size != rank {
			continue
		}
		fill(batch)
		var err error
		if p.Adapts() {
			err = step.AddCounted(sum, len(batch), len(batch)/3)
		} else {
			err = step.Add(sum, len(batch))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A seeded run is the same, to the last bit, whatever the number of ranks: its samples, its
// noised sums, its clipping norm, its weights. More ranks than microbatches and than coordinates
// leave some with nothing to add or nothing to noise.
func TestRanksTakeTheStepsOfOne(t *testing.T) {
	seed := testSeed(t)
	plain := Config{Records: 90, ExpectedBatch: 30, Steps: 5, NoiseMultiplier: 0.8, ClipNorm: 0.1, Dim: 2*noiseChunk + 777,
		Microbatch: 8, Delta: 1e-5, Accountant: "rdp", Optimizer: AdamW(1e-2, 0.1), Seed: &seed}
	few, adaptive, open := plain, plain, plain
	few.Dim = 11
	adaptive.Dim, adaptive.Clipping = 5000, Clipping{Adaptive: &Adaptive{Quantile: 0.5}}
	open.Dim, open.NoiseMultiplier, open.NoPrivacy, open.Delta = 3000, 0, true, 0
	units := unitConfig(&seed)
	for name, config := range map[string]Config{"plain": plain, "few coordinates": few, "adaptive": adaptive, "units": units, "without noise": open} {
		if testing.Short() && name != "few coordinates" && name != "adaptive" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := mustPlan(t, config)
			rows := int(p.spec.Records)
			var lock sync.Mutex
			var want distributedRun
			if err := takeSteps(t, nil, mustCreate(t, ledgerPath(t), p), rows, &want, &lock); err != nil {
				t.Fatal(err)
			}
			if p.Adapts() == (want.clip == p.spec.ClipNorm) {
				t.Errorf("clipping norm %g after three steps", want.clip)
			}
			sizes := []int{1, 2, 4}
			switch {
			case testing.Short():
				sizes = sizes[1:2]
			case name == "few coordinates":
				sizes = append(sizes, 16)
			}
			for _, size := range sizes {
				var got distributedRun
				l := mustCreate(t, ledgerPath(t), p)
				mustRanks(t, size, func(c Comm) error { return takeSteps(t, c, l, rows, &got, &lock) })
				for n := range want.records {
					if !slices.Equal(got.records[n], want.records[n]) {
						t.Fatalf("%d ranks: step %d has another sample", size, n+1)
					}
					if p.Noisy() && !slices.Equal(got.released[n], want.released[n]) {
						t.Fatalf("%d ranks: step %d releases something else", size, n+1)
					}
				}
				if got.clip != want.clip || p.Noisy() && !slices.Equal(got.params, want.params) {
					t.Fatalf("%d ranks: the weights, or the clipping norm (%g for %g), differ", size, got.clip, want.clip)
				}
				for i := range want.params { // without noise the order of additions may matter, in float64
					if math.Abs(float64(got.params[i]-want.params[i])) > 1e-6 {
						t.Fatalf("%d ranks: coordinate %d is %g, want %g", size, i, got.params[i], want.params[i])
					}
				}
				if l.Charged() != 3 {
					t.Errorf("%d ranks: %d steps are charged", size, l.Charged())
				}
			}
		})
	}
}

// failingPlan is a plan whose every record is in every batch.
func failingPlan(t testing.TB) *Plan {
	return mustPlan(t, Config{Records: 40, SampleRate: 1, Steps: 9, NoiseMultiplier: 1, ClipNorm: 1, Dim: 2, Microbatch: 8, Delta: 1e-3,
		Accountant: "rdp", Optimizer: SGD(1, 0)})
}

// A failure on one rank fails the step on all: no permit is used, the step stays charged, and the
// next one can be taken.
func TestRankFailureIsEverybodys(t *testing.T) {
	release := func(ctx context.Context, step *Step) error { return step.Release(ctx, []float32{7, 7}) }
	for name, test := range map[string]struct {
		guilty func(step *Step) error
		want   error // of every rank; nil for any
	}{
		"the runtime fails": {func(step *Step) error { return step.Fail(errors.New("out of memory")) }, nil},
		"a sum is not clean": {func(step *Step) error {
			step.Add([]float32{float32(math.NaN()), 0}, 0)
			return release(t.Context(), step)
		}, ErrSensitivity},
		"one record twice": {func(step *Step) error { step.Add([]float32{0, 0}, 1); return release(t.Context(), step) }, ErrMisuse},
		"released twice":   {func(step *Step) error { step.stepper.current = nil; return release(t.Context(), step) }, ErrMisuse},
		"stopped": {func(step *Step) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return release(ctx, step)
		}, context.Canceled},
	} {
		if testing.Short() && name != "stopped" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			l := mustCreate(t, ledgerPath(t), failingPlan(t))
			mustRanks(t, 4, func(c Comm) error {
				s, err := rankStepper(c, l, 40, StepperOptions{})
				if err != nil {
					return err
				}
				step, err := s.Begin(t.Context(), 1)
				if err != nil {
					return err
				}
				if err := addParts(step, []float32{0, 0}, c.Rank(), 4); err != nil {
					return err
				}
				finish := release
				if c.Rank() == 2 {
					finish = func(_ context.Context, step *Step) error { return test.guilty(step) }
				}
				if err = finish(t.Context(), step); err == nil || test.want != nil && !errors.Is(err, test.want) {
					return fmt.Errorf("the step ended with %v, want %v", err, test.want)
				}
				if step.permit.used.Load() {
					return errors.New("the permit was used")
				}
				if step, err = s.Begin(t.Context(), 1); err != nil {
					return err
				}
				if err := addParts(step, []float32{0, 0}, c.Rank(), 4); err != nil {
					return err
				}
				return step.Release(t.Context(), []float32{0, 0})
			})
			if l.Charged() != 2 {
				t.Errorf("%d steps are charged, want 2", l.Charged())
			}
		})
	}
}

// What rank 0's ledger refuses no rank may draw noise for; a rank that is gone ends the step of all.
func TestRanksNeedTheLedger(t *testing.T) {
	l := mustCreate(t, ledgerPath(t), failingPlan(t))
	var synced sync.Mutex
	charged := 0
	l.hook = func(point string) {
		if point == PointLedgerAfterSync {
			synced.Lock()
			charged++
			synced.Unlock()
		}
	}
	for r, err := range onRanks(3, func(c Comm) error {
		taken := 0
		s, err := rankStepper(c, l, 0, StepperOptions{Hook: func(point string) {
			synced.Lock()
			defer synced.Unlock()
			if point == PointNoiseBefore && charged <= taken {
				t.Errorf("rank %d draws the noise of step %d, %d lines are synced", c.Rank(), taken+1, charged)
			}
		}})
		if err != nil {
			return err
		}
		for ; ; taken++ {
			step, err := s.Begin(t.Context(), int64(taken+1))
			if err != nil {
				if taken != 9 {
					t.Errorf("rank %d: %d steps", c.Rank(), taken)
				}
				return err
			}
			if err := step.Release(t.Context(), []float32{0, 0}); err != nil {
				return err
			}
		}
	}) {
		if !errors.Is(err, ErrBudgetSpent) {
			t.Errorf("rank %d: %v", r, err)
		}
	}
	l = mustCreate(t, ledgerPath(t), failingPlan(t))
	for r, err := range onRanks(3, func(c Comm) error {
		s, err := rankStepper(c, l, 0, StepperOptions{})
		if err != nil {
			return err
		}
		step, err := s.Begin(t.Context(), 1)
		if err != nil {
			return err
		}
		if c.Rank() == 1 {
			return fmt.Errorf("%w: gone", ErrComm)
		}
		return step.Release(t.Context(), []float32{0, 0})
	}) {
		if !errors.Is(err, ErrComm) {
			t.Errorf("rank %d, when rank 1 is gone: %v", r, err)
		}
	}
	if l.Charged() != 1 {
		t.Errorf("%d steps are charged, want 1", l.Charged())
	}
}

// Ranks with different plans, or with ledgers of their own, don't begin.
func TestRanksMustHaveOnePlan(t *testing.T) {
	l := mustCreate(t, ledgerPath(t), failingPlan(t))
	other := mustPlan(t, Config{Records: 40, SampleRate: 1, Steps: 9, NoiseMultiplier: 0.5, ClipNorm: 1, Dim: 2, Microbatch: 8, Delta: 1e-3,
		Accountant: "rdp", Optimizer: SGD(1, 0)})
	for r, err := range onRanks(2, func(c Comm) error {
		if c.Rank() == 0 {
			_, err := NewStepper(l, 0, StepperOptions{Ranks: c})
			return err
		}
		_, err := FollowStepper(other, 0, StepperOptions{Ranks: c})
		return err
	}) {
		if !errors.Is(err, ErrMisuse) {
			t.Errorf("rank %d: %v", r, err)
		}
	}
	for rank, c := range mpi.NewLocal(2) {
		if rank == 1 {
			if _, err := NewStepper(l, 0, StepperOptions{Ranks: c}); !errors.Is(err, ErrMisuse) {
				t.Errorf("a second ledger: %v", err)
			}
		} else if _, err := FollowStepper(l.Plan(), 0, StepperOptions{Ranks: c}); !errors.Is(err, ErrMisuse) {
			t.Errorf("rank 0 without a ledger: %v", err)
		}
	}
}
