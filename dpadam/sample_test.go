package dpadam

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func samplingPlan(t testing.TB, records int64, q float64, seed *uint64) *Plan {
	t.Helper()
	return mustPlan(t, Config{Records: records, SampleRate: q, Steps: 10, NoiseMultiplier: 1, ClipNorm: 1, Dim: 8,
		Microbatch: 64, Delta: 1e-6, Optimizer: Adam(1e-3), Seed: seed})
}

func newTestSampler(t testing.TB, p *Plan, rows int) *Sampler {
	t.Helper()
	key, err := NewSamplingKey(p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSampler(p, rows, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The threshold is floor(q*2^64), in exact arithmetic: the rate used never exceeds the rate
// accounted, and is within 2^-64 of it (Opacus compares float32: 0.6 % off at q = 1e-5).
func TestInclusionThreshold(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, q float64) {
		threshold, all := inclusionThreshold(q)
		exact := new(big.Float).SetPrec(200).SetFloat64(q)
		exact.SetMantExp(exact, 64)
		floor, _ := exact.Int(nil)
		if all != (q == 1) || !all && floor.Cmp(new(big.Int).SetUint64(threshold)) != 0 {
			t.Fatalf("q = %g: threshold %d, want %s", q, threshold, floor)
		}
	}
	for _, q := range []float64{1, 0.5, 1e-5, 1.0 / 3, 0x1p-64, 0x1p-65, 5e-324, 1 - 0x1p-53, 1024.0 / 42061} {
		check(t, q)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, math.Pow(10, rapid.Float64Range(-25, 0).Draw(t, "log q")))
	})
}

// Poisson, not a shuffle (mistake 1): sizes have the variance of a binomial, every record the
// same rate, two records and two steps are independent. False-reject rate: 4 tests of
// |z| > 6.5, below 4e-10, and a chi-square at 1e-9: 1.4e-9.
func TestSamplingIsPoisson(t *testing.T) {
	const n, q, steps = 2000, 0.05, 4000
	seed := testSeed(t)
	s := newTestSampler(t, samplingPlan(t, n, q, &seed), n)
	perRecord := make([]int64, n)
	var sum, squares, both, again float64
	var previous []int
	for step := range uint64(steps) {
		batch, err := s.Sample(nil, step)
		if err != nil || !slices.IsSorted(batch) {
			t.Fatal(err)
		}
		d := float64(len(batch)) - n*q
		sum += d
		squares += d * d
		for i, r := range batch {
			perRecord[r]++
			if i > 0 && batch[i-1] == r-1 {
				both++
			}
			if _, ok := slices.BinarySearch(previous, r); ok {
				again++
			}
		}
		previous = batch
	}
	report := func(name string, x, mean, sd float64) {
		z := (x - mean) / sd
		t.Logf("%s: z = %+.2f", name, z)
		if math.Abs(z) > 6.5 {
			t.Errorf("%s: %g, expected %g", name, x, mean)
		}
	}
	v := n * q * (1 - q)
	report("mean size", sum/steps, 0, math.Sqrt(v/steps))
	report("variance of the size", squares/steps, v, v*math.Sqrt(2.0/steps))
	report("neighbours together", both, steps*(n-1)*q*q, math.Sqrt(steps*(n-1)*q*q*(1+2*q)))
	report("the same record in successive steps", again, (steps-1)*n*q*q, math.Sqrt((steps-1)*n*q*q*(1+2*q)))
	x := 0.0
	for _, c := range perRecord {
		d := float64(c) - steps*q
		x += d * d / (steps * q * (1 - q))
	}
	if z := (x - n) / math.Sqrt(2*n); math.Abs(z) > 6.5 {
		t.Errorf("rates of the records: z = %g", z)
	}
}

// The sample is a function of key, charge and record alone: more rows change nothing for the
// others, charges come in any order, keys differ.
func TestSampleIsPure(t *testing.T) {
	seed := uint64(5)
	p := samplingPlan(t, 300000, 0.01, &seed)
	long, short := newTestSampler(t, p, 300000), newTestSampler(t, p, 100000)
	for _, index := range []uint64{7, 3, 7, maxIndex - 1} {
		a, err := long.Sample(nil, index)
		if err != nil {
			t.Fatal(err)
		}
		b, err := short.Sample(nil, index)
		if err != nil {
			t.Fatal(err)
		}
		cut, _ := slices.BinarySearch(a, 100000)
		if !slices.Equal(a[:cut], b) || len(b) == 0 {
			t.Errorf("charge %d: rows beyond change the sample", index)
		}
	}
	private := samplingPlan(t, 300000, 0.01, nil)
	a, _ := newTestSampler(t, private, 1000).Sample(nil, 1)
	b, _ := newTestSampler(t, private, 1000).Sample(nil, 1)
	if slices.Equal(a, b) { // both empty or equal: probability below 1e-4 ... of keys being fixed
		c, _ := newTestSampler(t, private, 300000).Sample(nil, 1)
		d, _ := newTestSampler(t, private, 300000).Sample(nil, 1)
		if slices.Equal(c, d) {
			t.Error("two runs draw the same batches")
		}
	}
}

func TestSampleEdges(t *testing.T) {
	all := newTestSampler(t, samplingPlan(t, 1000, 1, nil), 1000)
	if b, err := all.Sample(nil, 0); err != nil || len(b) != 1000 || b[999] != 999 {
		t.Errorf("q = 1: %d records, %v", len(b), err)
	}
	rare := newTestSampler(t, samplingPlan(t, 1000, 1e-12, nil), 1000)
	if b, err := rare.Sample(nil, 0); err != nil || len(b) != 0 { // fails with probability 1e-9
		t.Errorf("tiny q: %v, %v", b, err)
	}
	if b, err := newTestSampler(t, samplingPlan(t, 1000, 0.5, nil), 0).Sample([]int{42}, 0); err != nil || !slices.Equal(b, []int{42}) {
		t.Errorf("no rows: %v, %v", b, err)
	}
	p := samplingPlan(t, 1000, 0.5, nil)
	for _, rows := range []int{-1, 1001} {
		if _, err := NewSampler(p, rows, SamplingKey{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d rows of 1000: %v", rows, err)
		}
	}
	if _, err := all.Sample(nil, maxIndex); !errors.Is(err, ErrInvalid) {
		t.Errorf("charge out of range: %v", err)
	}
	key, _ := NewSamplingKey(p)
	if key.String() != "secret" || key.GoString() != "secret" {
		t.Error("the key prints")
	}
}

func BenchmarkSample(b *testing.B) {
	p := samplingPlan(b, 1e7, 1024.0/1e7, nil)
	s := newTestSampler(b, p, 1e7)
	var dst []int
	for b.Loop() {
		var err error
		if dst, err = s.Sample(dst[:0], uint64(b.N)%maxIndex); err != nil {
			b.Fatal(err)
		}
	}
}
