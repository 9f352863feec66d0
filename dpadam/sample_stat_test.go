package dpadam

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// The size of a batch is binomial, from batches that are mostly empty to large ones: chi-square of the sizes.
// False-reject rate 3 * 1e-9.
func TestBatchSizesAreBinomial(t *testing.T) {
	seed := testSeed(t)
	for _, c := range []struct {
		records, steps int
		q              float64
	}{{40, 200000, 0.3}, {2000, 20000, 0.001}, {30, 200000, 0.01}} {
		s := newTestSampler(t, samplingPlan(t, int64(c.records), c.q, &seed), c.records)
		d := distuv.Binomial{N: float64(c.records), P: c.q}
		counts, p := make([]int64, c.records+1), make([]float64, c.records+1)
		for k := range p {
			p[k] = d.Prob(float64(k))
		}
		var batch []int
		for step := range uint64(c.steps) {
			var err error
			if batch, err = s.Sample(batch[:0], step); err != nil {
				t.Fatal(err)
			}
			counts[len(batch)]++
		}
		pv := chiSquare(counts, p, c.steps)
		t.Logf("%d records at q = %g: %d of %d batches are empty, p = %.3g", c.records, c.q, counts[0], c.steps, pv)
		if pv < 1e-9 {
			t.Errorf("%d records at q = %g: sizes are not binomial, p = %g", c.records, c.q, pv)
		}
	}
}

// Any two of 64 records are drawn independently, in the same step and from one step to the next: the sum of the squared
// correlations of all 2016 pairs and of all 4096 successive ones against chi-square, and the largest of each. A fixed
// batch size (correlation -1/(n-1) of all pairs) would fail by hundreds. False-reject rate: 2 * 4e-11 for |z| > 6.5 (the
// statistic is a sum of thousands of terms), 6112 * P(|N(0,1)| > 7.5) < 4e-10.
func TestSamplingIsPairwiseIndependent(t *testing.T) {
	const n, q, steps = 64, 0.25, 20000
	seed := testSeed(t)
	s := newTestSampler(t, samplingPlan(t, n, q, &seed), n)
	var same, next [n][n]float64
	var previous, drawn [n]float64
	scale := math.Sqrt(q * (1 - q))
	var batch []int
	for step := range uint64(steps) {
		var err error
		if batch, err = s.Sample(batch[:0], step); err != nil {
			t.Fatal(err)
		}
		for i := range drawn {
			drawn[i] = -q / scale
		}
		for _, i := range batch {
			drawn[i] = (1 - q) / scale
		}
		for i := range n {
			for j := range n {
				same[i][j] += drawn[i] * drawn[j]
				next[i][j] += previous[i] * drawn[j]
			}
		}
		previous = drawn
	}
	report := func(name string, terms []float64) {
		sum, largest := 0.0, 0.0
		for _, x := range terms {
			sum += x * x
			largest = max(largest, math.Abs(x))
		}
		m := float64(len(terms))
		z := (sum - m) / math.Sqrt(2*m)
		t.Logf("%s: %d correlations, sum of squares z = %+.2f, largest |z| = %.2f", name, len(terms), z, largest)
		if math.Abs(z) > 6.5 || largest > 7.5 {
			t.Errorf("%s: sum of squares z = %g, largest |z| = %g", name, z, largest)
		}
	}
	var pairs, successive []float64
	for i := range n {
		for j := range n {
			if j < i {
				pairs = append(pairs, same[i][j]/math.Sqrt(steps))
			}
			successive = append(successive, next[i][j]/math.Sqrt(steps-1))
		}
	}
	report("pairs of a step", pairs)
	report("pairs of successive steps", successive)
}

// At q = 1e-5 the sample is exactly the records whose word lies below q*2^64, in integers of any length: no float32 or
// float64 comes between.
func TestSampleIsTheThreshold(t *testing.T) {
	const n, q = 300000, 1e-5
	seed := uint64(3)
	p := samplingPlan(t, n, q, &seed)
	s := newTestSampler(t, p, n)
	threshold := new(big.Rat).SetFloat64(q)
	threshold.Mul(threshold, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), 64)))
	var src stream
	found := 0
	for step := range uint64(8) {
		got, err := s.Sample(nil, step)
		if err != nil {
			t.Fatal(err)
		}
		var want []int
		for i := range n {
			if i%chunkRecords == 0 {
				src.open(s.block, step, uint64(i/chunkRecords))
			}
			w := src.next()
			if w>>32 < 1<<32/1000 && new(big.Rat).SetInt(new(big.Int).SetUint64(w)).Cmp(threshold) < 0 { // the rest is far above
				want = append(want, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
		found += len(want)
	}
	if found < 5 { // the seed is fixed; 24 are expected
		t.Errorf("only %d records were sampled: nothing was compared", found)
	}
}
