package dpadam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// What leaves Release is white: no correlation between coordinates that one worker draws one after the other, between the
// blocks and chunks that several workers draw at once, nor between charges. Lags 1, 2, 3, a block of the sampler, the words of a
// refill and one chunk of 2^16; false-reject rate 7 * P(|N(0,1)| > 6.5) < 6e-10.
func TestNoiseAcrossWorkers(t *testing.T) {
	const d = 1 << 21
	seed := testSeed(t)
	p := noisePlan(t, d, &seed)
	n, err := NewNoiser(p, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	lags := []int{1, 2, 3, noiseBlock, streamWords, noiseChunk}
	sums, charges := make([]float64, len(lags)), 0.0
	std := p.spec.Lattice.NoiseStd()
	var previous []float64
	releases := max(2, min(sampleSize(2*d), 1<<28)/d)
	for index := range uint64(releases) {
		out := releaseWith(t, n, index+1)
		x := make([]float64, d)
		for i, v := range out {
			x[i] = float64(v) / std
		}
		for k, lag := range lags {
			for i := range d - lag {
				sums[k] += x[i] * x[i+lag]
			}
		}
		if previous != nil {
			for i := range x {
				charges += x[i] * previous[i]
			}
		}
		previous = x
	}
	report := func(name string, sum, terms float64) {
		z := sum / math.Sqrt(terms)
		t.Logf("%s: z = %+.2f", name, z)
		if math.Abs(z) > 6.5 {
			t.Errorf("%s: z = %g", name, z)
		}
	}
	for k, lag := range lags {
		report(fmt.Sprintf("lag %d", lag), sums[k], float64(releases)*float64(d-lag))
	}
	report("successive charges", charges, float64(releases-1)*d)
}

// BenchmarkPipeline is what a step costs from the clipped sum in float32 to the noised one in float32: round to the
// lattice, add in int64, draw noise, convert.
func BenchmarkPipeline(b *testing.B) {
	const d = 1 << 23
	p := noisePlan(b, d, nil)
	n, err := NewNoiser(p, 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	acc, sum, out := NewAccumulator(p), make([]float32, d), make([]float32, d)
	for i := range sum {
		sum[i] = float32(i%7) * 1e-6
	}
	index := uint64(0)
	for b.Loop() {
		index++
		if err := acc.Add(sum, 500); err != nil {
			b.Fatal(err)
		}
		if err := n.Release(b.Context(), permitFor(p, index), acc, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*d/b.Elapsed().Seconds()/1e6, "Msamples/s")
}

// BenchmarkChaCha8Normal is what Go's own generator takes for a normal float64, which is neither on a lattice nor exact:
// the ratio is what exactness costs.
func BenchmarkChaCha8Normal(b *testing.B) {
	r := rand.New(rand.NewChaCha8([32]byte{1}))
	dst := make([]float64, 4096)
	for b.Loop() {
		for i := range dst {
			dst[i] = r.NormFloat64()
		}
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds()/1e6, "Msamples/s")
}
