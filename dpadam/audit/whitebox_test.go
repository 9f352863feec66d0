package audit

import (
	"context"
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// exactNoise is the noise multiplier at which steps steps without sampling are exactly
// (2, 1e-5)-private, so that no slack of an accountant hides a fault.
func exactNoise(steps int64) float64 { return math.Sqrt(float64(steps)) / GaussianMu(2, 1e-5) }

// testBox is an audit of the claim epsilon = 2 at delta = 1e-5.
func testBox(canaries int, steps int64) WhiteBox {
	return WhiteBox{Canaries: canaries, Epsilon: 2, NoiseMultiplier: exactNoise(steps), Delta: 1e-5, Steps: steps, Options: Options{Significance: 0.05}}
}

// chance bounds the probability that the bound of a run of Gaussian parameter mu lies above
// (or not above) epsilon, from the binomial of its right guesses.
func chance(s Size, mu, epsilon float64, above bool) float64 {
	s.Epsilon = epsilon
	b := distuv.Binomial{N: float64(s.Guesses), P: s.right(mu)}
	below := b.CDF(float64(s.critical()) - 1)
	if above {
		return 1 - below
	}
	return below
}

// The real path keeps its claim, and the audit is sharp enough to say something: a run of exactly
// epsilon = 2 gives a bound in [0.7, 2]. Fresh coins and keys every time; the logged
// false-reject rate is computed from the size and held below 1e-5.
func TestCorrectRunIsNotRefuted(t *testing.T) {
	r, err := testBox(20000, 3).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	size := Size{Canaries: 20000, Guesses: r.Guesses, Epsilon: 2, Delta: 1e-5, Significance: 0.05}
	rate := chance(size, GaussianMu(2, 1e-5), 0.7, false) + chance(size, GaussianMu(2, 1e-5), 2, true)
	t.Logf("bound %.3f, Gaussian %.3f, %d of %d guesses right of %d canaries; false-reject rate %.1e", r.Bound, *r.Other, r.Correct, r.Guesses, r.Canaries, rate)
	if rate > 1e-5 {
		t.Errorf("the test rejects a correct run with probability %.1e", rate)
	}
	if r.Bound < 0.7 || r.Bound > 2 || r.Refuted || r.Faults != nil {
		t.Errorf("a correct run's bound is %g, claimed 2; faults %q", r.Bound, r.Faults)
	}
}

// Twenty correct runs of the smaller audit of the notes (10,000 canaries): at most 3 above the
// claim. Were each above it with the whole significance of 5 %, 4 or more of 20 would have
// probability 1.6 %. A run of this size is above it with probability 1e-17, so that the first
// assertion fails with probability below 1e-60; the Gaussian bound is about 1.35 with a standard
// deviation of 0.12, so that the second fails below 1e-20.
func TestTwentyCorrectRuns(t *testing.T) {
	onlyComputes(t)
	above, gaussian := 0, 0
	for range 20 {
		r, err := testBox(10000, 2).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Refuted {
			above++
		}
		if *r.Other > 2 {
			gaussian++
		}
	}
	t.Logf("above the claim: %d of 20, by the Gaussian bound %d", above, gaussian)
	if above > 3 || gaussian > 3 {
		t.Errorf("above the claim: %d of 20, by the Gaussian bound %d", above, gaussian)
	}
}

// The verb's default: the noise is calibrated by the accountant, the claim is what it says,
// and with too little noise for the claim the audit says so (power above 0.999).
func TestWhiteBoxClaims(t *testing.T) {
	w := WhiteBox{Canaries: 20000, Epsilon: 2, Delta: 1e-5, Steps: 2, Options: Options{Significance: 0.05}}
	calibrated, err := w.Run(t.Context())
	if err != nil || calibrated.Refuted || calibrated.Claimed != 2 {
		t.Errorf("calibrated: %+v, %v", calibrated, err)
	}
	w.NoiseMultiplier = calibrated.NoiseMultiplier / 2.5
	bad, err := w.Run(t.Context())
	if err != nil || !bad.Refuted || !(*bad.Power > 0.999) {
		t.Errorf("1/2.5 of the noise: %+v, %v", bad, err)
	}
	w.Epsilon = 0
	priced, err := w.Run(t.Context())
	if err != nil || priced.Refuted || priced.Claimed <= 2 {
		t.Errorf("the same noise at its own price: %+v, %v", priced, err)
	}
}

// With sampling: the bound stays below the accountant's, batches and noise show no fault (false-alarm
// rate 2e-6), and there is no power without a formula for it.
func TestWhiteBoxWithSampling(t *testing.T) {
	w := WhiteBox{Canaries: 4000, NoiseMultiplier: 3, Delta: 1e-6, SampleRate: 0.2, Steps: 40, Options: Options{Significance: 1e-3}}
	r, err := w.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("bound %.3f, claimed %.3f, area %.3f, sampling %+v", r.Bound, r.Claimed, r.Area, *r.Sampling)
	if r.Refuted || r.Faults != nil || r.Power != nil || r.Other != nil {
		t.Errorf("%+v", r)
	}
	// The attack sees records come and go: an area of about 0.61, with a standard deviation of 0.009.
	if r.Area < 0.56 {
		t.Errorf("area %g: the attack is blind", r.Area)
	}
}

// A seed makes the audit a function of it, coins included; without one nothing repeats.
func TestAuditSeeds(t *testing.T) {
	seed := uint64(5)
	for _, s := range []*uint64{&seed, nil} {
		w := testBox(2000, 1)
		w.Seed = s
		a, err1 := w.Run(t.Context())
		b, err2 := w.Run(t.Context())
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		same := 0
		for i := range a.Scores.Score {
			if a.Scores.Score[i] == b.Scores.Score[i] {
				same++
			}
		}
		if s != nil && same != 2000 || s == nil && same > 20 {
			t.Errorf("seed %v: %d of 2000 scores repeat", s, same)
		}
	}
}

func TestWhiteBoxRefuses(t *testing.T) {
	for name, change := range map[string]func(w *WhiteBox){
		"no canaries":          func(w *WhiteBox) { w.Canaries = 0 },
		"no steps":             func(w *WhiteBox) { w.Steps = 0 },
		"no claim":             func(w *WhiteBox) { w.Epsilon, w.NoiseMultiplier = 0, 0 },
		"negative claim":       func(w *WhiteBox) { w.Epsilon, w.NoiseMultiplier = -1, 0 },
		"rate above 1":         func(w *WhiteBox) { w.SampleRate = 1.5 },
		"too few to fail":      func(w *WhiteBox) { w.Canaries, w.Epsilon = 1000, 8 },
		"too few guesses":      func(w *WhiteBox) { w.Guesses = 5 },
		"more guesses":         func(w *WhiteBox) { w.Guesses = 20000 },
		"negative guesses":     func(w *WhiteBox) { w.Guesses = -1 },
		"significance":         func(w *WhiteBox) { w.Significance = 1 },
		"unknown accountant":   func(w *WhiteBox) { w.Accountant = "moments" },
		"negative noise":       func(w *WhiteBox) { w.NoiseMultiplier = -1 },
		"delta above 1":        func(w *WhiteBox) { w.Delta = 2 },
		"not a number claimed": func(w *WhiteBox) { w.Epsilon = math.NaN() },
	} {
		w := testBox(10000, 1)
		change(&w)
		if _, err := w.Run(t.Context()); !errors.Is(err, dpadam.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := testBox(1000, 1).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Run(t.Context(), nil, Gradients{In: []bool{true}, ClipNorm: 0.1}, Attack{1, 1}, 1); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("a clipping norm that float32 rounds: %v", err)
	}
}

// The score is the log likelihood ratio: by the densities themselves, without overflow far out,
// and at q = 1 linear in x.
func TestAttackScore(t *testing.T) {
	a := Attack{SampleRate: 0.3, NoiseMultiplier: 0.7}
	density := func(x, mean float64) float64 { return distuv.Normal{Mu: mean, Sigma: 0.7}.Prob(x) }
	for _, x := range []float64{-2, 0, 0.5, 1, 3} {
		near(t, "score", a.Score(x), math.Log((0.7*density(x, 0)+0.3*density(x, 1))/density(x, 0)), 1e-12)
	}
	near(t, "far out", a.Score(1e6), math.Log(0.3)+(2e6-1)/(2*0.49), 1e-6)
	near(t, "far below", a.Score(-1e6), math.Log(0.7), 1e-12)
	all := Attack{SampleRate: 1, NoiseMultiplier: 2}
	near(t, "q = 1", all.Score(3)-all.Score(1), 2.0/4, 1e-15)
}

// The Poisson check keeps its level, for few records and rare samples too: over 1,000 runs of the
// real sampler Least falls below 0.01 at most 29 times (P[Bin(1000, 0.01) > 29] = 1e-7, in each
// of the five settings), and never below the p-value of a fault.
func TestCheckPoissonLevel(t *testing.T) {
	onlyComputes(t)
	seed := testSeed(t)
	for _, c := range []struct {
		n, steps int
		q        float64
	}{{300, 30, 0.1}, {50, 20, 0.01}, {3000, 10, 0.002}, {200, 40, 0.5}, {1, 5, 0.3}} {
		low, least := 0, 1.0
		for k := range uint64(1000) {
			s := seed + k
			plan, err := dpadam.NewPlan(dpadam.Config{Records: int64(c.n), SampleRate: c.q, Steps: int64(c.steps), NoiseMultiplier: 1, ClipNorm: 1, Dim: 1,
				Delta: 1e-5, Optimizer: dpadam.SGD(1, 0), Seed: &s})
			if err != nil {
				t.Fatal(err)
			}
			key, err := dpadam.NewSamplingKey(plan)
			if err != nil {
				t.Fatal(err)
			}
			sampler, err := dpadam.NewSampler(plan, c.n, key)
			if err != nil {
				t.Fatal(err)
			}
			batches := make([][]int, c.steps)
			for i := range batches {
				if batches[i], err = sampler.Sample(nil, uint64(i)); err != nil {
					t.Fatal(err)
				}
			}
			p, err := CheckPoisson(batches, c.n, c.q)
			if err != nil {
				t.Fatal(err)
			}
			if p.Least() < 0.01 {
				low++
			}
			least = min(least, p.Least())
		}
		t.Logf("%d records, %d steps, q = %g: below 0.01 in %d of 1000, the least %.1e", c.n, c.steps, c.q, low, least)
		if low > 29 || least < fault {
			t.Errorf("%d records, %d steps, q = %g: below 0.01 in %d of 1000, the least %g", c.n, c.steps, c.q, low, least)
		}
	}
	near(t, "two-sided p", binomialTails(2, 10, 0.5), 2*56.0/1024, 1e-15)
	near(t, "two-sided p", binomialTails(0, 0, 0.25), 1, 0)
	near(t, "two-sided p", binomialTails(10, 10, 0.5), 2.0/1024, 1e-15)
	for name, f := range map[string]func() error{
		"q = 1":         func() error { _, err := CheckPoisson([][]int{{0}}, 1, 1); return err },
		"no batches":    func() error { _, err := CheckPoisson(nil, 1, 0.5); return err },
		"record beyond": func() error { _, err := CheckPoisson([][]int{{5}}, 5, 0.5); return err },
	} {
		if err := f(); !errors.Is(err, dpadam.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
