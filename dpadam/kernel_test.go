package dpadam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// kernelSizes cover every remainder of the assembly's blocks, none, and several blocks.
func kernelSizes() []int {
	var sizes []int
	for n := range 68 {
		sizes = append(sizes, n)
	}
	return append(sizes, 127, 1000, 4099)
}

// kernelFloats are n random values of all magnitudes, every fifth one special; the slice begins at
// an address that is a multiple of 4 and of nothing more.
func kernelFloats(rng *rand.Rand, n int) []float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 1 << 23, 1<<24 - 1, -(1 << 24), 0x1p61, -0x1p62, 0x1p62,
		0x1p63, -0x1p63, 0x1.fffffep62, 0x1p64, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 0x1p-127, -0x1.8p-130,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	v := make([]float32, n+1)[1:]
	for i := range v {
		v[i] = float32(math.Ldexp(rng.NormFloat64(), rng.IntN(80)-40))
		if rng.IntN(5) == 0 {
			v[i] = special[rng.IntN(len(special))]
		}
	}
	return v
}

func kernelInts(rng *rand.Rand, n int) []int64 {
	special := []int64{0, 1, -1, 1<<53 + 1, 1<<54 + 2, 1<<54 + 6, -(1<<53 + 1), 1<<62 - 1, -(1 << 62), math.MaxInt64, math.MinInt64, 0xffffffff, -0x100000000}
	v := make([]int64, n+1)[1:]
	for i := range v {
		v[i] = int64(rng.Uint64()) >> rng.IntN(64)
		if rng.IntN(5) == 0 {
			v[i] = special[rng.IntN(len(special))]
		}
	}
	return v
}

// sameFloats compares bits; NaNs are alike.
func sameFloats[T float32 | float64](t *testing.T, what string, got, want []T) {
	t.Helper()
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if math.Float64bits(g) != math.Float64bits(w) && !(math.IsNaN(g) && math.IsNaN(w)) {
			t.Fatalf("%s: coordinate %d of %d is %g, plain Go gives %g", what, i, len(want), g, w)
		}
	}
}

func sameInts(t *testing.T, what string, got, want []int64) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: coordinate %d of %d is %d, plain Go gives %d", what, i, len(want), got[i], want[i])
		}
	}
}

// eachKernel calls f for every level above plain Go and every size.
func eachKernel(t *testing.T, f func(l level, what string, rng *rand.Rand, n int)) {
	for _, l := range levels()[1:] {
		for _, n := range kernelSizes() {
			f(l, fmt.Sprintf("%s, %d coordinates", l, n), rand.New(rand.NewPCG(uint64(n), 1)), n)
		}
	}
}

func clone[T any](v []T) []T { return append(make([]T, 1, len(v)+1), v...)[1:] }

// Plain Go itself follows the definition, one coordinate after the other.
func TestAddRoundedIsTheDefinition(t *testing.T) {
	for _, n := range kernelSizes() {
		rng := rand.New(rand.NewPCG(uint64(n), 2))
		x, k := kernelFloats(rng, n), kernelInts(rng, n)
		got, want := clone(k), clone(k)
		const factor, inv = 0.37, 0x1p9
		norm := levelGo.addRounded(got, x, factor, inv)
		var lanes [8]float64
		for i := range x[:n&^7] {
			v := float64(x[i]) * factor
			want[i] += int64(math.RoundToEven(v * inv))
			lanes[i%8] += float64(v * v)
		}
		sum := ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
		for i := n &^ 7; i < n; i++ {
			v := float64(x[i]) * factor
			want[i] += int64(math.RoundToEven(v * inv))
			sum += float64(v * v)
		}
		what := fmt.Sprintf("%d coordinates", n)
		sameInts(t, what, got, want)
		sameFloats(t, what, []float64{norm}, []float64{sum})
	}
}

