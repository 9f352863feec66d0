package audit

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mathext"
	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// normalScores are n canaries out, at the quantiles of N(0,1), and n in, at those of N(mu,1).
func normalScores(mu float64, n int) Scores {
	var s Scores
	for i := range n {
		x := mathext.NormalQuantile((float64(i) + 0.5) / float64(n))
		s.Score, s.In = append(s.Score, x, x+mu), append(s.In, false, true)
	}
	return s
}

// The areas and rates of others on the same scores.
func TestCurveAgainstReference(t *testing.T) {
	data, err := os.ReadFile(sharedData(t, "scores_normal.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Mu   float64 `json:"mu"`
		In   int     `json:"n_in"`
		Area float64 `json:"auroc"`
		At01 float64 `json:"tpr_at_fpr_0_01"`
		At1  float64 `json:"tpr_at_fpr_0_1"`
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		c, err := normalScores(row.Mu, row.In).ROC()
		if err != nil {
			t.Fatal(err)
		}
		at01, err1 := c.At(0.01)
		at1, err2 := c.At(0.1)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		t.Logf("mu %g, n %d: area %.10g (%.10g), %.10g (%.10g), %.10g (%.10g)", row.Mu, row.In, c.Area(), row.Area, at01, row.At01, at1, row.At1)
		near(t, "area", c.Area(), row.Area, 1e-9)
		near(t, "rate at 0.01", at01, row.At01, 1e-9)
		near(t, "rate at 0.1", at1, row.At1, 1e-9)
	}
}

// The curve by hand: scores 4 3 2 1 of canaries in, out, in, out.
func TestCurveByHand(t *testing.T) {
	c, err := Scores{Score: []float64{4, 3, 2, 1}, In: []bool{true, false, true, false}}.ROC()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.FalsePositive, []float64{0, 0, 0.5, 1}) || !slices.Equal(c.TruePositive, []float64{0, 0.5, 1, 1}) {
		t.Errorf("curve %+v", c)
	}
	near(t, "area", c.Area(), 0.875, 1e-15)
	for fp, want := range map[float64]float64{0: 0.5, 0.25: 0.75, 0.5: 1, 1: 1} {
		got, err := c.At(fp)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "rate", got, want, 1e-15)
	}
	if _, err := c.At(1.5); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("rate at 1.5: %v", err)
	}
	if _, err := (Scores{Score: []float64{1}, In: []bool{true}}).ROC(); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("no canary out: %v", err)
	}
	same, err := Scores{Score: make([]float64, 10), In: []bool{true, true, true, true, true, false, false, false, false, false}}.ROC()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "area of equal scores", same.Area(), 0.5, 1e-15)
}

// The curve is concave, ends in the corners, lies above every threshold's point and never has
// a smaller area than the rank statistic of Mann and Whitney, of which it is the hull.
func TestCurveProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "n")
		s := Scores{Score: make([]float64, n), In: make([]bool, n)}
		for i := range n {
			s.Score[i] = float64(rapid.IntRange(0, 12).Draw(t, "score"))
			s.In[i] = i == 0 || i > 1 && rapid.Bool().Draw(t, "in")
		}
		c, err := s.ROC()
		if err != nil {
			t.Fatal(err)
		}
		var wins, pairs float64
		for i := range n {
			for j := range n {
				if !s.In[i] || s.In[j] {
					continue
				}
				pairs++
				switch {
				case s.Score[i] > s.Score[j]:
					wins++
				case s.Score[i] == s.Score[j]:
					wins += 0.5
				}
			}
		}
		if c.Area() < wins/pairs-1e-12 {
			t.Fatalf("area %g below the rank statistic %g", c.Area(), wins/pairs)
		}
		last := len(c.FalsePositive) - 1
		if c.FalsePositive[0] != 0 || c.TruePositive[0] != 0 || c.FalsePositive[last] != 1 || c.TruePositive[last] != 1 {
			t.Fatalf("ends of %+v", c)
		}
		for i := 2; i <= last; i++ {
			dx1, dy1 := c.FalsePositive[i-1]-c.FalsePositive[i-2], c.TruePositive[i-1]-c.TruePositive[i-2]
			dx2, dy2 := c.FalsePositive[i]-c.FalsePositive[i-1], c.TruePositive[i]-c.TruePositive[i-1]
			if dy1*dx2 < dy2*dx1-1e-12 {
				t.Fatalf("not concave at %d: %+v", i, c)
			}
		}
	})
}

