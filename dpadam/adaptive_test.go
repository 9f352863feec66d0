package dpadam

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// adaptivePlan is a plan whose clipping norm follows the quantile.
func adaptivePlan(t testing.TB, quantile float64, change func(c *Config)) *Plan {
	t.Helper()
	c := Config{Records: 2000, ExpectedBatch: 200, Steps: 400, NoiseMultiplier: 0.8, ClipNorm: 0.1, Rho: 1e-3, Dim: 32, Microbatch: 8,
		Delta: 1e-5, Accountant: "rdp", Optimizer: Adam(1e-3), Clipping: Clipping{Adaptive: &Adaptive{Quantile: quantile}}}
	if change != nil {
		change(&c)
	}
	return mustPlan(t, c)
}

func TestAdaptiveDefaults(t *testing.T) {
	p := adaptivePlan(t, 0.5, nil)
	s := p.Spec()
	a := *s.Clipping.Adaptive
	want := Adaptive{Quantile: 0.5, Rate: 0.2, CountNoise: 10, MinNorm: 0.1 / (1 << 20), MaxNorm: 0.1 * (1 << 20), CountExponent: -30, CountSigma: 10 << 30}
	if a != want || s.Clipping.Rule != ClipAbadi || !p.Adapts() {
		t.Errorf("%+v", s.Clipping)
	}
	// sigma^-2 = sigma_Delta^-2 + (2 sigma_b)^-2, here in the order of the paper.
	wantSum := 1 / math.Sqrt(1/(0.8*0.8)-1/(20.0*20))
	if math.Abs(s.sumMultiplier()/wantSum-1) > 1e-14 {
		t.Errorf("sigma_Delta %v, want %v", s.sumMultiplier(), wantSum)
	}
	// A small batch: B/20 would leave no budget for the sum.
	small := adaptivePlan(t, 0.5, func(c *Config) { c.ExpectedBatch = 8 }).Spec()
	if n := small.Clipping.Adaptive.CountNoise; n != 1.6 || small.sumMultiplier() > 0.8*1.033 {
		t.Errorf("count noise %v, sigma_Delta %v", n, small.sumMultiplier())
	}
	// Accounting is that of the plan with a fixed norm.
	fixed := adaptivePlan(t, 0.5, func(c *Config) { c.Clipping = Clipping{} })
	one, err := p.Epsilon(Charges{Steps: 400})
	if err != nil {
		t.Fatal(err)
	}
	if two, err := fixed.Epsilon(Charges{Steps: 400}); err != nil || one != two {
		t.Errorf("epsilon %v, with a fixed norm %v, %v", one, two, err)
	}
}

// Whatever the sizes, the integers of the two lattices hold the claim of doc.go:
// (Delta_K/s)^2 + (half a record/s_b)^2 <= 1/sigma^2.
func TestAdaptiveLattices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Records:         rapid.Int64Range(10, 1e9).Draw(t, "records"),
			Dim:             rapid.Int64Range(1, 1e8).Draw(t, "dim"),
			Microbatch:      rapid.IntRange(1, 256).Draw(t, "microbatch"),
			NoiseMultiplier: math.Pow(10, rapid.Float64Range(-1, 2).Draw(t, "log sigma")),
			ClipNorm:        math.Pow(10, rapid.Float64Range(-6, 6).Draw(t, "log C")),
			SampleRate:      0.01, Steps: 1, Delta: 1e-10, Optimizer: Adam(1),
			Clipping: Clipping{Adaptive: &Adaptive{Quantile: 0.5}},
		}
		if rapid.Bool().Draw(t, "given") {
			c.Clipping.Adaptive.CountNoise = c.NoiseMultiplier * rapid.Float64Range(0.502, 50).Draw(t, "sigma_b over sigma")
		}
		p, err := NewPlan(c)
		if err != nil {
			var pe *ParamError
			if errors.As(err, &pe) && (pe.Parameter == "rounding overhead" || pe.Parameter == "count noise" && c.Clipping.Adaptive.CountNoise > 1e5) {
				t.Skip(err.Error())
			}
			t.Fatal(err)
		}
		s := p.Spec()
		l, a := *s.Lattice, *s.Clipping.Adaptive
		m := float64(l.MaxMicrobatches)
		cg := math.Ldexp(c.ClipNorm, -l.Exponent)
		delta := cg*(1+0x1p-51*float64(c.Records)) + m*math.Sqrt(float64(c.Dim))
		half := math.Ldexp(1, -a.CountExponent-1)
		joint := math.Hypot(delta/float64(l.Sigma), half/float64(a.CountSigma))
		if joint > 1/s.NoiseMultiplier {
			t.Fatalf("joint sensitivity %v of the noise, 1/sigma is %v", joint, 1/s.NoiseMultiplier)
		}
		if worst := float64(c.Records)*half + 128*float64(a.CountSigma); worst >= 0x1p62 {
			t.Fatalf("counts reach %g", worst)
		}
	})
}

