package dpadam

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// noisePlan is a plan over d coordinates with seeded noise.
func noisePlan(t testing.TB, d int64, seed *uint64) *Plan {
	t.Helper()
	return mustPlan(t, Config{Records: 1000, ExpectedBatch: 100, Steps: 50, NoiseMultiplier: 0.8, ClipNorm: 0.1, Dim: d,
		Microbatch: 8, Delta: 1e-5, Optimizer: Adam(1e-3), Seed: seed})
}

// openPlan is a plan without noise.
func openPlan(t testing.TB, d int64) *Plan {
	t.Helper()
	return mustPlan(t, Config{Records: 1000, ExpectedBatch: 100, Steps: 50, NoPrivacy: true, ClipNorm: 0.1, Dim: d, Optimizer: SGD(1, 0)})
}

// permitFor makes a permit without a ledger.
func permitFor(p *Plan, index uint64) *Permit {
	return &Permit{plan: p, index: index, step: int64(index)}
}

func release(t testing.TB, p *Plan, workers int, index uint64, sums ...[]float32) []float32 {
	t.Helper()
	n, err := NewNoiser(p, workers, nil)
	if err != nil {
		t.Fatal(err)
	}
	return releaseWith(t, n, index, sums...)
}

func releaseWith(t testing.TB, n *Noiser, index uint64, sums ...[]float32) []float32 {
	t.Helper()
	p := n.plan
	acc, out := NewAccumulator(p), make([]float32, p.spec.Dim)
	for _, s := range sums {
		if err := acc.Add(s, 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Release(t.Context(), permitFor(p, index), acc, out); err != nil {
		t.Fatal(err)
	}
	if acc.records != 0 || acc.microbatches != 0 || slices.ContainsFunc(acc.k, func(k int64) bool { return k != 0 }) {
		t.Error("the accumulator is not empty after the release")
	}
	return out
}

// The result is a function of key and charge, not of the number of workers, and differs
// between charges. Three and a bit chunks.
func TestNoiseIsIndependentOfWorkers(t *testing.T) {
	seed := testSeed(t)
	p := noisePlan(t, 3*noiseChunk+777, &seed)
	want := release(t, p, 1, 4)
	for _, workers := range []int{2, 3, 16} {
		if got := release(t, p, workers, 4); !slices.Equal(got, want) {
			t.Errorf("%d workers give another result", workers)
		}
	}
	other := release(t, p, 2, 5)
	if same := countEqual(want, other); same > len(want)/100 {
		t.Errorf("charges 4 and 5 share %d of %d values", same, len(want))
	}
	for c := range 2 {
		a, b := want[c*noiseChunk:(c+1)*noiseChunk], want[(c+1)*noiseChunk:(c+2)*noiseChunk]
		if same := countEqual(a, b); same > noiseChunk/100 {
			t.Errorf("chunks %d and %d share %d values", c, c+1, same)
		}
	}
}

func countEqual(a, b []float32) int {
	n := 0
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// Two private runs with the same plan share no noise (mistake 5).
func TestNoiseKeysAreFresh(t *testing.T) {
	p := noisePlan(t, 4096, nil)
	if same := countEqual(release(t, p, 1, 1), release(t, p, 1, 1)); same > 40 {
		t.Errorf("two runs share %d of 4096 values", same)
	}
}

// The released standard deviation is sigma times the sensitivity, in the gradient's units, no
// factor of batch or flag in between (mistakes 5 and 10), on every coordinate, those included
// that no record touched (mistake 15). False-reject rate 2 * P(|N(0,1)| > 6.5) < 2e-10.
func TestReleasedNoiseHasThePlansVariance(t *testing.T) {
	const d = 1 << 21
	seed := testSeed(t)
	p := noisePlan(t, d, &seed)
	sum := make([]float32, d)
	sum[0], sum[d-1] = 0.3, -0.2
	out := release(t, p, 0, 1, sum)
	want := 0.8 * 0.1
	if std := p.Spec().Lattice.NoiseStd(); std < want || std > want*1.001 {
		t.Fatalf("lattice noise %g, sigma*C = %g", std, want)
	}
	var s1, s2 float64
	zeros := 0
	for i, x := range out {
		v := (float64(x) - float64(sum[i])) / want
		s1 += v
		s2 += v * v
		if x == 0 {
			zeros++
		}
	}
	if z := s1 / math.Sqrt(d); math.Abs(z) > 6.5 {
		t.Errorf("mean: z = %g", z)
	}
	if z := (s2 - d) / math.Sqrt(2*d); math.Abs(z) > 6.5 {
		t.Errorf("variance %g of the planned: z = %g", s2/d, z)
	}
	if zeros > 2 {
		t.Errorf("%d coordinates without noise", zeros)
	}
}

// An empty batch still takes a noisy step (mistake 11, and the notes on sampling).
func TestEmptyBatchIsNoised(t *testing.T) {
	seed := testSeed(t)
	out := release(t, noisePlan(t, 10000, &seed), 0, 3)
	var s2 float64
	for _, x := range out {
		s2 += float64(x) * float64(x)
	}
	if ratio := s2 / 10000 / (0.08 * 0.08); math.Abs(ratio-1) > 6.5*math.Sqrt(2.0/10000) { // rate 1e-10
		t.Errorf("variance %g of the planned", ratio)
	}
}

// Rounding to the lattice: the order of the microbatches does not matter, and with the noise
// known (same seed) the sum is right to the rounding of float32.
func TestLatticeSumsAreExact(t *testing.T) {
	seed := uint64(11)
	p := noisePlan(t, 3000, &seed)
	n, err := NewNoiser(p, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := n.keys
	again := func(sums ...[]float32) []float32 { // the same noise each time
		n.keys = start
		return releaseWith(t, n, 1, sums...)
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.IntRange(0, 6).Draw(rt, "microbatches")
		sums := make([][]float32, m)
		exact := make([]float64, 3000)
		for k := range sums {
			sums[k] = make([]float32, 3000)
			for range 50 {
				i := rapid.IntRange(0, 2999).Draw(rt, "i")
				sums[k][i] = float32(rapid.Float64Range(-0.05, 0.05).Draw(rt, "x"))
			}
			for i, x := range sums[k] {
				exact[i] += float64(x)
			}
		}
		base := again()
		forward := again(sums...)
		slices.Reverse(sums)
		if !slices.Equal(forward, again(sums...)) {
			rt.Fatal("the order of the microbatches matters")
		}
		for i := range exact {
			diff := float64(forward[i]) - float64(base[i])
			if math.Abs(diff-exact[i]) > 4e-8 { // float32 at values up to 0.5
				rt.Fatalf("coordinate %d: %g, want %g", i, diff, exact[i])
			}
		}
	})
}

// Adding one record moves K by at most Delta_K, however the microbatches are packed: the
// sensitivity that the noise is scaled by (mistake 10). Worst packings are tried: every other
// sum shifted to just below and just above a rounding boundary.
func TestSensitivityOfRounding(t *testing.T) {
	seed := uint64(1)
	p := mustPlan(t, Config{Records: 64, SampleRate: 1, Steps: 1, NoiseMultiplier: 1, ClipNorm: 1, Dim: 256, Microbatch: 1,
		Delta: 1e-5, Optimizer: Adam(1), Seed: &seed})
	l := *p.Spec().Lattice
	half := float32(math.Ldexp(0.4999, l.Exponent))
	flat := func(x float32) []float32 {
		v := make([]float32, 256)
		for i := range v {
			v[i] = x
		}
		return v
	}
	record := flat(1.0 / 16) // norm 1 = C
	distance := func(with, without [][]float32) float64 {
		k := func(sums [][]float32) []int64 {
			a := NewAccumulator(p)
			for _, s := range sums {
				if err := a.Add(s, 1); err != nil {
					t.Fatal(err)
				}
			}
			return a.k
		}
		a, b := k(with), k(without)
		d := 0.0
		for i := range a {
			x := float64(a[i] - b[i])
			d += x * x
		}
		return math.Sqrt(d)
	}
	// 64 sums of 0.4999 gamma round to 0 each; packed together they are 32 gamma.
	var apart, together [][]float32
	for range 63 {
		apart = append(apart, flat(half))
	}
	together = [][]float32{flat(63 * half), record}
	d := distance(together, apart)
	sensitivity := float64(l.Sigma) / p.spec.NoiseMultiplier
	if c := math.Ldexp(1, -l.Exponent); d <= c || d > sensitivity {
		t.Errorf("K moved by %g: C/gamma is %g, Delta_K %g", d, c, sensitivity)
	}
	if rounding := 63 * 0.4999 * 16; math.Abs(d-math.Ldexp(1, -l.Exponent)-rounding) > 16 {
		t.Errorf("the repacking moved K by %g, expected about %g", d-math.Ldexp(1, -l.Exponent), rounding)
	}
}

// What is not a clipped, finite sum of the plan's shape is refused, the step then cannot be
// released, and the next one can.
func TestAccumulatorRefuses(t *testing.T) {
	p := noisePlan(t, 1000, nil)
	with := func(i int, x float32) []float32 { v := make([]float32, 1000); v[i] = x; return v }
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		sum     []float32
		records int
		want    error
	}{
		"NaN":                 {with(3, nan), 5, ErrSensitivity},
		"Inf":                 {with(999, inf), 5, ErrSensitivity},
		"-Inf":                {with(0, -inf), 5, ErrSensitivity},
		"huge":                {with(0, 3e38), 5, ErrSensitivity},
		"not clipped":         {with(7, 0.51), 5, ErrSensitivity},
		"no records, a sum":   {with(7, 1e-6), 0, ErrSensitivity},
		"short":               {make([]float32, 999), 5, ErrMisuse},
		"negative records":    {with(0, 0), -1, ErrMisuse},
		"too many records":    {with(0, 0), 1001, ErrMisuse},
		"just clipped":        {with(7, 0.5), 5, nil},
		"padding only":        {with(0, 0), 0, nil},
		"all records at once": {with(0, 99.9), 1000, nil},
	} {
		a := NewAccumulator(p)
		if err := a.Add(c.sum, c.records); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want == nil {
			continue
		}
		if err := a.Add(with(0, 0), 1); !errors.Is(err, c.want) {
			t.Errorf("%s: the next Add forgets the failure: %v", name, err)
		}
		n, err := NewNoiser(p, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		permit, out := permitFor(p, 1), make([]float32, 1000)
		if err := n.Release(t.Context(), permit, a, out); !errors.Is(err, c.want) || permit.used.Load() {
			t.Errorf("%s: released: %v", name, err)
		}
		a.Reset()
		if err := n.Release(t.Context(), permit, a, out); err != nil {
			t.Errorf("%s: after Reset: %v", name, err)
		}
	}
	a := NewAccumulator(p)
	for i := int64(0); i < p.spec.Lattice.MaxMicrobatches; i++ {
		if err := a.Add(with(0, 0), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Add(with(0, 0), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("one microbatch too many: %v", err)
	}
}

// The largest sums that a plan admits do not overflow: N records of norm C in one coordinate.
func TestLargestSumDoesNotOverflow(t *testing.T) {
	for _, c := range []struct {
		records int64
		dim     int64
		sigma   float64
	}{{1, 1, 0.3}, {1e6, 100, 1}, {1e7, 100, 50}, {1 << 33, 1, 1}} {
		seed := uint64(2)
		p := mustPlan(t, Config{Records: c.records, SampleRate: 1, Steps: 1, NoiseMultiplier: c.sigma, ClipNorm: 0.1, Dim: c.dim,
			Microbatch: 1 << 20, Delta: 1e-9, Optimizer: Adam(1), Seed: &seed})
		for _, sign := range []float32{1, -1} {
			acc := NewAccumulator(p)
			sum := make([]float32, c.dim)
			sum[0] = sign * float32(float64(c.records)*0.1*(1+0.9*normTolerance))
			if err := acc.Add(sum, int(c.records)); err != nil {
				t.Fatal(err)
			}
			n, _ := NewNoiser(p, 1, nil)
			out := make([]float32, c.dim)
			if err := n.Release(t.Context(), permitFor(p, 1), acc, out); err != nil {
				t.Fatal(err)
			}
			if math.Abs(float64(out[0]-sum[0])) > 0.1*c.sigma*10+1e-6*math.Abs(float64(sum[0])) {
				t.Errorf("%+v: %g for a sum of %g", c, out[0], sum[0])
			}
		}
	}
}

// Without noise the sum comes out plain, and non-finite or unclipped sums are still refused.
func TestOpenPlanIsPlain(t *testing.T) {
	p := openPlan(t, 100)
	a, b := make([]float32, 100), make([]float32, 100)
	for i := range a {
		a[i], b[i] = float32(i)*1e-4, float32(-i)*3e-5
	}
	out := release(t, p, 2, 1, a, b)
	for i := range out {
		if want := float32(float64(a[i]) + float64(b[i])); out[i] != want {
			t.Fatalf("coordinate %d: %g, want %g", i, out[i], want)
		}
	}
	acc := NewAccumulator(p)
	a[5] = 1
	if err := acc.Add(a, 5); !errors.Is(err, ErrSensitivity) {
		t.Errorf("unclipped: %v", err)
	}
	unclipped := mustPlan(t, Config{Records: 10, SampleRate: 1, Steps: 1, NoPrivacy: true, Dim: 100, Optimizer: SGD(1, 0)})
	if err := NewAccumulator(unclipped).Add(a, 5); err != nil {
		t.Errorf("without a clipping norm: %v", err)
	}
}

// A permit works once (mistake 7: noise per microbatch), for its own plan, and a cancelled
// release leaves nothing but zeros.
func TestReleaseRefuses(t *testing.T) {
	p := noisePlan(t, 3*noiseChunk, nil)
	n, err := NewNoiser(p, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	acc, out := NewAccumulator(p), make([]float32, 3*noiseChunk)
	permit := permitFor(p, 1)
	if err := n.Release(t.Context(), permit, acc, out); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"second use":    func() error { return n.Release(t.Context(), permit, acc, out) },
		"no permit":     func() error { return n.Release(t.Context(), nil, acc, out) },
		"no sum":        func() error { return n.Release(t.Context(), permitFor(p, 2), nil, out) },
		"short out":     func() error { return n.Release(t.Context(), permitFor(p, 2), acc, out[1:]) },
		"other plan":    func() error { return n.Release(t.Context(), permitFor(noisePlan(t, 3*noiseChunk, nil), 2), acc, out) },
		"earlier index": func() error { return n.Release(t.Context(), permitFor(p, 0), acc, out) },
	} {
		if err := f(); !errors.Is(err, ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stop *Noiser
	stop, err = NewNoiser(p, 1, func(string) { cancel() }) // ends between permit and noise
	if err != nil {
		t.Fatal(err)
	}
	sum := make([]float32, len(out))
	sum[9] = 0.1
	if err := acc.Add(sum, 1); err != nil {
		t.Fatal(err)
	}
	late := permitFor(p, 7)
	if err := stop.Release(ctx, late, acc, out); !errors.Is(err, context.Canceled) || !late.used.Load() {
		t.Errorf("cancelled: %v, permit used: %t", err, late.used.Load())
	}
	if slices.ContainsFunc(out, func(x float32) bool { return x != 0 }) || acc.k[9] != 0 {
		t.Error("a cancelled release leaves a sum behind")
	}
}