// Guesses: the ends of the order, ties broken without a look at the coins.
func TestGuess(t *testing.T) {
	s := Scores{Score: []float64{5, 1, 4, 2, 3}, In: []bool{true, false, false, true, true}}
	for guesses, correct := range []int{0, 1, 2, 2, 2, 3} {
		o, err := s.Guess(guesses, 1e-5)
		if err != nil || o != (OneRun{5, guesses, correct, 1e-5}) {
			t.Errorf("%d guesses: %+v, %v", guesses, o, err)
		}
	}
	tie := Scores{Score: make([]float64, 6), In: []bool{true, true, true, false, false, false}}
	flip := Scores{Score: tie.Score, In: []bool{false, false, false, true, true, true}}
	a, err1 := tie.Guess(6, 0)
	b, err2 := flip.Guess(6, 0)
	if err1 != nil || err2 != nil || a.Correct != 6 || b.Correct != 0 {
		t.Errorf("equal scores: %+v, %+v: the order looks at the coins", a, b)
	}
	for name, bad := range map[string]Scores{
		"none": {}, "lengths": {Score: []float64{1, 2}, In: []bool{true}}, "NaN": {Score: []float64{math.NaN()}, In: []bool{true}},
	} {
		if _, err := bad.Guess(0, 0); !errors.Is(err, dpadam.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Guess(6, 0); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("6 guesses of 5: %v", err)
	}
	if _, _, err := s.Best(nil, 0, 0.05); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("no choices: %v", err)
	}
}

// gaussianScores are what the sum of a Gaussian mechanism shows of m canaries.
func gaussianScores(m int, mu float64, rng *rand.Rand) Scores {
	s := Scores{Score: make([]float64, m), In: make([]bool, m)}
	for i := range m {
		s.In[i] = rng.Uint64()&1 == 1
		s.Score[i] = rng.NormFloat64()
		if s.In[i] {
			s.Score[i] += mu
		}
	}
	return s
}

// The honest choices keep their level: on scores that know nothing (epsilon = 0) Best over
// many numbers of guesses, and the Gaussian bound, refute the truth in at most the
// significance; the largest of the uncorrected bounds does it much more often, which is what
// the correction is for. 1000 trials at level 0.1: more than 151 refutations has probability
// 1e-7 for each of the two assertions (P[Bin(1000, 0.1) > 151] = 1.7e-7); at most 151 by the
// uncorrected one, whose rate is about 0.3, below 1e-15.
func TestChoosingGuessesIsHonest(t *testing.T) {
	onlyComputes(t)
	const trials, significance, limit = 1000, 0.1, 151
	seed := testSeed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	choices := []int{4, 8, 16, 32, 64, 128, 256}
	honest, greedy, gaussian := 0, 0, 0
	for range trials {
		s := gaussianScores(256, 0, rng)
		if _, e, err := s.Best(choices, 0, significance); err != nil {
			t.Fatal(err)
		} else if e > 0 {
			honest++
		}
		for _, k := range choices {
			o, err := s.Guess(k, 0)
			if err != nil {
				t.Fatal(err)
			}
			if o.pValue(0) < significance {
				greedy++
				break
			}
		}
		// Gaussian noise of mu = 1/2 against its own claim.
		o, err := gaussianScores(256, 0.5, rng).Guess(64, 1e-5)
		if err != nil {
			t.Fatal(err)
		}
		if o.refutesGaussian(significance, 0.5) {
			gaussian++
		}
	}
	t.Logf("refuted in %d trials: corrected %d, uncorrected %d, Gaussian %d", trials, honest, greedy, gaussian)
	if honest > limit || gaussian > limit {
		t.Errorf("corrected %d, Gaussian %d of %d: above the significance", honest, gaussian, trials)
	}
	if greedy <= limit {
		t.Errorf("uncorrected %d of %d: the test sees no effect of choosing", greedy, trials)
	}
}

