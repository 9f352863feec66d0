package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit/evidence"
)

// Each planted bug is a decorator of the real steps, or is built from the real parts in a wrong
// order. Everything is seeded, so that the values in docs/audit.md can be compared with the
// ones seen; the twin of a bug is the same run without it.
const (
	plantedSeed  = 2023
	plantedSteps = 4
)

// document holds the tables.
var document = filepath.Join("..", "..", "docs", "audit.md")

// A planted bug: what was done, to which mistake of the notes it belongs, and the mechanism.
type planted struct {
	name    string
	mistake int
	plant   func(t *testing.T, p *dpadam.Plan, rows int) Mechanism
}

func training(t *testing.T, p *dpadam.Plan, rows int) *Training {
	t.Helper()
	m, err := NewTraining(t.Context(), p, rows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// tapped runs a mechanism and then spoils what it releases, knowing the sum without noise.
type tapped struct {
	Mechanism
	clean []float32
	spoil func(n int64, clean, out []float32)
}

func (m *tapped) Step(ctx context.Context, n int64, sum func([]int, []float32), out []float32) error {
	m.clean = make([]float32, len(out))
	own := make([]float32, len(out))
	err := m.Mechanism.Step(ctx, n, func(records []int, into []float32) {
		sum(records, into)
		clear(own)
		for i, x := range into {
			m.clean[i] += x
		}
	}, out)
	if err == nil {
		m.spoil(n, m.clean, out)
	}
	return err
}

// spoiled plants a bug in what leaves the real steps.
func spoiled(spoil func(p *dpadam.Plan) func(n int64, clean, out []float32)) func(*testing.T, *dpadam.Plan, int) Mechanism {
	return func(t *testing.T, p *dpadam.Plan, rows int) Mechanism {
		return &tapped{Mechanism: training(t, p, rows), spoil: spoil(p)}
	}
}

// scaled multiplies the noise.
func scaled(factor func(p *dpadam.Plan) float64) func(*testing.T, *dpadam.Plan, int) Mechanism {
	return spoiled(func(p *dpadam.Plan) func(int64, []float32, []float32) {
		f := float32(factor(p))
		return func(_ int64, clean, out []float32) {
			for i := range out {
				out[i] = clean[i] + f*(out[i]-clean[i])
			}
		}
	})
}

// gradients multiplies what every record contributes, as clipping to a larger norm would.
type gradients struct {
	Mechanism
	factor float32
}

func (m gradients) Step(ctx context.Context, n int64, sum func([]int, []float32), out []float32) error {
	return m.Mechanism.Step(ctx, n, func(records []int, into []float32) {
		sum(records, into)
		for i := range into {
			into[i] *= m.factor
		}
	}, out)
}

// perMicrobatch adds noise of sigma/M in each of M microbatches instead of once: the real noise of
// M runs without records, each divided by M.
func perMicrobatch(t *testing.T, p *dpadam.Plan, rows int) Mechanism {
	const parts = 10
	var noises []Mechanism
	for k := range uint64(parts) {
		s := p.Spec()
		seed := *s.Seed + 100 + k
		q, err := dpadam.NewPlan(dpadam.Config{Records: s.Records, SampleRate: s.SampleRate, Steps: s.Steps, Delta: s.Delta, NoiseMultiplier: s.NoiseMultiplier,
			ClipNorm: s.ClipNorm, Dim: s.Dim, Microbatch: s.Microbatch, Optimizer: s.Optimizer, Accountant: s.Accountant, Seed: &seed})
		if err != nil {
			t.Fatal(err)
		}
		noises = append(noises, training(t, q, 0))
	}
	return &tapped{Mechanism: training(t, p, rows), spoil: func(n int64, clean, out []float32) {
		copy(out, clean)
		part := make([]float32, len(out))
		for _, m := range noises {
			if err := m.Step(t.Context(), n, nil, part); err != nil {
				t.Fatal(err)
			}
			for i, x := range part {
				out[i] += x / parts
			}
		}
	}}
}

// known is an attacker who knows the seed: he runs the same steps without any record and
// subtracts what they release. With fresh keys that only adds noise.
func known(seeded bool) func(*testing.T, *dpadam.Plan, int) Mechanism {
	return func(t *testing.T, p *dpadam.Plan, rows int) Mechanism {
		s := p.Spec()
		seed := *s.Seed
		if !seeded {
			seed++ // as far apart as two fresh keys
		}
		q, err := dpadam.NewPlan(dpadam.Config{Records: s.Records, SampleRate: s.SampleRate, Steps: s.Steps, Delta: s.Delta, NoiseMultiplier: s.NoiseMultiplier,
			ClipNorm: s.ClipNorm, Dim: s.Dim, Microbatch: s.Microbatch, Optimizer: s.Optimizer, Accountant: s.Accountant, Seed: &seed})
		if err != nil {
			t.Fatal(err)
		}
		empty := training(t, q, 0)
		return &tapped{Mechanism: training(t, p, rows), spoil: func(n int64, _, out []float32) {
			guess := make([]float32, len(out))
			if err := empty.Step(t.Context(), n, nil, guess); err != nil {
				t.Fatal(err)
			}
			for i, x := range guess {
				out[i] -= x
			}
		}}
	}
}

// carried keeps the sums of the steps before, as an accumulator does that is never emptied.
func carried(p *dpadam.Plan) func(int64, []float32, []float32) {
	before := make([]float32, p.Spec().Dim)
	return func(_ int64, clean, out []float32) {
		for i := range before {
			out[i] += before[i]
			before[i] += clean[i]
		}
	}
}

// touched publishes which coordinates a record touched.
func touched(*dpadam.Plan) func(int64, []float32, []float32) {
	return func(_ int64, clean, out []float32) {
		for i, x := range clean {
			if x == 0 {
				out[i] = 0
			}
		}
	}
}

var plantedBugs = []planted{
	{"half of the noise", 5, scaled(func(*dpadam.Plan) float64 { return 0.5 })},
	{"no noise", 5, scaled(func(*dpadam.Plan) float64 { return 0 })},
	{"noise divided by the batch, and the sum again", 10, scaled(func(p *dpadam.Plan) float64 { return 1 / p.ExpectedBatch() })},
	{"clipping to twice the norm that the noise is scaled for", 10, func(t *testing.T, p *dpadam.Plan, rows int) Mechanism {
		return gradients{training(t, p, rows), 2}
	}},
	{"noise of sigma/M in each of M microbatches", 7, perMicrobatch},
	{"sums carried on from step to step", 3, spoiled(carried)},
	{"a seed that the attacker knows", 5, known(true)},
}

// plantedBox is the audit that all bugs are held against: 20,000 canaries, no sampling.
func plantedBox() WhiteBox {
	seed := uint64(plantedSeed)
	w := testBox(20000, plantedSteps)
	w.Seed = &seed
	return w
}

func audited(t *testing.T, w WhiteBox, plant func(*testing.T, *dpadam.Plan, int) Mechanism) *WhiteBoxResult {
	t.Helper()
	plan, claim, err := w.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in, err := Coins(w.Canaries, w.Seed)
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.audit(t.Context(), plan, claim, in, plant(t, plan, len(Included(in))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every planted bug is caught, its twin without the bug is not, and docs/audit.md says what
// was seen.
func TestPlantedBugs(t *testing.T) {
	onlyComputes(t)
	twin := audited(t, plantedBox(), func(t *testing.T, p *dpadam.Plan, rows int) Mechanism { return training(t, p, rows) })
	if twin.Refuted || twin.Bound < 0.7 {
		t.Errorf("without a bug: bound %g, claimed %g", twin.Bound, twin.Claimed)
	}
	var rows [][]string
	seen := func(r *WhiteBoxResult) string {
		return fmt.Sprintf("lower bound %.2f > claimed %g", r.Bound, r.Claimed)
	}
	for _, b := range plantedBugs {
		r := audited(t, plantedBox(), b.plant)
		if !r.Refuted {
			t.Errorf("%s: not caught, bound %g", b.name, r.Bound)
		}
		rows = append(rows, []string{b.name, fmt.Sprint(b.mistake), "the audit (`TestPlantedBugs`)", seen(r), fmt.Sprintf("%.2f", twin.Bound)})
	}
	// Nobody who lacks the key gains from subtracting other noise: the twin of the last bug.
	if r := audited(t, plantedBox(), known(false)); r.Refuted {
		t.Errorf("fresh keys: bound %g", r.Bound)
	}
	for _, b := range []func(*testing.T) []string{noiseOnTouchedRows, refusedSensitivity, shuffled, doubleRate} {
		rows = append(rows, b(t))
	}
	for _, r := range rows {
		if name := r[2][strings.Index(r[2], "`Test")+1:]; !declared(t)[strings.TrimRight(name, "`)")] {
			t.Errorf("%q names a test that does not exist", r[2])
		}
	}
	evidence.Table(t, document, "planted dpadam/audit", []string{"planted bug", "mistake", "caught by", "seen", "bound without the bug"}, rows)
}

func declared(t *testing.T) map[string]bool {
	t.Helper()
	have, err := evidence.Tests(".")
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// noiseOnTouchedRows is seen in the noise itself.
func noiseOnTouchedRows(t *testing.T) []string {
	twin := audited(t, plantedBox(), spoiled(func(*dpadam.Plan) func(int64, []float32, []float32) { return func(int64, []float32, []float32) {} }))
	r := audited(t, plantedBox(), spoiled(touched))
	if len(r.Faults) != 2 || r.Noise.Missing < 10000 || twin.Faults != nil {
		t.Errorf("noise on touched coordinates only: %q; without the bug %q", r.Faults, twin.Faults)
	}
	return []string{"noise on touched coordinates only", "15", "the audit's look at the noise (`TestPlantedBugs`)",
		fmt.Sprintf("%d of %d coordinates released without noise", r.Noise.Missing, r.Noise.Drawn), fmt.Sprintf("%d without noise", twin.Noise.Missing)}
}

// refusedSensitivity plants noise that is scaled for a norm B times too small: sums of real
// size are refused by the accumulator.
func refusedSensitivity(t *testing.T) []string {
	plan, _, err := plantedBox().Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := gradients{training(t, plan, 4000), float32(plan.ExpectedBatch())}
	in, err := Coins(20000, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in {
		in[i] = i < 4000
	}
	_, err = Run(t.Context(), m, Gradients{In: in, ClipNorm: 1}, Attack{1, 1}, 1)
	if !errors.Is(err, dpadam.ErrSensitivity) {
		t.Errorf("gradients B times too long: %v", err)
	}
	if _, err := Run(t.Context(), training(t, plan, 4000), Gradients{In: in, ClipNorm: 1}, Attack{1, 1}, 1); err != nil {
		t.Errorf("gradients of the right length: %v", err)
	}
	return []string{"noise scaled for a norm smaller by the batch", "10", "`Accumulator.Add` (`TestPlantedBugs`)", "the step is refused: " + dpadam.ErrSensitivity.Error(), "accepted"}
}

// assembled is private training put together from the real ledger, accumulator and noise around
// batches that are not the Sampler's.
type assembled struct {
	plan    *dpadam.Plan
	ledger  *dpadam.Ledger
	noiser  *dpadam.Noiser
	batches func() []int
}

func assemble(t *testing.T, plan *dpadam.Plan, batches func() []int) *assembled {
	t.Helper()
	ledger, err := dpadam.CreateLedger(t.Context(), filepath.Join(t.TempDir(), "ledger"), plan, dpadam.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ledger.Close() })
	noiser, err := dpadam.NewNoiser(plan, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &assembled{plan, ledger, noiser, batches}
}

func (m *assembled) Step(ctx context.Context, n int64, sum func([]int, []float32), out []float32) error {
	permit, err := m.ledger.Charge(ctx, n)
	if err != nil {
		return err
	}
	acc := dpadam.NewAccumulator(m.plan)
	for batch := range slices.Chunk(m.batches(), m.plan.Spec().Microbatch) {
		part := make([]float32, len(out))
		sum(batch, part)
		if err := acc.Add(part, len(batch)); err != nil {
			return err
		}
	}
	return m.noiser.Release(ctx, permit, acc, out)
}

// sampledBox is an audit with sampling, whose batches are looked at.
func sampledBox() WhiteBox {
	seed := uint64(plantedSeed)
	return WhiteBox{Canaries: 2000, NoiseMultiplier: 3, Delta: 1e-5, SampleRate: 0.1, Steps: 40, Seed: &seed, Options: Options{Significance: 0.05}}
}

func poissonRow(t *testing.T, bug, mistake string, plant func(*testing.T, *dpadam.Plan, int) Mechanism, value func(*Poisson) string) []string {
	t.Helper()
	twin := audited(t, sampledBox(), func(t *testing.T, p *dpadam.Plan, rows int) Mechanism { return training(t, p, rows) })
	r := audited(t, sampledBox(), plant)
	if len(r.Faults) != 1 || twin.Faults != nil {
		t.Errorf("%s: faults %q; without the bug %q", bug, r.Faults, twin.Faults)
	}
	return []string{bug, mistake, "the audit's look at the batches (`TestPlantedBugs`)", value(r.Sampling), fmt.Sprintf("p = %.2f", twin.Sampling.Least())}
}

// pText is a p-value that float64 may hold as 0.
func pText(p float64) string {
	if p == 0 {
		return "< 1e-300"
	}
	return fmt.Sprintf("= %.0e", p)
}

// shuffled plants batches of a fixed size cut from a shuffle, an epoch at a time.
func shuffled(t *testing.T) []string {
	return poissonRow(t, "batches cut from a shuffle, accounted as Poisson", "1", func(t *testing.T, p *dpadam.Plan, rows int) Mechanism {
		rng := rand.New(rand.NewPCG(plantedSeed, 1))
		size := int(p.Spec().SampleRate * float64(rows))
		var left []int
		return assemble(t, p, func() []int {
			if len(left) < size {
				left = rng.Perm(rows)
			}
			batch := left[:size]
			left = left[size:]
			return batch
		})
	}, func(p *Poisson) string {
		return fmt.Sprintf("sizes without variance (p %s), no record twice in an epoch (p %s)", pText(p.Dispersion), pText(p.Rates))
	})
}

// doubleRate plants a sampler at twice the rate that is accounted, as a rate computed from a
// loader's length does.
func doubleRate(t *testing.T) []string {
	return poissonRow(t, "sampling at twice the accounted rate", "2", func(t *testing.T, p *dpadam.Plan, rows int) Mechanism {
		rng := rand.New(rand.NewPCG(plantedSeed, 2))
		return assemble(t, p, func() []int {
			var batch []int
			for i := range rows {
				if rng.Float64() < 2*p.Spec().SampleRate {
					batch = append(batch, i)
				}
			}
			return batch
		})
	}, func(p *Poisson) string { return fmt.Sprintf("batches too large (p %s)", pText(p.Mean)) })
}
