package pld

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A pair drawn at random.
func drawPair(t *rapid.T) pair {
	return pair{
		kind: rapid.SampledFrom([]Kind{Remove, Add, Replace}).Draw(t, "kind"),
		q:    math.Pow(10, rapid.Float64Range(-6, -0.001).Draw(t, "log q")),
		s:    math.Pow(10, rapid.Float64Range(-2, 0.7).Draw(t, "log s")),
	}
}

// The loss is log P/Q of the densities, rises, and its inverse inverts it.
func TestPairIsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		x := rapid.Float64Range(-8, 8+p.s).Draw(t, "x")
		mixture := func(x, m float64) float64 { return (1-p.q)*normal(x) + p.q*normal(x-m) }
		var want float64
		switch p.kind {
		case Remove:
			want = math.Log(mixture(x, p.s) / normal(x))
		case Add:
			want = math.Log(normal(-x) / mixture(-x, p.s))
		case Replace:
			want = math.Log(mixture(x, p.s) / mixture(x, -p.s))
		}
		got := p.loss(x)
		if math.Abs(got-want) > 1e-12*(1+math.Abs(want)) {
			t.Fatalf("%+v: loss(%v) = %v, want %v", p, x, got, want)
		}
		y := x + 0.01
		rise := p.rise(x, y)
		if !(rise >= 0) || math.Abs(rise-(p.loss(y)-got)) > 1e-13*(1+math.Abs(got)) {
			t.Fatalf("%+v: rise(%v, %v) = %v, want %v", p, x, y, rise, p.loss(y)-got)
		}
		if s := (p.loss(x+1e-5) - p.loss(x-1e-5)) / 2e-5; math.Abs(s-p.slope(x)) > 1e-4*p.s {
			t.Fatalf("%+v: slope(%v) = %v, want %v", p, x, p.slope(x), s)
		}
		if s := p.slope(x); s > 1e-3*p.s && math.Abs(p.inverse(got)-x) > 1e-6 {
			t.Fatalf("%+v: inverse(loss(%v)) = %v", p, x, p.inverse(got))
		}
	})
}

// Connecting the dots keeps the P-mass and the Q-mass of what is between the ends.
func TestDotsKeepBothMasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		step := rapid.Float64Range(0.001, 0.12).Draw(t, "step")
		n := dots(p, start, 9.25+p.s, step)
		mass, other := n.infinite, 0.0
		for i, l := range n.loss {
			mass += n.mass[i]
			other += n.mass[i] * math.Exp(-l)
		}
		other -= upperTail(-start) * math.Exp(-n.loss[0]) // the mass moved up from the left of start
		want := 1.0
		if p.kind != Remove {
			want -= p.q * upperTail(9.25-p.s)
		}
		if math.Abs(mass-1) > 1e-11 || math.Abs(other-want) > 1e-10 {
			t.Fatalf("%+v: P-mass %v, Q-mass %v, want 1 and %v", p, mass, other, want)
		}
	})
}

// T steps of q next to 1 are a Gaussian mechanism of mu = s sqrt(T).
func TestContourAgainstGaussian(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	for _, v := range []struct{ s, count, delta float64 }{{1, 2, 1e-5}, {0.1, 100, 1e-6}, {0.01, 1e6, 1e-9}, {3, 7, 1e-12}, {0.2, 50, 0.01}} {
		for _, kind := range []Kind{Remove, Add, Replace} {
			shift := v.s
			if kind == Replace {
				shift *= 2
			}
			want, err := Composition{GaussianMu2: v.count * shift * shift}.Epsilon(v.delta)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Composition{Steps: []Step{{[]Component{{1, kind, 1 - 1e-15, v.s}}, v.count}}}.Epsilon(v.delta)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("kind %d %+v: bound %+.1e estimate %+.1e of %v", kind, v, got.Upper/want.Estimate-1, got.Estimate/want.Estimate-1, want.Estimate)
			if got.Upper < want.Estimate*(1-1e-9) || got.Upper > want.Estimate*(1+1e-4) || math.Abs(got.Estimate/want.Estimate-1) > 5e-6 {
				t.Errorf("kind %d %+v: %+v, want %v", kind, v, got, want.Estimate)
			}
		}
	}
}

