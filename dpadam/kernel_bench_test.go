package dpadam

import "testing"

// benchDim is large against the caches; kernels stay memory-bound where they are so in a run.
const benchDim = 1 << 24

// levels lists what this machine has, plain Go first.
func levels() []level {
	var all []level
	for l := levelGo; l <= bestLevel(); l++ {
		all = append(all, l)
	}
	return all
}

// benchLevels runs f at every level and reports coordinates and bytes of memory traffic a second.
func benchLevels(b *testing.B, bytes int64, f func(l level)) {
	for _, l := range levels() {
		b.Run(l.String(), func(b *testing.B) {
			b.SetBytes(bytes * benchDim)
			for b.Loop() {
				f(l)
			}
			b.ReportMetric(float64(b.N)*benchDim/b.Elapsed().Seconds()/1e6, "Mparams/s")
		})
	}
}

func benchSum() []float32 {
	sum := make([]float32, benchDim)
	for i := range sum {
		sum[i] = 1e-7 * float32(i%1000-500)
	}
	return sum
}

// Adding a microbatch's sum: 4 bytes are read, 8 read and written.
func BenchmarkAccumulate(b *testing.B) {
	acc, sum := NewAccumulator(noisePlan(b, benchDim, nil)), benchSum()
	benchLevels(b, 20, func(l level) {
		acc.empty()
		acc.level = l
		if err := acc.Add(sum, 5); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkAccumulatePlain(b *testing.B) {
	acc, sum := NewAccumulator(openPlan(b, benchDim)), benchSum()
	benchLevels(b, 20, func(l level) {
		acc.empty()
		acc.level = l
		if err := acc.Add(sum, 5); err != nil {
			b.Fatal(err)
		}
	})
}

// noiseBench releases a step's sum over and over.
type noiseBench struct {
	noiser *Noiser
	acc    *Accumulator
	out    []float32
	index  uint64
}

func newNoiseBench(b *testing.B, p *Plan) *noiseBench {
	n, err := NewNoiser(p, 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	return &noiseBench{noiser: n, acc: NewAccumulator(p), out: make([]float32, benchDim)}
}

func (n *noiseBench) release(b *testing.B, l level) {
	n.noiser.level, n.noiser.gauss.level = l, l
	n.index++
	if err := n.noiser.Release(b.Context(), permitFor(n.noiser.plan, n.index), n.acc, n.out); err != nil {
		b.Fatal(err)
	}
}

// Noise drawn, added and scaled: 8 bytes read and written, 4 written.
func BenchmarkRelease(b *testing.B) {
	n := newNoiseBench(b, noisePlan(b, benchDim, nil))
	benchLevels(b, 20, func(l level) { n.release(b, l) })
}

// Noise drawn, added and scaled, and the update of Adam.
func BenchmarkReleaseAndAdam(b *testing.B) {
	p := noisePlan(b, benchDim, nil)
	n, o, weights := newNoiseBench(b, p), benchOptimizer(b, p).(*adam), benchSum()
	benchLevels(b, 48, func(l level) {
		n.release(b, l)
		o.level = l
		if err := o.Update(weights, n.out, 1e-4); err != nil {
			b.Fatal(err)
		}
	})
}

func benchOptimizer(b *testing.B, p *Plan) Optimizer {
	o, err := NewOptimizer(p, nil)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// 4 bytes are read, 12 read and written.
func BenchmarkAdam(b *testing.B) {
	o := benchOptimizer(b, noisePlan(b, benchDim, nil)).(*adam)
	sum, weights := benchSum(), benchSum()
	benchLevels(b, 28, func(l level) {
		o.level = l
		if err := o.Update(weights, sum, 1e-4); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkSGD(b *testing.B) {
	o := benchOptimizer(b, openPlan(b, benchDim)).(*sgd)
	sum, weights := benchSum(), benchSum()
	benchLevels(b, 12, func(l level) {
		o.level = l
		if err := o.Update(weights, sum, 1e-4); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkAverage(b *testing.B) {
	p := mustPlan(b, Config{Records: 1000, ExpectedBatch: 100, Steps: 50, NoiseMultiplier: 0.8, ClipNorm: 0.1, Dim: benchDim,
		Microbatch: 8, Delta: 1e-5, Optimizer: Adam(1e-3), AverageDecay: 0.99})
	weights := benchSum()
	a, err := NewAverage(p, make([]float32, benchDim))
	if err != nil {
		b.Fatal(err)
	}
	benchLevels(b, 12, func(l level) {
		a.level = l
		if err := a.Update(weights); err != nil {
			b.Fatal(err)
		}
	})
}