func TestAccumulateKernels(t *testing.T) {
	eachKernel(t, func(l level, what string, rng *rand.Rand, n int) {
		x, k := kernelFloats(rng, n), kernelInts(rng, n)
		for _, scale := range [][2]float64{{1, 1}, {1, 0x1p40}, {0.3, 0x1p-3 * 1.7}, {1e-30, 0x1p300}} {
			got, want := clone(k), clone(k)
			a := l.addRounded(got, x, scale[0], scale[1])
			b := levelGo.addRounded(want, x, scale[0], scale[1])
			sameInts(t, what, got, want)
			sameFloats(t, what+": squared norm", []float64{a}, []float64{b})

			plain, wantPlain := make([]float64, n), make([]float64, n)
			for i := range plain {
				plain[i] = float64(k[i]) * 0x1p-30
			}
			copy(wantPlain, plain)
			a, b = l.addPlain(plain, x, scale[0]), levelGo.addPlain(wantPlain, x, scale[0])
			sameFloats(t, what, plain, wantPlain)
			sameFloats(t, what+": squared norm", []float64{a}, []float64{b})
		}
	})
}

// Every rounding tie and its neighbours, in all sizes that a sum in lattice steps can have.
func TestAccumulateKernelsRoundTies(t *testing.T) {
	var x []float32
	for e := range 64 {
		for _, m := range []float32{1, 1.25, 1.5, 1.75, 1.9999999, 0x1.000002p0} {
			x = append(x, m*float32(math.Ldexp(1, e-2)), -m*float32(math.Ldexp(1, e-2)))
		}
	}
	for half := float32(0.5); half < 40; half++ {
		up, down := math.Nextafter32(half, 100), math.Nextafter32(half, 0)
		x = append(x, half, -half, up, down, -up, -down)
	}
	for _, l := range levels() {
		got := make([]int64, len(x))
		l.addRounded(got, x, 1, 1)
		for i, v := range x {
			if want := int64(math.RoundToEven(float64(v))); got[i] != want {
				t.Errorf("%s: %g is rounded to %d, not %d", l, v, got[i], want)
			}
		}
	}
}

func TestReleaseKernels(t *testing.T) {
	eachKernel(t, func(l level, what string, rng *rand.Rand, n int) {
		k, z := kernelInts(rng, n), kernelInts(rng, n)
		for _, scale := range []float64{1, 0x1p-44, 0.1 * 0x1p-40, 0x1p-190, 1e300} {
			gotK, wantK, got, want := clone(k), clone(k), make([]float32, n), make([]float32, n)
			l.release(got, gotK, z, scale)
			levelGo.release(want, wantK, z, scale)
			sameFloats(t, what, got, want)
			sameInts(t, what+": emptied", gotK, make([]int64, n))
			sameInts(t, what+": emptied by plain Go", wantK, make([]int64, n))
		}
	})
}

func TestAdamKernels(t *testing.T) {
	specs := []OptimizerSpec{Adam(1e-3), AdamW(1e-3, 0.01), {Name: "adam", LearningRate: 1e-3, Beta1: 0.8, Beta2: 0.99, Epsilon: 1e-6, WeightDecay: 0.1},
		{Name: "adamw", LearningRate: 0.1, Beta1: 0.9, Beta2: 0.98, WeightDecay: 0.1, Style: "transformers"}}
	eachKernel(t, func(l level, what string, rng *rand.Rand, n int) {
		vectors := func() [4][]float32 {
			return [4][]float32{kernelFloats(rng, n), kernelFloats(rng, n), kernelFloats(rng, n), kernelFloats(rng, n)}
		}
		for _, spec := range specs {
			o := adam{optimizerBase: optimizerBase{spec: spec, denominator: 1024, step: 3}}
			s := o.scalars(spec.LearningRate, true)
			got := vectors()
			want := [4][]float32{clone(got[0]), clone(got[1]), clone(got[2]), clone(got[3])}
			l.adam(&s, got[0], got[1], got[2], got[3])
			levelGo.adam(&s, want[0], want[1], want[2], want[3])
			for i, name := range []string{"weight", "sum", "first moment", "second moment"} {
				sameFloats(t, what+", "+spec.Name+": "+name, got[i], want[i])
			}
		}
	})
}

