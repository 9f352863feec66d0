package dpadam

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// The statistical tests below draw with a fresh seed each time and print it;
// GHOSTWRITER_TEST_SEED=n repeats one. `make slow-test` takes 1e9 samples instead of
// some 1e7. Each states the probability that a perfect sampler fails it; docs/noise.md has
// all of them in a table.
const seedVariable = "GHOSTWRITER_TEST_SEED"

func testSeed(t testing.TB) uint64 {
	t.Helper()
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	seed := binary.LittleEndian.Uint64(b[:])
	if s := os.Getenv(seedVariable); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = v
	}
	t.Logf("%s=%d", seedVariable, seed)
	return seed
}

func sampleSize(fast int) int {
	if slowSamples > 0 {
		return slowSamples
	}
	if raceEnabled {
		return fast / 8
	}
	return fast
}

// sampler returns a generator of s and a stream of the seed.
func sampler(t testing.TB, s, seed uint64) (*gaussian, *stream) {
	t.Helper()
	g, err := newGaussian(s)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := freshKey(&seed, "test")
	block, err := newCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	src := &stream{}
	src.open(block, s%maxIndex, 0)
	return g, src
}

// draw calls f on n samples in blocks.
func draw(g *gaussian, src *stream, n int, f func(z []int64)) {
	buf := make([]int64, 1<<14)
	for n > 0 {
		z := buf[:min(n, len(buf))]
		g.fill(z, src)
		f(z)
		n -= len(z)
	}
}

// chiSquare returns the p-value of observed counts against probabilities; cells expecting
// fewer than 10 are pooled.
func chiSquare(observed []int64, probability []float64, n int) float64 {
	x, cells, restO, restE := 0.0, 0, 0.0, 0.0
	for i, p := range probability {
		e := p * float64(n)
		if e < 10 {
			restO += float64(observed[i])
			restE += e
			continue
		}
		d := float64(observed[i]) - e
		x += d * d / e
		cells++
	}
	if restE > 0.01 {
		x += (restO - restE) * (restO - restE) / restE
		cells++
	}
	return distuv.ChiSquared{K: float64(cells - 1)}.Survival(x)
}

// Moments 1 to 6 as z-scores. False-reject rate: 6 * P(|N(0,1)| > 6) < 1.2e-8 (the sums of
// high moments are near enough to normal at 1e7 samples for a limit of 6).
func TestGaussianMoments(t *testing.T) {
	const s = 1 << 41
	n := sampleSize(1 << 24)
	g, src := sampler(t, s, testSeed(t))
	var sum [7]float64
	draw(g, src, n, func(z []int64) {
		var part [7]float64
		for _, v := range z {
			x := float64(v) / s
			for k, p := 1, x; k <= 6; k, p = k+1, p*x {
				part[k] += p
			}
		}
		for k := range sum {
			sum[k] += part[k]
		}
	})
	double := func(k int) float64 { // (k-1)!! for even k: the k-th moment
		m := 1.0
		for ; k > 1; k -= 2 {
			m *= float64(k - 1)
		}
		return m
	}
	for k := 1; k <= 6; k++ {
		mean := 0.0
		if k%2 == 0 {
			mean = double(k)
		}
		z := (sum[k]/float64(n) - mean) / math.Sqrt((double(2*k)-mean*mean)/float64(n))
		t.Logf("moment %d: %.6f, z = %+.2f", k, sum[k]/float64(n), z)
		if math.Abs(z) > 6 {
			t.Errorf("moment %d: z = %g", k, z)
		}
	}
}

// Chi-square over 1024 bins of equal probability. False-reject rate 1e-9.
func TestGaussianBins(t *testing.T) {
	const s, bins = 1 << 40, 1024
	n := sampleSize(1 << 23)
	g, src := sampler(t, s, testSeed(t))
	counts, p := make([]int64, bins), make([]float64, bins)
	for i := range p {
		p[i] = 1.0 / bins
	}
	draw(g, src, n, func(z []int64) {
		for _, v := range z {
			u := 0.5 * math.Erfc(-float64(v)/s/math.Sqrt2)
			counts[min(int(u*bins), bins-1)]++
		}
	})
	pv := chiSquare(counts, p, n)
	t.Logf("p = %.3g", pv)
	if pv < 1e-9 {
		t.Errorf("p = %g", pv)
	}
}