// Known values of the Gaussian mechanism, to 15 digits by 40-digit arithmetic (reference rows 30, 34, 36, 37 of
// the accounting data), and of its parts.
func TestGaussian(t *testing.T) {
	for _, v := range []struct{ mu, delta, epsilon float64 }{
		{1 / 0.3, 1e-6, 20.781222256538165}, {0.01, 1e-5, 0.027219419814577137}, {2, 1e-6, 10.99715121422065}, {math.Sqrt(1000) / 20, 1e-10, 10.90790195655248},
	} {
		b, err := Composition{GaussianMu2: v.mu * v.mu}.Epsilon(v.delta)
		if err != nil || b.Upper < v.epsilon*(1-1e-12) || b.Upper > v.epsilon*(1+1e-9) {
			t.Errorf("%+v: %+v (%v)", v, b, err)
		}
	}
	for _, x := range []float64{9.999999, 10.000001, 30, 1e5} {
		// phi(x)/x (1 - 1/x^2 + 3/x^4 - 15/x^6 + 105/x^8) holds to 1e-9 from 10 on.
		want := invSqrt2Pi / x * (1 - 1/(x*x) + 3/math.Pow(x, 4) - 15/math.Pow(x, 6) + 105/math.Pow(x, 8))
		if math.Abs(mills(x)/want-1) > 1e-7 {
			t.Errorf("mills(%v) = %v, want %v", x, mills(x), want)
		}
	}
}

// Two steps by plain integration, delta_2(e) = E[delta_1(e - L)] over x ~ P: no transform, no tilt, no cells.
func TestTwoStepsByIntegration(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	for _, p := range []pair{{Remove, 0.3, 1 / 1.2}, {Add, 0.3, 1 / 1.2}, {Replace, 0.1, 0.5}, {Remove, 1e-3, 2}, {Remove, 0.01, 1}} {
		for _, epsilon := range []float64{0.1, 0.5, 2} {
			want := 0.0
			const step = 1.0 / 2048
			for x := start; x < 14+p.s; x += step {
				d, _ := p.delta(epsilon - p.loss(x))
				want += p.density(x) * step * d
			}
			got, err := Composition{Steps: []Step{{[]Component{{1, p.kind, p.q, p.s}}, 2}}}.Delta(epsilon)
			if err != nil {
				t.Fatal(err)
			}
			if want < 1e-13 {
				if got.Upper > 1e-12 {
					t.Errorf("%+v at %v: %+v, want %v", p, epsilon, got, want)
				}
				continue
			}
			t.Logf("%+v at %v: %v, bound %+.1e estimate %+.1e", p, epsilon, want, got.Upper/want-1, got.Estimate/want-1)
			if got.Upper < want*(1-1e-9) || got.Upper > want*(1+5e-3) {
				t.Errorf("%+v at %v: %+v, want %v", p, epsilon, got, want)
			}
		}
	}
}

// No parameters make it panic, loop or answer with what is no number.
func FuzzEpsilon(f *testing.F) {
	f.Add(0.01, 1.0, 100.0, 1e-5, uint8(0), 0.0)
	f.Add(1e-12, 1e-8, 4e15, 1e-300, uint8(1), 1e-3)
	f.Add(0.999999, 1e4, 1.0, 0.9, uint8(2), 1e9)
	f.Add(1e-12, 1e-8, 4e15, 2e-301, uint8(1), 1e-3) // the tail of a step underflows
	f.Fuzz(func(t *testing.T, q, s, count, delta float64, kind uint8, mu2 float64) {
		if !(q > 0 && q < 1 && s >= 1e-8 && s <= 1e4 && count >= 1 && count <= 1<<52 && delta > 0 && delta < 1 && mu2 >= 0 && mu2 < 1e20) {
			t.Skip()
		}
		c := Composition{Steps: []Step{{[]Component{{1, Kind(kind % 3), q, s}}, math.Floor(count)}}, GaussianMu2: mu2}
		b, err := c.Epsilon(delta)
		if err == nil && !(b.Upper >= 0 && !math.IsInf(b.Upper, 1)) {
			t.Errorf("%+v at %v: %+v", c, delta, b)
		}
	})
}