func TestSGDKernels(t *testing.T) {
	eachKernel(t, func(l level, what string, rng *rand.Rand, n int) {
		for _, s := range []sgdStep{{denominator: 100, rate: 0.1}, {denominator: 3, rate: 0.1, mu: 0.9, decay: 0.01}} {
			p, sum, momentum := kernelFloats(rng, n), kernelFloats(rng, n), kernelFloats(rng, n)
			if s.mu == 0 {
				momentum = nil
			}
			got, gotMomentum := clone(p), clone(momentum)
			if momentum == nil {
				gotMomentum = nil
			}
			l.sgd(&s, got, sum, gotMomentum)
			levelGo.sgd(&s, p, sum, momentum)
			sameFloats(t, what, got, p)
			sameFloats(t, what+": momentum", gotMomentum, momentum)
		}
	})
}

func TestAverageKernels(t *testing.T) {
	eachKernel(t, func(l level, what string, rng *rand.Rand, n int) {
		a, w := kernelFloats(rng, n), kernelFloats(rng, n)
		got := clone(a)
		l.mix(got, w, 0.0123)
		levelGo.mix(a, w, 0.0123)
		sameFloats(t, what, got, a)
	})
}

// The vector ziggurat makes the same samples of the same words as plain Go, for small tables,
// usual ones and the largest, whose Lemire bound stops one lane in ten.
func TestZigguratKernels(t *testing.T) {
	for _, s := range []uint64{1, 2, 7, 64, 1023, 1 << 26, 1<<41 + 12345, maxLatticeSigma} {
		g, err := newGaussian(s)
		if err != nil {
			t.Fatal(err)
		}
		block, err := newCipher([keyBytes]byte{byte(s)})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range levels()[1:] {
			var a, b stream
			a.open(block, s, 5)
			b.open(block, s, 5)
			for _, n := range append(kernelSizes(), 30000) {
				got, want := make([]int64, n+1)[1:], make([]int64, n)
				g.level = l
				g.fill(got, &a)
				g.level = levelGo
				g.fill(want, &b)
				what := fmt.Sprintf("%s, s = %d", l, s)
				sameInts(t, what, got, want)
				if a.pos != b.pos || a.buf != b.buf {
					t.Fatalf("%s: %d samples took other words than in plain Go", what, n)
				}
			}
		}
	}
}

// A whole step gives the same bits at every level.
func TestStepIsTheSameAtEveryLevel(t *testing.T) {
	const d = noiseChunk + 4321
	seed := uint64(7)
	p := noisePlan(t, d, &seed)
	rng := rand.New(rand.NewPCG(1, 2))
	sum := make([]float32, d)
	for i := range sum {
		sum[i] = float32(rng.NormFloat64() * 1e-3)
	}
	var first [2][]float32
	for _, l := range levels() {
		n, err := NewNoiser(p, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		acc, out, weights := NewAccumulator(p), make([]float32, d), clone(sum)
		o := newAdam(optimizerBase{spec: p.spec.Optimizer, parts: []part{{Range{0, d}, true}}, denominator: 100, dim: d, level: l})
		n.level, n.gauss.level, acc.level = l, l, l
		for range 3 {
			if err := acc.Add(sum, 5); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Release(t.Context(), permitFor(p, 9), acc, out); err != nil {
			t.Fatal(err)
		}
		if err := o.Update(weights, out, 1e-3); err != nil {
			t.Fatal(err)
		}
		if l == levelGo {
			first = [2][]float32{out, weights}
		}
		sameFloats(t, l.String()+": release", out, first[0])
		sameFloats(t, l.String()+": weights", weights, first[1])
	}
}