// Counts beyond 4, 5 and 6 sigma on each side against the Poisson distribution of their
// exact probabilities. False-reject rate: 6 * 2 * 1e-9.
func TestGaussianTails(t *testing.T) {
	const s = 1 << 41
	n := sampleSize(1 << 25)
	g, src := sampler(t, s, testSeed(t))
	limits := []float64{4, 5, 6}
	var counts [2][3]int64
	draw(g, src, n, func(z []int64) {
		for _, v := range z {
			side := 0
			if v < 0 {
				v, side = -v, 1
			}
			if v <= 4*s {
				continue
			}
			for i, l := range limits {
				if float64(v) > l*s {
					counts[side][i]++
				}
			}
		}
	})
	for i, l := range limits {
		lambda := float64(n) * 0.5 * math.Erfc(l/math.Sqrt2)
		d := distuv.Poisson{Lambda: lambda}
		for side, name := range []string{"above", "below"} {
			c := float64(counts[side][i])
			t.Logf("%s %g sigma: %g, expected %.2f", name, l, c, lambda)
			if d.CDF(c) < 1e-9 || 1-d.CDF(c-1) < 1e-9 {
				t.Errorf("%s %g sigma: %g, expected %.2f", name, l, c, lambda)
			}
		}
	}
}

// The low bits of Z are uniform: chi-square over the lowest 8 bits, and the balance of each of
// the lowest 24. False-reject rate: 1e-9 + 24 * P(|N(0,1)| > 6.5) < 4e-9.
func TestGaussianLowBits(t *testing.T) {
	n := sampleSize(1 << 22)
	g, src := sampler(t, 1<<40, testSeed(t))
	counts, p := make([]int64, 256), make([]float64, 256)
	for i := range p {
		p[i] = 1.0 / 256
	}
	var ones [24]int64
	draw(g, src, n, func(z []int64) {
		for _, v := range z {
			counts[v&255]++
			for b := range ones {
				ones[b] += v >> b & 1
			}
		}
	})
	pv, largest := chiSquare(counts, p, n), 0.0
	if pv < 1e-9 {
		t.Errorf("low byte: p = %g", pv)
	}
	for b, c := range ones {
		z := (2*float64(c) - float64(n)) / math.Sqrt(float64(n))
		if largest = max(largest, math.Abs(z)); math.Abs(z) > 6.5 {
			t.Errorf("bit %d: z = %g", b, z)
		}
	}
	t.Logf("low byte: p = %.3g; largest |z| of a bit %.2f", pv, largest)
}

// Serial correlation at lags 1 to 16 of samples, of their squares and of their low bits, and
// between the streams of neighbouring chunks and charges. False-reject rate:
// (3*16+2) * P(|N(0,1)| > 6.5) < 5e-9.
func TestGaussianCorrelation(t *testing.T) {
	const s, lags = 1 << 40, 16
	n := sampleSize(1 << 21)
	n = min(n, 1<<26) // memory
	seed := testSeed(t)
	g, src := sampler(t, s, seed)
	series := func(index, chunk uint64) []int64 {
		key, _ := freshKey(&seed, "test")
		block, _ := newCipher(key)
		src.open(block, index, chunk)
		z := make([]int64, n)
		g.fill(z, src)
		return z
	}
	largest := 0.0
	report := func(name string, sum, variance float64, m int) {
		z := sum / math.Sqrt(variance*float64(m))
		if largest = max(largest, math.Abs(z)); math.Abs(z) > 6.5 {
			t.Errorf("%s: z = %g", name, z)
		}
	}
	base := series(1, 0)
	for lag := 1; lag <= lags; lag++ {
		var plain, square, low float64
		for i := lag; i < n; i++ {
			x, y := float64(base[i])/s, float64(base[i-lag])/s
			plain += x * y
			square += (x*x - 1) * (y*y - 1)
			low += float64((base[i]&1)*2-1) * float64((base[i-lag]&1)*2-1)
		}
		report(fmt.Sprintf("lag %d", lag), plain, 1, n-lag)
		report(fmt.Sprintf("squares at lag %d", lag), square, 4, n-lag)
		report(fmt.Sprintf("low bits at lag %d", lag), low, 1, n-lag)
	}
	for name, other := range map[string][]int64{"next chunk": series(1, 1), "next charge": series(2, 0)} {
		var plain float64
		for i := range base {
			plain += float64(base[i]) / s * (float64(other[i]) / s)
		}
		report(name, plain, 1, n)
	}
	t.Logf("%d samples, largest |z| of %d: %.2f", n, 3*lags+2, largest)
}

