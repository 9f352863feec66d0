package audit

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit/evidence"
)

// The audit of the notes at its own size: claimed epsilon 2 at delta 1e-5, 10,000 canaries, one
// step without sampling. A run with its noise gives a bound in [0.7, 2], half of the noise more than
// 2, none more than 5. The seeds are fixed; with fresh ones the first fails with probability
// 2e-4, the second with 0.05 (Size.Power), the third never.
func TestAuditOfTheNotes(t *testing.T) {
	var rows [][]string
	for _, c := range []struct {
		noise     string
		factor    float64
		low, high float64
	}{{"as claimed", 1, 0.7, 2}, {"half", 0.5, 2, 4}, {"a tenth", 0.1, 4, 6}, {"none", 0, 5, 6}} {
		seed := uint64(plantedSeed)
		w := testBox(10000, 1)
		w.Seed = &seed
		r := audited(t, w, scaled(func(*dpadam.Plan) float64 { return c.factor }))
		if !(r.Bound > c.low && r.Bound <= c.high) || r.Refuted != (c.factor < 1) {
			t.Errorf("noise %s: bound %g, want in (%g, %g]", c.noise, r.Bound, c.low, c.high)
		}
		rows = append(rows, []string{c.noise, fmt.Sprintf("%d of %d", r.Correct, r.Guesses), fmt.Sprintf("%.3f", r.Area),
			fmt.Sprintf("%.2f", r.Bound), fmt.Sprintf("%.2f", *r.Other), r.Result.Verdict()})
	}
	evidence.Table(t, document, "notes", []string{"noise", "guesses right", "area under the ROC curve", "lower bound", "if Gaussian", "claim ε = 2"}, rows)
}

// The claim that people train under, epsilon = 8, needs MethodGaussian: 20,000 canaries, one step
// without sampling. A run with its noise stays below the claim, two thirds of the noise do not
// pass, nor does less; the one-run bound lets all of them pass. The seeds are fixed; with fresh ones
// the first assertion fails with probability below 1e-6, the second below 0.02, the others
// below 1e-6.
func TestAuditAtEpsilonEight(t *testing.T) {
	var rows [][]string
	for _, c := range []struct {
		noise  string
		factor float64
	}{{"as claimed", 1}, {"two thirds", 2.0 / 3}, {"half", 0.5}, {"none", 0}} {
		seed := uint64(plantedSeed)
		w := WhiteBox{Canaries: 20000, Epsilon: 8, NoiseMultiplier: 1 / GaussianMu(8, 1e-5), Delta: 1e-5, Steps: 1, Seed: &seed,
			Options: Options{Significance: 0.05, Method: MethodGaussian}}
		r := audited(t, w, scaled(func(*dpadam.Plan) float64 { return c.factor }))
		if r.Refuted != (c.factor < 1) || *r.Other > 8 || c.factor == 1 && (r.Bound < 4 || *r.Power < 0.999) {
			t.Errorf("noise %s: bound %g, one-run bound %g", c.noise, r.Bound, *r.Other)
		}
		rows = append(rows, []string{c.noise, fmt.Sprintf("%d of %d", r.Correct, r.Guesses), fmt.Sprintf("%.2f", r.Bound), fmt.Sprintf("%.2f", *r.Other), r.Result.Verdict()})
	}
	evidence.Table(t, document, "eight", []string{"noise", "guesses right", "lower bound (gaussian)", "one-run bound", "claim ε = 8"}, rows)
}

// How large an audit must be, at significance 0.05 and delta = 1e-5.
func TestSizesInTheDocument(t *testing.T) {
	var rows [][]string
	for _, epsilon := range []float64{0.5, 1, 2, 3, 4, 6, 8} {
		least, err := Size{Epsilon: epsilon, Delta: 1e-5, Significance: 0.05}.Fewest()
		if err != nil {
			t.Fatal(err)
		}
		cells := []string{strconv.FormatFloat(epsilon, 'g', -1, 64), strconv.Itoa(least)}
		for _, m := range []int{10000, 20000, 100000} {
			s := Size{Canaries: m, Epsilon: epsilon, Delta: 1e-5, Significance: 0.05}
			if s.Guesses, err = s.Choose(); err != nil {
				t.Fatal(err)
			}
			power, err := s.Power(2 * GaussianMu(epsilon, 1e-5))
			if err != nil {
				t.Fatal(err)
			}
			cell := fmt.Sprintf("%.2f (%d guesses)", power, s.Guesses)
			if s.Check() != nil {
				cell = "cannot fail"
			}
			cells = append(cells, cell)
		}
		s := Size{Canaries: 20000, Epsilon: epsilon, Delta: 1e-5, Significance: 0.05, Method: MethodGaussian}
		if s.Guesses, err = s.Choose(); err != nil {
			t.Fatal(err)
		}
		power, err := s.Power(2 * GaussianMu(epsilon, 1e-5))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, append(cells, fmt.Sprintf("%.2f (%d guesses)", power, s.Guesses)))
	}
	evidence.Table(t, document, "sizes", []string{"claimed ε", "fewest canaries", "half the noise found out, of 10,000", "of 20,000", "of 100,000", "of 20,000, `--bound gaussian`"}, rows)
}
