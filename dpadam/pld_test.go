package dpadam

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the parameters, the answer is a number, ordered, not below a valid lower bound and not above RDP's by more
// than the bound's own share.
func TestPLDProperties(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	slowest := time.Duration(0)
	rapid.Check(t, func(t *rapid.T) {
		phases := make([]Phase, rapid.IntRange(1, 3).Draw(t, "phases"))
		for i := range phases {
			phases[i] = Phase{
				SampleRate:      math.Min(1, math.Pow(10, rapid.Float64Range(-7, 0.3).Draw(t, "log q"))),
				NoiseMultiplier: math.Pow(10, rapid.Float64Range(-0.8, 2.5).Draw(t, "log sigma")),
				Steps:           int64(math.Pow(10, rapid.Float64Range(0, 6).Draw(t, "log T"))),
			}
		}
		relation := rapid.SampledFrom([]Relation{AddRemove, ReplaceOne}).Draw(t, "relation")
		delta := math.Pow(10, rapid.Float64Range(-14, -1).Draw(t, "log delta"))
		c, err := Compose(relation, phases...)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		r, err := NewPLD().Epsilon(c, delta)
		slowest = max(slowest, time.Since(begin))
		if err != nil {
			t.Fatal(err)
		}
		if !(r.Lower >= 0 && r.Lower <= r.Estimate && r.Estimate <= r.Epsilon) {
			t.Fatalf("%+v is not ordered", r)
		}
		other, err := NewRDP().Epsilon(c, delta)
		if err != nil {
			t.Fatal(err)
		}
		if r.Estimate > other.Epsilon*(1+1e-6) || other.Lower > r.Epsilon*(1+1e-9) {
			t.Fatalf("pld %+v, rdp %+v", r, other)
		}
		if r.Epsilon > r.Estimate*(1+2e-4)+1e-9 && r.Epsilon > other.Epsilon {
			t.Fatalf("bound %v far above estimate %v (rdp %v)", r.Epsilon, r.Estimate, other.Epsilon)
		}
	})
	t.Logf("slowest: %v", slowest)
}

// Reading the same curve along either axis: delta at the epsilon of delta is delta.
func TestPLDRoundTrip(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	cases(t, 25, func(t *testing.T, p Phase, delta float64) {
		c, err := Compose(AddRemove, p)
		if err != nil {
			t.Fatal(err)
		}
		a := NewPLD()
		r, err := a.Epsilon(c, delta)
		if err != nil || r.Epsilon == 0 {
			return
		}
		back, err := a.Delta(c, r.Epsilon)
		if err != nil {
			t.Fatal(err)
		}
		// epsilon moves by 1e-4 of itself at most between the two; delta by e^(slope) of that.
		if !(back.Delta >= delta*0.98 && back.Delta <= delta*1.02) {
			t.Fatalf("%+v: delta(%v) = %v, from %v", p, r.Epsilon, back.Delta, delta)
		}
	})
}

// cases calls f with random runs of one phase and prints the seed.
func cases(t *testing.T, n int, f func(t *testing.T, p Phase, delta float64)) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	power := func(lo, hi float64) float64 { return math.Pow(10, lo+(hi-lo)*r.Float64()) }
	for range n {
		f(t, Phase{SampleRate: power(-5, 0), NoiseMultiplier: power(-0.35, 1.5), Steps: int64(power(0, 4.5))}, power(-12, -2))
	}
}