// latticeProbability is P(round(N(0,s^2)) = k) by differences of erfc, on the side where
// they do not cancel.
func latticeProbability(k int64, s float64) float64 {
	a := math.Abs(float64(k))
	return 0.5 * (math.Erfc((a-0.5)/s/math.Sqrt2) - math.Erfc((a+0.5)/s/math.Sqrt2))
}

// The exact distribution at small sigma: chi-square of the counts of every lattice point, and
// no holes within 3.5 sigma. This runs the very code that large sigmas run, with cells wide
// enough to be counted. False-reject rate 5 * 1e-9.
func TestGaussianPMF(t *testing.T) {
	seed := testSeed(t)
	for _, s := range []uint64{1, 2, 8, 16, 64} {
		n := sampleSize(1 << 23)
		g, src := sampler(t, s, seed)
		half := int64(12 * s)
		counts, p := make([]int64, 2*half+1), make([]float64, 2*half+1)
		for i := range p {
			p[i] = latticeProbability(int64(i)-half, float64(s))
		}
		draw(g, src, n, func(z []int64) {
			for _, v := range z {
				counts[v+half]++
			}
		})
		pv := chiSquare(counts, p, n)
		t.Logf("s = %d: p = %.4f", s, pv)
		if pv < 1e-9 {
			t.Errorf("s = %d: p = %g", s, pv)
		}
		for i, c := range counts {
			if e := p[i] * float64(n); e > 25 && c == 0 { // probability e^-25 each
				t.Errorf("s = %d: hole at %d (expected %.0f)", s, int64(i)-half, e)
			}
		}
	}
}

// The table itself, at many s: prepare has checked in exact arithmetic that the cover has no
// gap; here, that all regions have the same area (they are chosen with equal probability), that
// the sure part of each lies within it, and that few words need the slow path.
func TestZigguratCovers(t *testing.T) {
	for _, s := range []uint64{1, 3, 8, 1000, 1 << 20, 1<<40 + 12345, maxLatticeSigma} {
		g, err := newGaussian(s) // prepare has checked the cover
		if err != nil {
			t.Fatalf("s = %d: %v", s, err)
		}
		area := g.height[0] * float64(g.layers[0].width)
		for i := range g.layers {
			if a := g.height[i] * float64(g.layers[i].width); math.Abs(a/area-1) > 1e-14 {
				t.Errorf("s = %d: area of region %d is %g, of region 0 %g", s, i, a, area)
			}
			if w, in := g.layers[i].width, g.layers[i].inner; in > w {
				t.Errorf("s = %d: region %d: inner %d > width %d", s, i, in, w)
			}
		}
		fast := 0.0
		for i := range g.layers {
			fast += float64(g.layers[i].inner) / float64(g.layers[i].width) / 256
		}
		if s >= 1000 && fast < 0.98 {
			t.Errorf("s = %d: only %.3f of the words take the fast path", s, fast)
		}
	}
	for _, s := range []uint64{0, maxLatticeSigma + 1} {
		if _, err := newGaussian(s); err == nil {
			t.Errorf("s = %d accepted", s)
		}
	}
}

