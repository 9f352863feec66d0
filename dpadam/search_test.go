package dpadam

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustSearch(t testing.TB, distribution string, shape, mean float64, cells ...[]BudgetEvent) *SearchSpec {
	t.Helper()
	s, err := NewSearchSpec(distribution, shape, mean)
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) == 0 {
		cells = [][]BudgetEvent{{{1, 1, 1, nil}}}
	}
	return s.WithCells(cells...)
}

// searchesOfTests are the distributions that the tests below look at.
var searchesOfTests = []struct {
	distribution string
	shape, mean  float64
}{
	{SearchNegativeBinomial, 1, 10}, {SearchNegativeBinomial, 0, 10}, {SearchNegativeBinomial, 0.5, 30}, {SearchNegativeBinomial, -0.5, 5},
	{SearchNegativeBinomial, 3, 20}, {SearchNegativeBinomial, 1, 1.5}, {SearchPoisson, 0, 10}, {SearchPoisson, 0, 1},
}

// logPMF is log P[K = k] by the closed forms of the paper.
func logPMF(s *SearchSpec, k int) float64 {
	lg := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	n := float64(k)
	if s.Distribution == SearchPoisson {
		return n*math.Log(s.Mean) - s.Mean - lg(n+1)
	}
	if s.Shape == 0 {
		return n*math.Log1p(-s.Gamma) - math.Log(n) - math.Log(-math.Log(s.Gamma))
	}
	// prod_{l<k} (l+eta)/(l+1) = Gamma(k+eta)/(Gamma(eta) k!), of one sign with gamma^-eta - 1.
	gamma, _ := math.Lgamma(s.Shape)
	return n*math.Log1p(-s.Gamma) + lg(n+s.Shape) - gamma - lg(n+1) - math.Log(math.Abs(math.Expm1(-s.Shape*math.Log(s.Gamma))))
}

// The weights that K is drawn by are the distribution of the paper, and E[K] is the mean that
// the accounting uses.
func TestSearchDistribution(t *testing.T) {
	for _, c := range searchesOfTests {
		s := mustSearch(t, c.distribution, c.shape, c.mean)
		var p []float64
		first := int64(-1)
		total := 0.0
		s.weights(func(k int64, w *big.Float) bool {
			if first < 0 {
				first = k
			}
			x, _ := w.Float64()
			p, total = append(p, x), total+x
			return true
		})
		mean := 0.0
		for i, x := range p {
			k := int(first) + i
			mean += float64(k) * x / total
			if want := logPMF(s, k); want > -30 && math.Abs(math.Log(x/total)-want) > 1e-9 {
				t.Errorf("%+v: log P[%d] = %v, want %v", c, k, math.Log(x/total), want)
			}
		}
		if math.Abs(mean/s.Mean-1) > 1e-9 || math.Abs(s.Mean/c.mean-1) > 1e-6 || first != map[string]int64{SearchPoisson: 0, SearchNegativeBinomial: 1}[c.distribution] {
			t.Errorf("%+v: mean %v, said %v; from %d", c, mean, s.Mean, first)
		}
	}
	// Shape 1 is geometric, shape 0 the limit of small shapes; a mean near 1 is always one run.
	g := mustSearch(t, "", 1, 4)
	if math.Abs(g.Gamma-0.25) > 1e-12 || math.Abs(logPMF(g, 3)-math.Log(0.25*0.75*0.75)) > 1e-12 {
		t.Errorf("geometric: %+v", g)
	}
	if a, b := mustSearch(t, "", 0, 10), mustSearch(t, "", 1e-9, 10); math.Abs(a.Gamma/b.Gamma-1) > 1e-6 {
		t.Errorf("shape 0 has gamma %v, 1e-9 has %v", a.Gamma, b.Gamma)
	}
	if one := mustSearch(t, "", 1, 1+1e-12); math.Exp(logPMF(one, 1)) < 1-1e-9 {
		t.Errorf("%+v", one)
	}
}