// Sizes: every guess right refutes from Fewest on and not below; the audit of the notes
// at epsilon = 8; the chosen number of guesses can fail where any can.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		epsilon, delta float64
		want           int
	}{{2, 0, 24}, {8, 0, 8932}, {8, 1e-5, 12977}, {0.1, 0, 5}} {
		got, err := Size{Epsilon: c.epsilon, Delta: c.delta, Significance: 0.05}.Fewest()
		if err != nil || got != c.want {
			t.Errorf("epsilon %g, delta %g: %d canaries, want %d, %v", c.epsilon, c.delta, got, c.want, err)
		}
		for m, can := range map[int]bool{got: true, got - 1: false} {
			if err := (Size{m, m, c.epsilon, c.delta, 0.05, ""}).Check(); (err == nil) != can {
				t.Errorf("epsilon %g with %d canaries: %v", c.epsilon, m, err)
			}
		}
	}
	for _, m := range []int{24, 100, 1000, 10000, 20000} {
		for _, epsilon := range []float64{0.1, 1, 2, 4, 8} {
			s := Size{Canaries: m, Epsilon: epsilon, Delta: 1e-5, Significance: 0.05}
			var err error
			if s.Guesses, err = s.Choose(); err != nil {
				t.Fatal(err)
			}
			least, err := s.Fewest()
			if err != nil {
				t.Fatal(err)
			}
			if can := s.Check() == nil; can != (m >= least) {
				t.Errorf("m %d, epsilon %g: %d guesses, can fail: %t; %d canaries are needed", m, epsilon, s.Guesses, can, least)
			}
		}
	}
}

// Power is what simulations of a Gaussian mechanism give: 300 runs against a predicted
// probability p; |difference| > 5 sqrt(p(1-p)/300) + 0.05 (of the normal approximation) has
// probability below 1e-6.
func TestPowerIsWhatSimulationsGive(t *testing.T) {
	onlyComputes(t)
	seed := testSeed(t)
	rng := rand.New(rand.NewPCG(seed, 2))
	s := Size{Canaries: 4000, Epsilon: 2, Delta: 1e-5, Significance: 0.05}
	var err error
	if s.Guesses, err = s.Choose(); err != nil {
		t.Fatal(err)
	}
	for _, factor := range []float64{1, 2, 3} {
		mu := factor * GaussianMu(s.Epsilon, s.Delta)
		p, err := s.Power(mu)
		if err != nil {
			t.Fatal(err)
		}
		refuted, critical := 0, s.critical()
		for range 300 {
			o, err := gaussianScores(s.Canaries, mu, rng).Guess(s.Guesses, s.Delta)
			if err != nil {
				t.Fatal(err)
			}
			if o.Correct >= critical {
				refuted++
			}
		}
		got := float64(refuted) / 300
		t.Logf("1/%g of the noise: %d guesses, refuted in %.3f of the runs, predicted %.3f", factor, s.Guesses, got, p)
		if math.Abs(got-p) > 5*math.Sqrt(p*(1-p)/300)+0.05 {
			t.Errorf("1/%g of the noise: refuted in %.3f of the runs, predicted %.3f", factor, got, p)
		}
	}
}

// The Gaussian test as a Size: more right guesses never refute less, Fewest is where refuting
// begins, and the chosen number of guesses finds out half the noise at claims where the one-run
// bound is blind.
func TestGaussianSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.IntRange(1, 400).Draw(t, "m")
		r := rapid.IntRange(1, m).Draw(t, "r")
		v := rapid.IntRange(0, r-1).Draw(t, "v")
		mu := rapid.Float64Range(0.01, 6).Draw(t, "mu")
		o := OneRun{m, r, v, 1e-5}
		better := o
		better.Correct++
		if o.refutesGaussian(0.05, mu) && !better.refutesGaussian(0.05, mu) {
			t.Fatalf("%+v refutes mu = %g, with one more right guess it does not", o, mu)
		}
	})
	for _, epsilon := range []float64{0.5, 2, 8} {
		s := Size{Epsilon: epsilon, Delta: 1e-5, Significance: 0.05, Method: MethodGaussian}
		least, err := s.Fewest()
		if err != nil {
			t.Fatal(err)
		}
		for m, can := range map[int]bool{least: true, least - 1: false} {
			s.Canaries, s.Guesses = m, m
			if m == 0 {
				continue
			}
			if err := s.Check(); (err == nil) != can {
				t.Errorf("epsilon %g with %d canaries: %v", epsilon, m, err)
			}
		}
		s.Canaries = 20000
		if s.Guesses, err = s.Choose(); err != nil {
			t.Fatal(err)
		}
		power, err := s.Power(2 * GaussianMu(epsilon, 1e-5))
		if err != nil || power < 0.99 {
			t.Errorf("epsilon %g: %d guesses, power %g, %v", epsilon, s.Guesses, power, err)
		}
		t.Logf("epsilon %g: fewest %d, %d guesses of 20,000, power %.4f", epsilon, least, s.Guesses, power)
	}
	if _, err := ParseMethod("bayes"); !errors.Is(err, dpadam.ErrInvalid) {
		t.Errorf("unknown method: %v", err)
	}
}
