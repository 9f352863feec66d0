package audit

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.12g, want %.12g", what, got, want)
	}
}

// The values of the project's notes, and bounds in closed form: with every one of r guesses
// right and delta = 0 the p-value is q^r, so the bound is -log(s^(-1/r) - 1).
func TestOneRunKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		o    OneRun
		want float64
	}{
		{OneRun{100, 100, 100, 0}, 3.492965},
		{OneRun{100, 100, 95, 0}, 2.172434},
		{OneRun{100, 100, 75, 1e-5}, 0.701941},
	} {
		got, err := c.o.Epsilon(0.05)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "the bound", got, c.want, 1e-6)
	}
	for _, r := range []int{5, 100, 1000, 8940} {
		for _, s := range []float64{0.05, 1e-3} {
			got, err := OneRun{10000, r, r, 0}.Epsilon(s)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "every guess right", got, max(0, -math.Log(math.Pow(s, -1/float64(r))-1)), 1e-9)
		}
	}
	// At epsilon = 0 guesses are fair coins: P[Bin(10, 1/2) >= 8] = 56/1024, and alpha is the
	// largest of 120/1024, (120+210)/2048, ...: (120+210+252+210)/4096.
	p, err := OneRun{20, 10, 8, 1e-3}.PValue(0)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p", p, 56.0/1024+2*20*1e-3*(120+210+252+210)/4096, 1e-13)
}

// p is the exact sum over the binomial, in rationals at q = 3/4 (epsilon = log 3), with alpha
// from its definition, all i.
func TestPValueAgainstExactSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.IntRange(1, 60).Draw(t, "r")
		o := OneRun{Canaries: r + rapid.IntRange(0, 20).Draw(t, "m-r"), Guesses: r, Correct: rapid.IntRange(0, r).Draw(t, "v"), Delta: rapid.Float64Range(0, 1e-3).Draw(t, "delta")}
		tail := make([]float64, r+2) // P[X >= k]
		sum := new(big.Rat)
		for k := r; k >= 0; k-- {
			x := new(big.Int).Binomial(int64(r), int64(k))
			x.Mul(x, new(big.Int).Exp(big.NewInt(3), big.NewInt(int64(k)), nil))
			sum.Add(sum, new(big.Rat).SetFrac(x, new(big.Int).Lsh(big.NewInt(1), uint(2*r))))
			tail[k], _ = sum.Float64()
		}
		alpha := 0.0
		for i := 1; i <= o.Correct; i++ {
			alpha = max(alpha, (tail[o.Correct-i]-tail[o.Correct])/float64(i))
		}
		want := min(1, tail[o.Correct]+2*float64(o.Canaries)*o.Delta*alpha)
		got, err := o.PValue(math.Log(3))
		if err != nil || math.Abs(got-want) > 1e-12 {
			t.Fatalf("%+v: p = %.15g, exactly %.15g, %v", o, got, want, err)
		}
	})
}

// Every epsilon below the bound is refuted, the bound is not crossed, more right guesses and a
// smaller delta never lower it, and no bound exceeds what all guesses right would give.
func TestOneRunProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.IntRange(1, 3000).Draw(t, "m")
		r := rapid.IntRange(0, m).Draw(t, "r")
		o := OneRun{m, r, rapid.IntRange(0, r).Draw(t, "v"), math.Pow(10, -rapid.Float64Range(3, 12).Draw(t, "-log10 delta"))}
		s := rapid.SampledFrom([]float64{0.05, 0.01, 1e-6}).Draw(t, "significance")
		bound := func(o OneRun) float64 {
			e, err := o.Epsilon(s)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		e := bound(o)
		for _, x := range []float64{0, 0.5, 0.9, 1} {
			if e > 0 && o.pValue(x*e) >= s {
				t.Fatalf("%+v: bound %g, but p(%g) = %g", o, e, x*e, o.pValue(x*e))
			}
		}
		if p := o.pValue(e + 1e-9); p < s*(1-1e-6) {
			t.Fatalf("%+v: bound %g, but p just above it is %g", o, e, p)
		}
		if o.Correct < r {
			better := o
			better.Correct++
			if bound(better) < e {
				t.Fatalf("%+v: one more right guess lowers the bound", o)
			}
		}
		exact := o
		exact.Delta = 0
		if bound(exact) < e {
			t.Fatalf("%+v: delta = 0 lowers the bound", o)
		}
		if most := bound(OneRun{m, r, r, o.Delta}); most < e {
			t.Fatalf("%+v: bound %g above the most %g", o, e, most)
		}
	})
}