// Draws follow the distribution. Chi-squared over k = 1..12 and the rest, 4000 draws with
// random numbers of the operating system; the bound is the 1e-7 quantile of the chi-squared
// distribution with 13 degrees of freedom, so a right implementation fails once in 2 million
// tests of this kind.
func TestSearchDraws(t *testing.T) {
	const n, cells = 4000, 13
	for _, c := range searchesOfTests {
		s := mustSearch(t, c.distribution, c.shape, c.mean)
		seen, total := make([]float64, cells+1), s.total()
		for range n {
			k, err := s.draw(total, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			seen[min(k, cells)]++
		}
		chi, rest := 0.0, 1.0
		for k := range cells + 1 {
			p := rest
			if k < cells {
				if p = math.Exp(logPMF(s, k)); k == 0 && c.distribution != SearchPoisson {
					p = 0
				}
				rest -= p
			}
			if p == 0 && seen[k] > 0 {
				t.Errorf("%+v: drew %d", c, k)
			}
			if p*n > 1 {
				chi += (seen[k] - n*p) * (seen[k] - n*p) / (n * p)
			}
		}
		if chi > 60.0 {
			t.Errorf("%+v: chi-squared %v, %v", c, chi, seen)
		}
	}
	s := mustSearch(t, "", 1, 3)
	if k, err := s.draw(s.total(), bytes.NewReader(make([]byte, drawBits/8))); err != nil || k != 1 {
		t.Errorf("U = 0 draws %d, %v", k, err)
	}
	if _, err := s.draw(s.total(), bytes.NewReader(nil)); err == nil {
		t.Error("drawn without random numbers")
	}
	if k, err := s.draw(s.total(), bytes.NewReader(bytes.Repeat([]byte{0xff}, drawBits/8))); err != nil || k < 100 {
		t.Errorf("U near 1 draws %d, %v", k, err)
	}
	grid := mustSearch(t, "", 1, 3, []BudgetEvent{{1, 1, 1, nil}}, []BudgetEvent{{1, 2, 1, nil}}, []BudgetEvent{{1, 3, 1, nil}})
	count := make([]int, 3)
	for range 3000 {
		i, err := grid.DrawCell()
		if err != nil {
			t.Fatal(err)
		}
		count[i]++
	}
	for _, c := range count { // 7 standard deviations: fails once in 1e11
		if math.Abs(float64(c)-1000) > 7*math.Sqrt(3000*2/9.0) {
			t.Errorf("cells %v", count)
		}
	}
}

// The theorem, computed here in another way: one run is a Gaussian mechanism, whose
// divergence alpha/(2 sigma^2) needs no accountant, and both orders go over a fine grid of
// their own. Every order gives a valid bound, so neither may be much above the other.
func TestSearchTheorem(t *testing.T) {
	const sigma, delta = 3.0, 1e-6
	run := func(a float64) float64 { return a / (2 * sigma * sigma) }
	for _, c := range searchesOfTests {
		s := mustSearch(t, c.distribution, c.shape, c.mean, []BudgetEvent{{1, sigma, 1, nil}})
		got, err := s.Epsilon(t.Context(), AddRemove, delta)
		if err != nil {
			t.Fatal(err)
		}
		constant := math.Inf(1)
		for a := 1.0; a < 1500; a *= 1.001 {
			constant = math.Min(constant, (1+s.Shape)*(1-1/a)*run(a)+(1+s.Shape)*math.Log(1/s.Gamma)/a)
		}
		want := math.Inf(1)
		for a := 1.0005; a < 1500; a *= 1.0005 {
			tuned := run(a) + math.Log(s.Mean)/(a-1)
			if c.distribution == SearchPoisson {
				hat := math.Log(1 + 1/(a-1)) // the exact delta of the Gaussian mechanism is below this
				logDelta := 0.0
				for b := 1.001; b < 1500; b *= 1.01 {
					logDelta = math.Min(logDelta, (b-1)*(run(b)-hat+math.Log(1-1/b))-math.Log(b))
				}
				tuned += s.Mean * math.Exp(logDelta)
			} else {
				tuned += constant
			}
			want = math.Min(want, tuned+math.Log(1-1/a)-math.Log(delta*a)/(a-1))
		}
		if math.Abs(got.Epsilon/want-1) > 0.01 {
			t.Errorf("%+v: epsilon %v, want %v", c, got.Epsilon, want)
		}
	}
}

// The bound holds for a search that can be computed: a run gives N(0, sigma^2) or N(1, sigma^2),
// which is its score too, and the largest of K is released. With F and f of one run and the
// generating function G(z) = E[z^K], that has the density G'(F) f (and releases nothing with
// probability G(0)). The hockey-stick divergence at the epsilon that is claimed must not
// exceed delta, in neither direction; at a fifth of it, it must, or the bound says nothing.
func TestSearchBoundHolds(t *testing.T) {
	const sigma, delta = 2.0, 1e-5
	for _, c := range searchesOfTests {
		s := mustSearch(t, c.distribution, c.shape, c.mean, []BudgetEvent{{1, sigma, 1, nil}})
		r, err := s.Epsilon(t.Context(), AddRemove, delta)
		if err != nil {
			t.Fatal(err)
		}
		density := func(x, mean float64) float64 {
			z := (x - mean) / sigma
			above := 0.5 * math.Erfc(z/math.Sqrt2)
			return derivative(s, above) * math.Exp(-z*z/2) / (sigma * math.Sqrt(2*math.Pi))
		}
		stick := func(epsilon, m0, m1 float64) float64 {
			sum, h := 0.0, 1e-3
			for x := -20.0; x < 40; x += h {
				sum += h * math.Max(0, density(x, m0)-math.Exp(epsilon)*density(x, m1))
			}
			return sum
		}
		for _, way := range [][2]float64{{0, 1}, {1, 0}} {
			if d := stick(r.Epsilon, way[0], way[1]); d > delta {
				t.Errorf("%+v: delta %v at epsilon %v, claimed %v", c, d, r.Epsilon, delta)
			}
		}
		if d := math.Max(stick(r.Epsilon/5, 0, 1), stick(r.Epsilon/5, 1, 0)); d < delta {
			t.Errorf("%+v: delta %v at a fifth of epsilon %v: the test says nothing", c, d, r.Epsilon)
		}
	}
}

// derivative is G'(z) at z = 1 - above.
func derivative(s *SearchSpec, above float64) float64 {
	if s.Distribution == SearchPoisson {
		return s.Mean * math.Exp(-s.Mean*above)
	}
	u := s.Gamma + (1-s.Gamma)*above // 1 - (1-gamma) z
	if s.Shape == 0 {
		return (1 - s.Gamma) / u / -math.Log(s.Gamma)
	}
	return s.Shape * (1 - s.Gamma) * math.Pow(u, -s.Shape-1) / (math.Pow(s.Gamma, -s.Shape) - 1)
}

// A grid costs what its dearest cell costs, more runs cost more, and a search costs more than
// one run but, at ten runs, less than those composed.
func TestSearchIsMonotone(t *testing.T) {
	a, b := []BudgetEvent{{0.01, 1, 500, nil}, {1, 20, 5, nil}}, []BudgetEvent{{0.02, 1.5, 900, nil}}
	at := func(s *SearchSpec) float64 {
		r, err := s.Epsilon(t.Context(), AddRemove, 1e-6)
		if err != nil {
			t.Fatal(err)
		}
		return r.Epsilon
	}
	both, first, second := at(mustSearch(t, "", 1, 10, a, b, a)), at(mustSearch(t, "", 1, 10, a)), at(mustSearch(t, "", 1, 10, b))
	if both < math.Max(first, second) {
		t.Errorf("both %v, alone %v and %v", both, first, second)
	}
	if more := at(mustSearch(t, "", 1, 20, a)); more <= first {
		t.Errorf("20 runs cost %v, 10 cost %v", more, first)
	}
	t10 := BudgetTerms{Relation: AddRemove}
	one, _ := NewRDP().Epsilon(t10.composition(a), 1e-6)
	ten, _ := NewRDP().Epsilon(t10.composition([]BudgetEvent{{0.01, 1, 5000, nil}, {1, 20, 50, nil}}), 1e-6)
	if !(first > one.Epsilon && first < ten.Epsilon) {
		t.Errorf("one run %v, search %v, ten runs %v", one.Epsilon, first, ten.Epsilon)
	}
	if s := mustSearch(t, "", 1, 10, a, b, a); s.Grid != 3 || len(s.Cells) != 2 {
		t.Errorf("%+v", s)
	}
	t.Logf("one run %.3f, search of 10 %.3f, 10 composed %.3f", one.Epsilon, first, ten.Epsilon)
}

// The calibrated noise keeps the whole search to the target, and less would not.
func TestCalibrateSearch(t *testing.T) {
	for _, distribution := range []string{SearchNegativeBinomial, SearchPoisson} {
		shape := 0.0
		if distribution == SearchNegativeBinomial {
			shape = 1
		}
		s, err := NewSearchSpec(distribution, shape, 5)
		if err != nil {
			t.Fatal(err)
		}
		cells := func(sigma float64) [][]BudgetEvent {
			return [][]BudgetEvent{{{0.01, sigma, 300, nil}, {1, 30, 3, nil}}, {{0.02, sigma, 200, nil}, {1, 30, 3, nil}}}
		}
		sigma, tuned, err := CalibrateSearch(t.Context(), s, AddRemove, 1e-5, 4, cells)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tuned.Epsilon(t.Context(), AddRemove, 1e-5)
		less, err2 := s.WithCells(cells(sigma*0.999)...).Epsilon(t.Context(), AddRemove, 1e-5)
		if err != nil || err2 != nil || r.Epsilon > 4 || less.Epsilon <= 4 {
			t.Errorf("%s: sigma %v: epsilon %v, with less noise %v (%v, %v)", distribution, sigma, r.Epsilon, less.Epsilon, err, err2)
		}
	}
	s := mustSearch(t, "", 1, 5)
	if _, _, err := CalibrateSearch(t.Context(), s, AddRemove, 1e-5, 0.01, func(sigma float64) [][]BudgetEvent {
		return [][]BudgetEvent{{{1, sigma, 1, nil}, {1, 1, 1, nil}}}
	}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a target that evaluations alone exceed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Epsilon(ctx, AddRemove, 1e-5); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSearchSpecIsChecked(t *testing.T) {
	for _, c := range []struct {
		distribution string
		shape, mean  float64
	}{{"uniform", 1, 5}, {"", -1, 5}, {"", math.NaN(), 5}, {"", 1e9, 5}, {"", 1, 0.5}, {"", 1, math.NaN()}, {"", 1, 1e9}, {"", 1, 1}, {SearchPoisson, 1, 5}, {SearchPoisson, 0, 0.5}} {
		if _, err := NewSearchSpec(c.distribution, c.shape, c.mean); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for name, change := range map[string]func(*SearchSpec){
		"no cells": func(s *SearchSpec) { s.Cells = nil }, "an empty cell": func(s *SearchSpec) { s.Cells[0] = nil },
		"a smaller grid": func(s *SearchSpec) { s.Grid = 0 }, "another mean": func(s *SearchSpec) { s.Mean *= 0.9 },
		"no noise": func(s *SearchSpec) { s.Cells[0][0].NoiseMultiplier = 0 }, "gamma": func(s *SearchSpec) { s.Gamma = 0 },
	} {
		s := mustSearch(t, "", 1, 5)
		change(s)
		if _, err := s.Epsilon(t.Context(), AddRemove, 1e-5); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mustSearch(t, "", 1, 5).Epsilon(t.Context(), AddRemove, 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("delta 0: %v", err)
	}
}

// The plan of a run of a search has the price of the search, whatever was charged; its ledger
// and its statement say so.
func TestPlanOfASearch(t *testing.T) {
	c := evaluatedConfig()
	cell, relation, delta, err := CellOf(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	if relation != AddRemove || delta != 1e-4 {
		t.Errorf("%s, %v", relation, delta)
	}
	search := mustSearch(t, "", 1, 5, cell, []BudgetEvent{{0.1, 1, 30, nil}})
	c.Search = search
	p := mustPlan(t, c)
	want, err := search.Epsilon(t.Context(), AddRemove, accountedDelta(1e-4))
	if err != nil {
		t.Fatal(err)
	}
	for _, charges := range []Charges{{}, {1, 0}, {20, 4}} {
		if r, err := p.Epsilon(charges); err != nil || r.Epsilon != want.Epsilon || r.Delta != 1e-4 {
			t.Errorf("%+v: %v, want %v (%v)", charges, r.Epsilon, want.Epsilon, err)
		}
	}
	if r, err := p.Epsilon(Charges{2000, 4}); err != nil || r.Epsilon <= want.Epsilon {
		t.Errorf("more than planned: %v (%v)", r.Epsilon, err)
	}
	if again, err := ParsePlan(p.json); err != nil || again.Hash() != p.Hash() {
		t.Errorf("read back: %v", err)
	}
	path := ledgerPath(t)
	l := mustCreate(t, path, p)
	mustCharge(t, l, 1)
	mustEvaluate(t, l, 1)
	st := statementOf(t, path)
	text := strings.Join(strings.Fields(st.Text()), " ")
	if *st.Epsilon != want.Epsilon || st.Search == nil || st.Accountant != "rdp" {
		t.Errorf("%+v", st)
	}
	for _, say := range []string{"random stopping over 2 cells", "5 in expectation", "epsilon is that of the whole search", "stay secret"} {
		if !strings.Contains(text, say) {
			t.Errorf("the statement does not say %q:\n%s", say, st.Text())
		}
	}
	for name, change := range map[string]func(*Config){
		"another cell": func(c *Config) { c.Steps = 21 }, "a target": func(c *Config) { c.NoiseMultiplier, c.TargetEpsilon = 0, 3 },
		"another accountant": func(c *Config) { c.Accountant = "pld" }, "no privacy": func(c *Config) { c.NoiseMultiplier, c.NoPrivacy, c.Evaluation = 0, true, nil },
	} {
		c := evaluatedConfig()
		c.Search = search
		change(&c)
		if _, err := NewPlan(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However K and the cells are chosen, the bound is above that of the dearest single run.
func TestSearchCostsMoreThanARun(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shape := rapid.Float64Range(-0.9, 5).Draw(rt, "shape")
		s, err := NewSearchSpec("", shape, rapid.Float64Range(1.01, 100).Draw(rt, "mean"))
		if err != nil {
			rt.Skip()
		}
		cell := []BudgetEvent{{1, rapid.Float64Range(0.5, 100).Draw(rt, "sigma"), rapid.Int64Range(1, 50).Draw(rt, "count"), nil}}
		r, err := s.WithCells(cell).Epsilon(context.Background(), AddRemove, 1e-6)
		if err != nil {
			rt.Fatal(err)
		}
		terms := BudgetTerms{Relation: AddRemove}
		one, err := NewRDP().Epsilon(terms.composition(cell), 1e-6)
		if err != nil || r.Epsilon < one.Epsilon {
			rt.Fatalf("search %v, run %v (%v)", r.Epsilon, one.Epsilon, err)
		}
	})
}

func BenchmarkSearchDraw(b *testing.B) {
	s := mustSearch(b, "", 1, 100)
	for b.Loop() {
		if _, err := s.Draw(); err != nil {
			b.Fatal(err)
		}
	}
}