// A record with its clipped gradient and its bit, as the trainer makes them.
type clippedRecord struct {
	gradient []float64
	within   bool
}

// clipped applies a plan's way of clipping to a gradient, in plain float64.
func clipped(s *Spec, c float64, g []float64) clippedRecord {
	groups := []ClipGroup{{Coordinates: int64(len(g)), Share: 1}}
	rule, gamma := ClipAbadi, 0.0
	if s.Clipping != nil {
		rule, gamma = s.Clipping.Rule, s.Clipping.Gamma
		if s.Clipping.Per != "" {
			groups = s.Clipping.Groups
		}
	}
	to := c * (1 - s.Rho)
	r := clippedRecord{within: norm2(g) <= to}
	for _, k := range groups {
		part := g[len(r.gradient) : len(r.gradient)+int(k.Coordinates)]
		factor := min(1, k.Share*to/norm2(part))
		if rule == ClipAutomatic {
			factor = k.Share * to / (norm2(part) + gamma)
		}
		for _, x := range part {
			r.gradient = append(r.gradient, factor*x)
		}
	}
	return r
}

func norm2(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x * x
	}
	return math.Sqrt(s)
}

// accumulate packs records into microbatches of the plan's size, in the given order, and returns
// what the noise is added to.
func accumulate(t *rapid.T, p *Plan, c float64, records []clippedRecord) (k []int64, count int64) {
	acc := NewAccumulator(p)
	if err := acc.SetClipNorm(c); err != nil {
		t.Fatal(err)
	}
	for batch := range slices.Chunk(records, p.spec.Microbatch) {
		sum, within := make([]float64, p.spec.Dim), 0
		for _, r := range batch {
			for i, x := range r.gradient {
				sum[i] += x
			}
			if r.within {
				within++
			}
		}
		single := make([]float32, len(sum))
		for i, x := range sum {
			single[i] = float32(x)
		}
		var err error
		if p.Adapts() {
			err = acc.AddCounted(single, len(batch), within)
		} else {
			err = acc.Add(single, len(batch))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if a := p.spec.adaptive(); a != nil {
		count = a.countSteps(acc.doubled)
	}
	return acc.k, count
}

// moved is the distance of two pre-noise vectors in standard deviations of the noise.
func moved(p *Plan, k, l []int64, m, n int64) float64 {
	square := 0.0
	for i := range k {
		d := float64(k[i]-l[i]) / float64(p.spec.Lattice.Sigma)
		square += d * d
	}
	if a := p.spec.adaptive(); a != nil {
		d := float64(m-n) / float64(a.CountSigma)
		square += d * d
	}
	return math.Sqrt(square)
}

// drawClipping draws one of the ways of clipping of d coordinates.
func drawClipping(t *rapid.T, d int64) Clipping {
	c := Clipping{Rule: ClipAbadi}
	if rapid.Bool().Draw(t, "auto") {
		c.Rule, c.Gamma = ClipAutomatic, math.Pow(10, rapid.Float64Range(-3.9, 1).Draw(t, "log gamma"))
	}
	switch rapid.IntRange(0, 2).Draw(t, "way") {
	case 1:
		c.Adaptive = &Adaptive{Quantile: 0.5, CountNoise: rapid.Float64Range(0.6, 20).Draw(t, "count noise")}
	case 2:
		c.Per = "layer"
		c.Groups = []ClipGroup{{"embeddings", 3, 0.6}, {"layer.0", 1, 0.3}, {"layer.1", d - 4, math.Sqrt(1 - 0.36 - 0.09 - 1e-15)}}
	}
	return c
}

// The sensitivity of the released pair, before its noise and in units of it, is at most 1/sigma, for
// every way of clipping: one random record more or fewer, everything repacked; and under
// replace-one both lie within 1/sigma of what they have in common. Records that are not finite or
// were dropped contribute a zero gradient and still a bit.
func TestSensitivityOfClipping(t *testing.T) {
	worst := 0.0
	rapid.Check(t, func(t *rapid.T) {
		const d, records = 12, 40
		c := Config{Records: records, SampleRate: 1, Steps: 1, NoiseMultiplier: 0.7, ClipNorm: 0.3, Rho: 1e-3, Dim: d, Microbatch: 7,
			Delta: 1e-3, Optimizer: Adam(1), Clipping: drawClipping(t, d)}
		p, err := NewPlan(c)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		now := 0.3
		if a := p.spec.adaptive(); a != nil {
			now = min(max(math.Exp(rapid.Float64Range(math.Log(a.MinNorm), math.Log(a.MaxNorm)).Draw(t, "log C_t")), a.MinNorm), a.MaxNorm)
		}
		record := func() clippedRecord {
			g := make([]float64, d)
			if rng.IntN(8) == 0 { // dropped, or not finite
				return clippedRecord{gradient: g, within: rng.IntN(2) == 0}
			}
			scale := now * math.Exp(3*rng.NormFloat64())
			for i := range g {
				g[i] = scale * rng.NormFloat64()
			}
			return clipped(&p.spec, now, g)
		}
		common := make([]clippedRecord, rng.IntN(records))
		for i := range common {
			common[i] = record()
		}
		k, m := accumulate(t, p, now, common)
		for range 2 { // the two of replace-one; each against the common sample is add/remove
			at := rng.IntN(len(common) + 1)
			l, n := accumulate(t, p, now, slices.Insert(slices.Clone(common), at, record()))
			x := moved(p, k, l, m, n)
			worst = max(worst, x*0.7)
			if x > 1/0.7 {
				t.Fatalf("moved by %v standard deviations, 1/sigma is %v", x, 1/0.7)
			}
			if a := p.spec.adaptive(); a != nil && abs64(m-n) != 1<<(-a.CountExponent-1) {
				t.Fatalf("the count moved by %d steps, a record is worth %d", m-n, int64(1)<<(-a.CountExponent-1))
			}
		}
	})
	t.Logf("the largest move was %.6f of 1/sigma", worst)
	if worst < 0.9 {
		t.Errorf("the largest move was %g of 1/sigma: the test did not come near the bound", worst)
	}
}

func abs64(x int64) int64 { return max(x, -x) }

// Both parts' noise has the variance that the proof asks for, at a C_t far from C_1: the sum's is
// sigma_Delta C_t, the count's sigma_b, and they are not correlated. False-reject rate below 4e-10.
func TestAdaptiveNoise(t *testing.T) {
	const releases, d = 4000, 64
	seed := testSeed(t)
	p := adaptivePlan(t, 0.5, func(c *Config) { c.Dim, c.Seed = d, &seed })
	n, err := NewNoiser(p, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := *p.spec.adaptive()
	acc, out := NewAccumulator(p), make([]float32, d)
	const ct = 37.5
	std := p.spec.sumMultiplier() * ct
	var s2, c1, c2, cross float64
	for i := range uint64(releases) {
		if err := acc.SetClipNorm(ct); err != nil {
			t.Fatal(err)
		}
		if err := acc.AddCounted(make([]float32, d), 20, 15); err != nil { // centred count 5
			t.Fatal(err)
		}
		if err := n.Release(t.Context(), permitFor(p, i+1), acc, out); err != nil {
			t.Fatal(err)
		}
		fraction := a.Quantile - math.Log(acc.ClipNorm()/ct)/a.Rate
		z := ((fraction-0.5)*p.ExpectedBatch() - 5) / a.CountNoise
		c1 += z
		c2 += z * z
		cross += z * float64(out[0]) / std
		for _, x := range out {
			s2 += float64(x) * float64(x) / (std * std)
		}
	}
	for name, z := range map[string]float64{
		"variance of the sum":   (s2 - releases*d) / math.Sqrt(2*releases*d),
		"mean of the count":     c1 / math.Sqrt(releases),
		"variance of the count": (c2 - releases) / math.Sqrt(2*releases),
		"correlation":           cross / math.Sqrt(releases),
	} {
		t.Logf("%s: z = %.2f", name, z)
		if math.Abs(z) > 6.5 {
			t.Errorf("%s: z = %g", name, z)
		}
	}
}

// C converges to the true quantile of the records' norms, from far below and from far above, and
// stays near it: norms are exp(N(mu, 0.5^2)).
func TestAdaptiveConverges(t *testing.T) {
	for _, c := range []struct{ quantile, start float64 }{{0.5, 0.01}, {0.5, 300}, {0.9, 1}, {0.2, 1}} {
		t.Run(fmt.Sprintf("%g from %g", c.quantile, c.start), func(t *testing.T) {
			seed := uint64(5)
			p := adaptivePlan(t, c.quantile, func(k *Config) { k.ClipNorm, k.Seed = c.start, &seed })
			s := mustStepper(t, p, 2000, StepperOptions{})
			rng := rand.New(rand.NewPCG(1, 2))
			norms := make([]float64, 2000)
			for i := range norms {
				norms[i] = math.Exp(1 + 0.5*rng.NormFloat64())
			}
			out, mean := make([]float32, 32), 0.0
			for n := int64(1); n <= 400; n++ {
				step, err := s.Begin(t.Context(), n)
				if err != nil {
					t.Fatal(err)
				}
				within := 0
				for _, i := range step.Records() {
					if norms[i] <= s.ClipTo() {
						within++
					}
				}
				if err := step.AddCounted(make([]float32, 32), len(step.Records()), within); err != nil {
					t.Fatal(err)
				}
				if err := step.Release(t.Context(), out); err != nil {
					t.Fatal(err)
				}
				if n > 300 {
					mean += math.Log(s.ClipNorm()) / 100
				}
			}
			slices.Sort(norms)
			truth := math.Log(norms[int(c.quantile*2000)])
			if math.Abs(mean-truth) > 0.05 {
				t.Errorf("mean log C over the last steps %.3f, the quantile's %.3f", mean, truth)
			}
		})
	}
}

// C stays within its public bounds, whatever the count says.
func TestAdaptiveBounds(t *testing.T) {
	a := Adaptive{Quantile: 0.5, Rate: 10, MinNorm: 0.1, MaxNorm: 2, CountExponent: -1}
	for _, c := range []struct {
		norm   float64
		noised int64
		want   float64
	}{{1, 0, 1}, {1, math.MaxInt64, 0.1}, {1, math.MinInt64, 2}, {2, -1000, 2}, {0.1, 1000, 0.1}} {
		if got := a.next(c.norm, c.noised, 10); got != c.want {
			t.Errorf("from %v with %d: %v, want %v", c.norm, c.noised, got, c.want)
		}
	}
	// One step by the paper's formula: 30 of B = 100 within more than half.
	if got, want := (&Adaptive{Quantile: 0.5, Rate: 0.2, MinNorm: 0, MaxNorm: 9, CountExponent: -1}).next(1, 60, 100), math.Exp(-0.2*0.3); math.Abs(got-want) > 1e-15 {
		t.Errorf("next %v, want %v", got, want)
	}
}

func TestAdaptiveMisuse(t *testing.T) {
	p := adaptivePlan(t, 0.5, nil)
	sum := make([]float32, 32)
	for name, add := range map[string]func(a *Accumulator) error{
		"without a count":   func(a *Accumulator) error { return a.Add(sum, 3) },
		"more than records": func(a *Accumulator) error { return a.AddCounted(sum, 3, 4) },
		"fewer than none":   func(a *Accumulator) error { return a.AddCounted(sum, 3, -1) },
	} {
		a := NewAccumulator(p)
		if err := add(a); !errors.Is(err, ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
		if err := a.AddCounted(sum, 1, 1); !errors.Is(err, ErrMisuse) {
			t.Errorf("%s: the step can go on: %v", name, err)
		}
	}
	fixed := NewAccumulator(noisePlan(t, 32, nil))
	if err := fixed.AddCounted(sum, 3, 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("a count under a fixed norm: %v", err)
	}
	// The bound of a microbatch's sum follows C_t.
	a := NewAccumulator(p)
	if err := a.SetClipNorm(0.01); err != nil {
		t.Fatal(err)
	}
	sum[0] = 0.05
	if err := a.AddCounted(sum, 3, 1); !errors.Is(err, ErrSensitivity) {
		t.Errorf("a sum longer than 3 C_t: %v", err)
	}
}

// A stepper goes on from a checkpoint's C_t; a step that is dropped, or cancelled in its noise,
// leaves it; a seed fixes the whole trajectory.
func TestAdaptiveResumes(t *testing.T) {
	seed := uint64(3)
	p := adaptivePlan(t, 0.5, func(c *Config) { c.Seed = &seed })
	run := func(start float64, steps int) (norms []float64) {
		s := mustStepper(t, p, 2000, StepperOptions{ClipNorm: start})
		for n := range steps {
			norms = append(norms, s.ClipNorm())
			if _, err := s.Begin(t.Context(), int64(n)+1); err != nil { // dropped
				t.Fatal(err)
			}
			st, err := s.Begin(t.Context(), int64(n)+1)
			if err != nil {
				t.Fatal(err)
			}
			if s.ClipNorm() != norms[n] {
				t.Fatal("a dropped step moved the clipping norm")
			}
			if err := st.AddCounted(make([]float32, 32), len(st.Records()), len(st.Records())); err != nil {
				t.Fatal(err)
			}
			if err := st.Release(t.Context(), make([]float32, 32)); err != nil {
				t.Fatal(err)
			}
		}
		return append(norms, s.ClipNorm())
	}
	norms := run(0, 5)
	if norms[0] != 0.1 || !slices.Equal(norms, run(0, 5)) {
		t.Errorf("trajectory %v", norms)
	}
	if math.Abs(math.Log(norms[5]/norms[0])+5*0.2*0.5) > 0.3 { // all within: b~ is about 1
		t.Errorf("trajectory %v", norms)
	}
	if again := run(norms[3], 1); again[0] != norms[3] || again[1] == norms[3] {
		t.Errorf("resumed at %v: %v", norms[3], again)
	}
	l := mustCreate(t, ledgerPath(t), p)
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1), 1e-9, 1e9} {
		if _, err := NewStepper(l, 2000, StepperOptions{ClipNorm: bad}); !errors.Is(err, ErrInvalid) {
			t.Errorf("clipping norm %g: %v", bad, err)
		}
	}
	fixed := mustCreate(t, ledgerPath(t), smallPlan(t, 5))
	if _, err := NewStepper(fixed, 100, StepperOptions{ClipNorm: 0.4}); !errors.Is(err, ErrInvalid) {
		t.Errorf("another clipping norm than the plan's: %v", err)
	}
}

// Units that are added alone: one more moves the released pair by at most 1/sigma, at any C_t, and
// the others' part not at all.
func TestSensitivityOfAdaptiveUnits(t *testing.T) {
	worst := 0.0
	rapid.Check(t, func(t *rapid.T) {
		const d = 12
		c := Config{Records: 40, SampleRate: 1, Steps: 1, NoiseMultiplier: 0.7, ClipNorm: 0.3, Dim: d, RecordsPerUnit: 5,
			Delta: 1e-3, Optimizer: Adam(1), Clipping: Clipping{Adaptive: &Adaptive{Quantile: 0.5, CountNoise: 0.8}}}
		p, err := NewPlan(c)
		if err != nil {
			t.Fatal(err)
		}
		a := p.spec.adaptive()
		now := min(max(math.Exp(rapid.Float64Range(math.Log(a.MinNorm), math.Log(a.MaxNorm)).Draw(t, "log C_t")), a.MinNorm), a.MaxNorm)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		acc := NewAccumulator(p)
		if err := acc.SetClipNorm(now); err != nil {
			t.Fatal(err)
		}
		add := func() {
			sum, square := make([]float32, d), 0.0
			scale := now * math.Exp(3*rng.NormFloat64())
			for i := range sum {
				sum[i] = float32(scale * rng.NormFloat64())
				square += float64(sum[i]) * float64(sum[i])
			}
			norm, to := math.Sqrt(square), p.spec.clipTo(now)
			factor := min(1, to/norm)
			if rng.IntN(8) == 0 { // not finite
				factor, norm = 0, math.NaN()
			}
			if err := acc.AddUnitCounted(sum, factor, norm <= to); err != nil {
				t.Fatal(err)
			}
		}
		for range rng.IntN(20) {
			add()
		}
		k, m := slices.Clone(acc.k), a.countSteps(acc.doubled)
		add()
		x := moved(p, acc.k, k, a.countSteps(acc.doubled), m)
		if worst = max(worst, x*0.7); x > 1/0.7 {
			t.Fatalf("moved by %v standard deviations, 1/sigma is %v", x, 1/0.7)
		}
	})
	if worst < 0.99 {
		t.Errorf("the largest move was %g of 1/sigma: the test did not come near the bound", worst)
	}
}

func TestAdaptiveUnitMisuse(t *testing.T) {
	units := func(c *Config) { c.RecordsPerUnit, c.Microbatch = 3, 1 }
	sum := make([]float32, 32)
	for name, c := range map[string]struct {
		plan *Plan
		add  func(a *Accumulator) error
	}{
		"a unit without its bit":   {adaptivePlan(t, 0.5, units), func(a *Accumulator) error { return a.AddUnit(sum, 1) }},
		"a microbatch of units":    {adaptivePlan(t, 0.5, units), func(a *Accumulator) error { return a.AddCounted(sum, 3, 1) }},
		"a unit among records":     {adaptivePlan(t, 0.5, nil), func(a *Accumulator) error { return a.AddUnitCounted(sum, 1, true) }},
		"a bit under a fixed norm": {adaptivePlan(t, 0.5, func(c *Config) { units(c); c.Clipping = Clipping{} }), func(a *Accumulator) error { return a.AddUnitCounted(sum, 1, true) }},
	} {
		if err := c.add(NewAccumulator(c.plan)); !errors.Is(err, ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
