package dpadam

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// The noise of a distributed step, as one sees it who knows that the sum is 0: one row a charge.
const (
	rankNoiseDim     = 96
	rankNoiseCharges = 600
)

// rankNoise releases empty steps on size ranks. plant may break a rank before its first step; after
// may change what a rank releases.
func rankNoise(t testing.TB, p *Plan, size int, plant func(rank int, s *Stepper) error, after func(rank int, charge uint64, own Range, out []float32) error) [][]float32 {
	t.Helper()
	l := mustCreate(t, ledgerPath(t), p)
	rows := make([][]float32, rankNoiseCharges)
	for i := range rows {
		rows[i] = make([]float32, rankNoiseDim)
	}
	mustRanks(t, size, func(c Comm) error {
		s, err := rankStepper(c, l, 0, StepperOptions{Workers: 1})
		if err != nil {
			return err
		}
		if err := plant(c.Rank(), s); err != nil {
			return err
		}
		for i := range rows { // permits without the ledger's lines: 600 of them would be synced
			index := uint64(i + 1)
			s.current = &Step{stepper: s, permit: permitFor(p, index)}
			if err := s.current.Release(t.Context(), rows[i]); err != nil {
				return err
			}
			if err := after(c.Rank(), index, s.Own(), rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return rows
}

// noiseFaults says what is wrong with noise of standard deviation std on every coordinate: the
// variance of a coordinate (chi-square over the charges), or noise that two ranks' slices share
// (product of coordinates at the same place of two slices). A right run is refused with probability
// below 96*2e-13 for the variances, and below 6*2*P(N(0,1) > 8) < 1e-14 for the products, 3e-11
// together.
func noiseFaults(rows [][]float32, std float64, bounds []int) (faults []string) {
	chi := distuv.ChiSquared{K: float64(len(rows))}
	for j := range rankNoiseDim {
		sum := 0.0
		for _, row := range rows {
			sum += math.Pow(float64(row[j])/std, 2)
		}
		if p := min(chi.CDF(sum), chi.Survival(sum)); p < 1e-13 {
			faults = append(faults, fmt.Sprintf("coordinate %d has %.3g of the variance", j, sum/float64(len(rows))))
		}
	}
	for a := range len(bounds) - 1 {
		for b := range a {
			sum, n := 0.0, 0
			for _, row := range rows {
				for i := range min(bounds[a+1]-bounds[a], bounds[b+1]-bounds[b]) {
					sum += float64(row[bounds[a]+i]) / std * float64(row[bounds[b]+i]) / std
					n++
				}
			}
			if z := sum / math.Sqrt(float64(n)); math.Abs(z) > 8 {
				faults = append(faults, fmt.Sprintf("ranks %d and %d share noise (z = %.3g)", b, a, z))
			}
		}
	}
	return faults
}

func noPlant(int, *Stepper) error                  { return nil }
func noChange(int, uint64, Range, []float32) error { return nil }
func rankNoisePlan(t testing.TB, seed *uint64) *Plan {
	return mustPlan(t, Config{Records: 1000, ExpectedBatch: 100, Steps: 50, NoiseMultiplier: 0.8, ClipNorm: 0.1, Dim: rankNoiseDim,
		Microbatch: 8, Delta: 1e-5, Accountant: "rdp", Optimizer: Adam(1e-3), Seed: seed})
}

// Every coordinate gets noise of variance sigma^2 C^2 once, independent of the others', at every number of
// ranks. False-reject rate 4*3e-11 < 2e-10 (noiseFaults).
func TestNoiseOfRanks(t *testing.T) {
	if testing.Short() {
		t.Skip("only computes")
	}
	seed := testSeed(t)
	p := rankNoisePlan(t, &seed)
	for _, size := range []int{1, 2, 3, 4} {
		rows := rankNoise(t, p, size, noPlant, noChange)
		if faults := noiseFaults(rows, p.spec.Lattice.NoiseStd(), RankBounds(rankNoiseDim, size)); faults != nil {
			t.Errorf("%d ranks: %s", size, strings.Join(faults, "; "))
		}
	}
}

// The test above can fail: it catches a rank that forgets its noise, one that adds its share of the
// standard deviation only, one that noises twice, and one whose noise is another's. The power is
// above 1-1e-9 for each: with 600 charges a variance off by a factor 2 lies 17 standard deviations away.
func TestNoiseOfRanksCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("only computes")
	}
	seed := testSeed(t)
	p := rankNoisePlan(t, &seed)
	std, sigma := p.spec.Lattice.NoiseStd(), float64(p.spec.Lattice.Sigma)
	weaken := func(guilty int, sigma float64) func(int, *Stepper) error {
		return func(rank int, s *Stepper) (err error) {
			if rank == guilty {
				s.noiser.gauss, err = newGaussian(uint64(sigma))
			}
			return err
		}
	}
	// again draws noise for some slice with the run's key, or another, and gives it to change.
	again := func(guilty int, slice func(own Range) Range, key byte, change func(out *float32, noise float32)) func(int, uint64, Range, []float32) error {
		var n *Noiser
		return func(rank int, charge uint64, own Range, out []float32) (err error) {
			if rank != guilty {
				return nil
			}
			if n == nil {
				if n, err = NewNoiser(p, 1, nil); err != nil {
					return err
				}
				n.own = slice(own)
				n.keys.state[0] ^= key
			}
			noise := make([]float32, rankNoiseDim)
			if err := n.Release(t.Context(), permitFor(p, charge), NewAccumulator(p), noise); err != nil {
				return err
			}
			for i, z := range noise[n.own.Start:n.own.End] {
				change(&out[own.Start+i], z)
			}
			return nil
		}
	}
	same := func(own Range) Range { return own }
	first := func(own Range) Range { return Range{0, own.End - own.Start} }
	for _, size := range []int{2, 4} {
		bounds := RankBounds(rankNoiseDim, size)
		for name, fault := range map[string]struct {
			plant  func(int, *Stepper) error
			after  func(int, uint64, Range, []float32) error
			want   string
			faulty int // coordinates with a wrong variance
		}{
			"forgets":         {weaken(1, 1), noChange, "of the variance", rankNoiseDim / size},
			"a share of it":   {weaken(0, sigma/math.Sqrt(float64(size))), noChange, "of the variance", rankNoiseDim / size},
			"twice":           {noPlant, again(1, same, 1, func(out *float32, z float32) { *out += z }), "of the variance", rankNoiseDim / size},
			"another's noise": {noPlant, again(1, first, 0, func(out *float32, z float32) { *out = z }), "share noise", 1},
		} {
			faults := noiseFaults(rankNoise(t, p, size, fault.plant, fault.after), std, bounds)
			if len(faults) != fault.faulty || slices.ContainsFunc(faults, func(f string) bool { return !strings.Contains(f, fault.want) }) {
				t.Errorf("%d ranks, one that %s: %d faults %q", size, name, len(faults), faults)
			}
		}
	}
}