// More steps, less noise or a higher rate never cost less.
func TestPLDIsMonotone(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	a := NewPLD()
	at := func(p Phase, delta float64) float64 {
		c, err := Compose(AddRemove, p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Epsilon(c, delta)
		if err != nil {
			t.Fatal(err)
		}
		return r.Epsilon
	}
	cases(t, 15, func(t *testing.T, p Phase, delta float64) {
		base := at(p, delta)
		more, noisier, rarer := p, p, p
		more.Steps += 1 + p.Steps/50
		noisier.NoiseMultiplier *= 1.01
		rarer.SampleRate *= 0.99
		const own, least = 1 - 1e-4, 1e-3 // bounds may differ by their own looseness, and next to 0 by nothing that matters
		if at(more, delta) < base*own-least || at(noisier, delta) > base/own+least || at(rarer, delta) > base/own+least || at(p, delta*1.05) > base/own+least {
			t.Fatalf("%+v at %v: %v; more steps %v, more noise %v, lower rate %v, larger delta %v", p, delta, base,
				at(more, delta), at(noisier, delta), at(rarer, delta), at(p, delta*1.05))
		}
	})
}

// The mistakes that accountants of others make at the ends of the range (notes, mistake 13): no panic, no NaN, nothing
// negative, no failure at a large epsilon.
func TestPLDEdges(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	for _, v := range []struct {
		p     Phase
		delta float64
		want  float64 // epsilon within 1 %; -1: any
	}{
		{Phase{0.5, 1, 0}, 1e-5, 0},
		{Phase{0, 1, 100}, 1e-5, 0},
		{Phase{1e-6, 10, 1}, 1e-5, 0},
		{Phase{1, 1e8, 1}, 1e-5, 0},
		{Phase{1, 1, 1 << 52}, 1e-5, -1},
		{Phase{1e-3, 1e-4, 10}, 1e-5, -1},
		{Phase{0.9999999, 1, 3}, 1e-30, -1},
		{Phase{1e-12, 1, 1 << 52}, 1e-5, -1},
		{Phase{0.01, 50, 1 << 40}, 1e-5, -1},
		{Phase{0.02, 0.05, 1000}, 1e-5, -1},
		{Phase{0.3, 0.01, 5}, 1e-9, -1},
		{Phase{0.01, 1, 1000}, 0.9999, 0},
		{Phase{0.01, 1, 1000}, 1e-300, -1},
	} {
		c, err := Compose(AddRemove, v.p)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		r, err := NewPLD().Epsilon(c, v.delta)
		if err != nil {
			t.Logf("%+v at %g: %v", v.p, v.delta, err)
			if v.want >= 0 {
				t.Errorf("%+v at %g: %v", v.p, v.delta, err)
			}
			continue
		}
		t.Logf("%+v at %g: %+v in %v", v.p, v.delta, r, time.Since(begin).Round(time.Millisecond))
		if !(r.Epsilon >= 0 && r.Estimate >= 0 && r.Lower <= r.Epsilon) || math.IsInf(r.Epsilon, 0) {
			t.Errorf("%+v at %g: %+v", v.p, v.delta, r)
		}
		if v.want >= 0 && math.Abs(r.Epsilon-v.want) > 0.01*v.want {
			t.Errorf("%+v at %g: epsilon %v, want %v", v.p, v.delta, r.Epsilon, v.want)
		}
	}
}

// Asking twice, or from several goroutines, gives the same bits and changes nothing (mistake 12).
func TestPLDIsDeterministic(t *testing.T) {
	c, err := Compose(AddRemove, Phase{0.02, 0.9, 300}, Phase{1, 20, 2})
	if err != nil {
		t.Fatal(err)
	}
	a := NewPLD()
	first, err := a.Epsilon(c, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan Result, 8)
	for range cap(results) {
		go func() {
			r, _ := NewPLD().Epsilon(c, 1e-5)
			results <- r
		}()
	}
	for range cap(results) {
		if r := <-results; r != first {
			t.Errorf("%+v, first %+v", r, first)
		}
	}
}

// CLT is what the literature has for it, and less than the truth.
func TestCLTIsTooSmall(t *testing.T) {
	c, err := Compose(AddRemove, Phase{1000.0 / 67349, .8227, 203}) // SST-2 of Li et al. 2022: 1.54 against 2.41
	if err != nil {
		t.Fatal(err)
	}
	v, err := CLT(c, 1/(2*67349.0))
	if err != nil || math.Abs(v-1.54) > 0.01 {
		t.Errorf("%v (%v), want 1.54", v, err)
	}
	tight, err := NewPLD().Epsilon(c, 1/(2*67349.0))
	if err != nil || tight.Estimate < 2.38 || tight.Estimate > 2.42 {
		t.Errorf("tight %v (%v), want 2.41 or a little less", tight.Estimate, err)
	}
}

func BenchmarkEpsilonPLD(b *testing.B) {
	for _, v := range []struct {
		name  string
		phase Phase
		delta float64
	}{
		{"E2E", Phase{1024.0 / 42061, 0.9, 411}, 1 / (2 * 42061.0)},
		{"TinyRate", Phase{1e-5, 0.6, 1000000}, 1e-7},
		{"SmallEpsilon", Phase{1e-3, 0.5, 100}, 1e-2},
		{"Long", Phase{1e-3, 1, 1000000}, 1e-5},
	} {
		b.Run(v.name, func(b *testing.B) {
			c, err := Compose(AddRemove, v.phase)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := NewPLD().Epsilon(c, v.delta); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCalibratePLD(b *testing.B) {
	for b.Loop() {
		if _, _, err := CalibrateNoise(b.Context(), NewPLD(), AddRemove, 1024.0/42061, 411, 1/(2*42061.0), 3); err != nil {
			b.Fatal(err)
		}
	}
}