// The Gaussian bound: mu inverts the privacy curve, delta of known mechanisms is right, and
// nothing is refuted by guesses no better than coins.
func TestGaussianKnownAnswers(t *testing.T) {
	// At epsilon = 0 delta is the total variation distance 2 Phi(mu/2) - 1.
	near(t, "mu at epsilon 0", GaussianMu(0, 2*phi(0.5)-1), 1, 1e-9)
	near(t, "delta(mu) = delta", gaussianDelta(2, GaussianMu(2, 1e-5)), 1e-5, 1e-15)
	near(t, "delta(mu) = delta", gaussianDelta(40, GaussianMu(40, 1e-12)), 1e-12, 1e-22)
	near(t, "log Phi at the joint", logPhi(-30.000001), math.Log(phi(-30.000001)), 1e-9)
	o := OneRun{1000, 1000, 900, 1e-5}
	got, err := o.GaussianEpsilon(0.05)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := o.Epsilon(0.05)
	if err != nil || !(got > plain) {
		t.Errorf("Gaussian bound %g, plain %g, %v", got, plain, err)
	}
	if got, err = (OneRun{1000, 1000, 500, 1e-5}).GaussianEpsilon(0.05); err != nil || got != 0 {
		t.Errorf("half the guesses right: %g, %v", got, err)
	}
	if _, err := (OneRun{10, 10, 10, 0}).GaussianEpsilon(0.05); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("delta = 0: %v", err)
	}
}

// Values of textbooks: 0 of 10 at 97.5 % one-sided is 1 - 0.025^(1/10); the rule of three.
func TestClopperPearsonKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		k, n         int
		s            float64
		lower, upper float64
	}{
		{0, 10, 0.025, 0, 1 - math.Pow(0.025, 0.1)},
		{10, 10, 0.025, math.Pow(0.025, 0.1), 1},
		{0, 1000000, 0.05, 0, 1 - math.Pow(0.05, 1e-6)},
		{1, 2, 0.05, 1 - math.Sqrt(0.95), math.Sqrt(0.95)},
		{5, 10, 0.025, 0.187086028447398, 0.812913971552602},
	} {
		upper, err := ClopperPearsonUpper(c.k, c.n, c.s)
		if err != nil {
			t.Fatal(err)
		}
		lower, err := ClopperPearsonLower(c.k, c.n, c.s)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "upper", upper, c.upper, 1e-12)
		near(t, "lower", lower, c.lower, 1e-12)
	}
	a := Membership{True: 900, In: 1000, False: 50, Out: 1000}
	got, err := a.Epsilon(0.05, false)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "epsilon", got, 2.599217850, 1e-8)
	// An attack that is good at saying "out" only counts with two sides.
	b := Membership{True: 1000, In: 1000, False: 500, Out: 1000}
	one, err1 := b.Epsilon(0.05, false)
	two, err2 := b.Epsilon(0.05, true)
	if err1 != nil || err2 != nil || !(two > 4 && one < 1) {
		t.Errorf("one-sided %g, two-sided %g, %v %v", one, two, err1, err2)
	}
}

func TestBoundsRefuse(t *testing.T) {
	for name, f := range map[string]func() error{
		"no canaries":          func() error { _, err := OneRun{}.Epsilon(0.05); return err },
		"more guesses":         func() error { _, err := OneRun{10, 11, 0, 0}.Epsilon(0.05); return err },
		"more right":           func() error { _, err := OneRun{10, 5, 6, 0}.PValue(1); return err },
		"negative":             func() error { _, err := OneRun{10, 5, -1, 0}.PValue(1); return err },
		"delta 1":              func() error { _, err := OneRun{10, 5, 5, 1}.PValue(1); return err },
		"delta NaN":            func() error { _, err := OneRun{10, 5, 5, math.NaN()}.PValue(1); return err },
		"negative epsilon":     func() error { _, err := OneRun{10, 5, 5, 0}.PValue(-1); return err },
		"infinite epsilon":     func() error { _, err := OneRun{10, 5, 5, 0}.PValue(math.Inf(1)); return err },
		"significance 0":       func() error { _, err := OneRun{10, 5, 5, 0}.Epsilon(0); return err },
		"significance NaN":     func() error { _, err := OneRun{10, 5, 5, 0}.GaussianEpsilon(math.NaN()); return err },
		"no trials":            func() error { _, err := ClopperPearsonUpper(0, 0, 0.05); return err },
		"successes":            func() error { _, err := ClopperPearsonLower(3, 2, 0.05); return err },
		"true positives":       func() error { _, err := Membership{True: 3, In: 2, Out: 2}.Epsilon(0.05, true); return err },
		"false positives":      func() error { _, err := Membership{True: 1, In: 2, False: 3, Out: 2}.Epsilon(0.05, true); return err },
		"power of mu NaN":      func() error { _, err := Size{100, 100, 1, 0, 0.05, ""}.Power(math.NaN()); return err },
		"epsilon of no audit":  func() error { _, err := Size{Epsilon: 30, Delta: 1e-3, Significance: 0.05}.Fewest(); return err },
		"negative claim":       func() error { _, err := Size{Canaries: 10, Epsilon: -1, Significance: 0.05}.Choose(); return err },
		"significance of size": func() error { return Size{100, 100, 1, 0, 2, ""}.Check() },
	} {
		if err := f(); !errors.Is(err, dpadam.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