// A table with a gap is refused: prepare can fail.
func TestZigguratRefusesBadTables(t *testing.T) {
	spoil := map[string]func(g *gaussian){
		"narrow region":     func(g *gaussian) { g.layers[100].width -= g.layers[100].width / 1000 },
		"wide inner bound":  func(g *gaussian) { g.layers[7].inner += g.layers[7].inner / 1000 },
		"tail from too far": func(g *gaussian) { g.r -= g.r / 1000 },
		"steep staircase":   func(g *gaussian) { g.w -= g.w / 1000 },
	}
	for name, f := range spoil {
		g, err := newGaussian(1 << 30)
		if err != nil {
			t.Fatal(err)
		}
		y0 := g.height[0]
		f(g)
		if g.prepare(y0) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	g, _ := newGaussian(1 << 30)
	if y0 := g.height[0]; g.prepare(y0*0.99) == nil {
		t.Error("low cover: accepted")
	}
}

// float64's decision and the 768-bit one agree wherever float64 decides. The same word
// stream is read by both.
func TestExactAgreesWithFloat(t *testing.T) {
	seed := testSeed(t)
	g, src := sampler(t, 64, seed)
	_, words := sampler(t, 64, seed)
	disagreements, under := 0, 0
	for i := range 20000 {
		l := i % 256
		width := g.layers[l].width
		if l == 0 {
			width = g.r
		}
		tt := below(width, src)
		p := pointAt{low: g.low[l], height: g.height[l], layer: l, halvings: -1}
		if i%5 == 0 {
			tt, p = g.r+uint64(i%64)*g.w/16, pointAt{height: math.Ldexp(g.height[0], -(i % 4)), layer: 0, halvings: i % 4}
		}
		if src.pos+64 > len(src.buf) {
			src.refill() // the copy below shares the cipher: neither may refill before the other is done
		}
		*words = *src // same position
		fast := g.under(tt, p, src)
		v, phi := words.next()>>11, words.next()>>11
		exact := g.exact.under(tt, p, v, phi, words)
		if fast != exact {
			disagreements++
		}
		if exact {
			under++
		}
	}
	if disagreements > 0 || under < 1000 {
		t.Errorf("%d disagreements, %d under the curve", disagreements, under)
	}
}

// What float64 cannot decide goes to the exact comparison, and that is right on both sides of
// the curve: y is placed 2^-60 relative above and below f(X).
func TestUndecidedIsDecidedExactly(t *testing.T) {
	g, _ := sampler(t, 1<<40, 1)
	for _, tt := range []uint64{1 << 39, 1 << 41, 3 << 41} {
		f := g.exact.density(newFloat().SetUint64(tt))
		for _, sign := range []int64{-1, 1} {
			y := newFloat().SetMantExp(newFloat().SetInt64(sign), -60)
			y.Add(y, newFloat().SetInt64(1)).Mul(y, f)
			if got := y.Cmp(g.exact.density(newFloat().SetUint64(tt))) < 0; got != (sign < 0) {
				t.Errorf("t = %d, %+d: %t", tt, sign, got)
			}
			yf, _ := y.Float64()
			ff := math.Exp(-float64(tt) * g.invS * float64(tt) * g.invS / 2)
			if math.Abs(yf-ff) > 0x1p-38*(yf+ff) {
				t.Errorf("t = %d: float64 believes that it can decide a gap of 2^-60", tt)
			}
		}
	}
}

// Filling in pieces gives what filling at once gives.
func TestFillIsSequential(t *testing.T) {
	seed := testSeed(t)
	g, a := sampler(t, 1<<40, seed)
	_, b := sampler(t, 1<<40, seed)
	whole, pieces := make([]int64, 50000), make([]int64, 0, 50000)
	g.fill(whole, a)
	for n := 1; len(pieces) < len(whole); n = n*3%1777 + 1 {
		part := make([]int64, min(n, len(whole)-len(pieces)))
		g.fill(part, b)
		pieces = append(pieces, part...)
	}
	for i := range whole {
		if whole[i] != pieces[i] {
			t.Fatalf("sample %d: %d and %d", i, whole[i], pieces[i])
		}
	}
}
