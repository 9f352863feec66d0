package dpadam

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

type goldenMoment struct {
	Q, Sigma, Alpha float64
	Relation        Relation
	LogMoment       string `json:"log_moment"`
}

func goldenMoments(t *testing.T) []goldenMoment {
	t.Helper()
	data, err := os.ReadFile("testdata/rdp.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []goldenMoment
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) < 400 {
		t.Fatalf("only %d golden rows", len(rows))
	}
	return rows
}

// The bound of every order against 40-digit quadrature of the definition: never below
// (but for the 1e-13 of the reference's own printing), at most 1e-9 above.
func TestLogMomentGolden(t *testing.T) {
	for _, g := range goldenMoments(t) {
		want, err := strconv.ParseFloat(g.LogMoment, 64)
		if err != nil {
			t.Fatal(err)
		}
		got := logMoment(rdpKey{g.Q, g.Sigma, g.Relation}, g.Alpha)
		if rel := got/want - 1; !(rel > -1e-13 && rel < 1e-9) {
			t.Errorf("q=%g sigma=%g alpha=%g %s: %.15g, want %.15g (%+.2e)",
				g.Q, g.Sigma, g.Alpha, g.Relation, got, want, rel)
		}
	}
}

// Three independent derivations agree: the integer sum, the signed series and the
// quadrature, wherever two of them apply.
func TestMomentMethodsAgree(t *testing.T) {
	compared := 0
	for _, q := range []float64{1e-5, 0.01, 0.3, 0.95} {
		for _, sigma := range []float64{0.15, 0.3, 0.7, 2, 20} {
			for _, alpha := range []float64{1.05, 1.5, 2, 2.5, 5, 7.3, 16, 40} {
				quad, ok := logMomentQuadrature(q, sigma, alpha, AddRemove)
				if !ok {
					t.Fatalf("no quadrature at sigma %g", sigma)
				}
				if s, ok := logMomentSeries(q, sigma, alpha); ok && alpha != math.Trunc(alpha) {
					compared++
					if math.Abs(s/quad-1) > 2e-9 {
						t.Errorf("q=%g sigma=%g alpha=%g: series %.15g quadrature %.15g", q, sigma, alpha, s, quad)
					}
				}
				if alpha == math.Trunc(alpha) {
					compared++
					if s := logMomentInteger(q, sigma, int(alpha)); math.Abs(s/quad-1) > 1e-9 {
						t.Errorf("q=%g sigma=%g alpha=%g: sum %.15g quadrature %.15g", q, sigma, alpha, s, quad)
					}
				} else if c := logMomentChord(q, sigma, alpha); c < quad*(1-1e-9) {
					t.Errorf("q=%g sigma=%g alpha=%g: chord %.15g below %.15g", q, sigma, alpha, c, quad)
				}
				r, ok := logMomentQuadrature(q, sigma, alpha, ReplaceOne)
				if !ok || r < quad || r > logMomentConvex(q, sigma, alpha)*(1+1e-9) {
					t.Errorf("q=%g sigma=%g alpha=%g: replace-one %g outside [%g, %g]",
						q, sigma, alpha, r, quad, logMomentConvex(q, sigma, alpha))
				}
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d comparisons", compared)
	}
}

// Below sigma of about 0.1 the series takes over: it must agree with the quadrature where
// both exist and be there where the quadrature is not.
func TestSmallSigmaUsesSeries(t *testing.T) {
	for _, sigma := range []float64{0.01, 0.03, 0.05, 0.08} {
		for _, alpha := range []float64{1.001, 1.1, 1.5, 4.5, 10.9} {
			got := logMoment(rdpKey{0.01, sigma, AddRemove}, alpha)
			// Jensen from below: A >= q^alpha e^{alpha(alpha-1)/2sigma^2} (keep one term of the mixture).
			low := alpha*math.Log(0.01) + alpha*(alpha-1)/2/sigma/sigma
			// Convexity from above: A <= 1-q+q e^{alpha(alpha-1)/2sigma^2}.
			high := math.Log1p(0.01 * math.Expm1(math.Min(alpha*(alpha-1)/2/sigma/sigma, 700)))
			if alpha*(alpha-1)/2/sigma/sigma > 700 {
				high = math.Log(0.01) + alpha*(alpha-1)/2/sigma/sigma + 1e-9
			}
			if !(got >= low && got >= 0 && got <= high*(1+1e-9)) {
				t.Errorf("sigma=%g alpha=%g: %g outside [%g, %g]", sigma, alpha, got, low, high)
			}
		}
	}
}

func TestLogNormalCDF(t *testing.T) {
	// mpmath 1.3: mp.log(mp.ncdf(x)), 50 digits.
	for _, c := range []struct{ x, want float64 }{
		{0, -0.69314718055994530942}, {-1, -1.8410216450092636}, {-5, -15.064998393988725},
		{-29.9, -451.32291245852867701}, {-30.1, -457.32956441638221506}, {-38, -726.5572160188201301},
		{-100, -5005.5242086942}, {6, -9.86587645524e-10}, {3, -0.00135080996474819},
	} {
		if got := logNormalCDF(c.x); math.Abs(got/c.want-1) > 1e-11 {
			t.Errorf("log Phi(%g) = %.15g, want %.15g", c.x, got, c.want)
		}
	}
}

// Edges that break other accountants: mistakes 12 and 13 of the notes (negative epsilon,
// failures at large epsilon, epsilon = 0.1 giving an absurd sigma).
func TestEpsilonEdges(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	acc := NewRDP()
	for _, c := range []struct {
		name            string
		q, sigma        float64
		steps           int64
		delta, min, max float64
	}{
		{"no sampling", 0, 1, 1000, 1e-5, 0, 0},
		{"no steps", 0.1, 1, 0, 1e-5, 0, 0},
		{"huge sigma", 0.01, 1e8, 1000, 1e-5, 0, 1e-4},
		{"huge sigma, full batch", 1, 1e6, 1, 1e-5, 0, 1e-4},
		{"tiny sigma", 0.01, 1e-3, 100, 1e-5, 1e5, 1e9},
		{"tiny sigma, full batch", 1, 1e-4, 1e6, 1e-5, 1e10, 1e16},
		{"tiny delta", 0.01, 1, 1000, 1e-300, 4, 200},
		{"large delta", 0.01, 1, 10, 0.9, 0, 0.5},
		{"almost full batch", 1 - 1e-12, 1, 1, 1e-5, 4, 6},
		{"tiny q, many steps", 1e-5, 1, 1e6, 1e-9, 0.05, 3},
		{"smallest q", 5e-324, 1, 1, 1e-5, 0, 0.2},
		{"many steps", 0.01, 1, 1e12, 1e-5, 1e5, 1e9},
	} {
		for _, rel := range []Relation{AddRemove, ReplaceOne} {
			comp, err := Compose(rel, Phase{c.q, c.sigma, c.steps})
			if err != nil {
				t.Fatal(err)
			}
			r, err := acc.Epsilon(comp, c.delta)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, rel, err)
				continue
			}
			limit := c.max
			if rel == ReplaceOne {
				limit *= 4
			}
			if !(r.Epsilon >= c.min && r.Epsilon <= limit) || !(r.Lower >= 0 && r.Lower <= r.Epsilon) {
				t.Errorf("%s, %s: epsilon %g (lower %g) outside [%g, %g]", c.name, rel, r.Epsilon, r.Lower, c.min, limit)
			}
		}
	}
}

func TestAccountantRefuses(t *testing.T) {
	acc := NewRDP()
	nan := math.NaN()
	for _, c := range []struct {
		q, sigma float64
		steps    int64
		delta    float64
	}{
		{-0.1, 1, 1, 1e-5}, {1.1, 1, 1, 1e-5}, {nan, 1, 1, 1e-5}, {math.Inf(1), 1, 1, 1e-5},
		{0.1, 0, 1, 1e-5}, {0.1, -1, 1, 1e-5}, {0.1, nan, 1, 1e-5}, {0.1, math.Inf(1), 1, 1e-5}, {0.1, 1e-9, 1, 1e-5},
		{0.1, 1, -1, 1e-5}, {0.1, 1, 1 << 60, 1e-5},
		{0.1, 1, 1, 0}, {0.1, 1, 1, 1}, {0.1, 1, 1, -1e-5}, {0.1, 1, 1, nan}, {0.1, 1, 1, 2},
	} {
		m := PoissonSubsampledGaussian{c.q, c.sigma}
		_, err := acc.Epsilon(Composition{AddRemove, []Event{{m, c.steps}}}, c.delta)
		var p *ParamError
		if !errors.Is(err, ErrInvalid) || !errors.As(err, &p) || p.Parameter == "" || p.Bound == "" {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	if _, err := acc.Epsilon(Composition{"swap", nil}, 1e-5); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown relation: %v", err)
	}
	if _, err := acc.Delta(Composition{AddRemove, nil}, -1); !errors.Is(err, ErrInvalid) {
		t.Errorf("negative epsilon: %v", err)
	}
	if _, err := NewAccountant("moments"); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown accountant: %v", err)
	}
}

// Properties over the whole parameter space: finite, never negative, lower <= epsilon, more
// steps or a larger q or a smaller sigma never cost less, replace-one never less than
// add-remove, and asking twice gives the same answer (mistake 12: reading epsilon must
// not change it).
func TestEpsilonProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := math.Pow(10, rapid.Float64Range(-6, 0).Draw(t, "log q"))
		sigma := math.Pow(10, rapid.Float64Range(-0.5, 2).Draw(t, "log sigma"))
		steps := rapid.Int64Range(0, 100000).Draw(t, "steps")
		delta := math.Pow(10, rapid.Float64Range(-12, -1).Draw(t, "log delta"))
		acc := NewRDP()
		eps := func(rel Relation, q, sigma float64, steps int64) float64 {
			c, err := Compose(rel, Phase{q, sigma, steps})
			if err != nil {
				t.Fatal(err)
			}
			r, err := acc.Epsilon(c, delta)
			if err != nil {
				t.Fatal(err)
			}
			if !(r.Epsilon >= 0) || math.IsInf(r.Epsilon, 0) || !(r.Lower >= 0 && r.Lower <= r.Epsilon) {
				t.Fatalf("epsilon %g lower %g", r.Epsilon, r.Lower)
			}
			return r.Epsilon
		}
		base := eps(AddRemove, q, sigma, steps)
		if again := eps(AddRemove, q, sigma, steps); again != base {
			t.Fatalf("second reading %g, first %g", again, base)
		}
		const slack = 1e-9
		for name, v := range map[string]float64{
			"one more step": eps(AddRemove, q, sigma, steps+1),
			"larger q":      eps(AddRemove, math.Min(1, q*1.1), sigma, steps),
			"smaller sigma": eps(AddRemove, q, sigma*0.95, steps),
			"replace-one":   eps(ReplaceOne, q, sigma, steps),
		} {
			if v < base*(1-slack)-1e-12 {
				t.Fatalf("%s: %g < %g", name, v, base)
			}
		}
		if base > 0 {
			c, _ := Compose(AddRemove, Phase{q, sigma, steps})
			r, err := acc.Delta(c, base)
			if err != nil || r.Delta > delta*(1+1e-6) {
				t.Fatalf("delta(%g) = %g, want at most %g (%v)", base, r.Delta, delta, err)
			}
		}
	})
}

func TestParsePhases(t *testing.T) {
	p, err := ParsePhases([]byte(`[{"sample_rate":0.01,"noise_multiplier":0.8,"steps":500},{"sample_rate":1,"noise_multiplier":20,"steps":1}]`))
	if err != nil || len(p) != 2 || p[1] != (Phase{1, 20, 1}) {
		t.Fatalf("%v %v", p, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `[{}]`, `[{"sample_rate":0.01,"noise_multiplier":1}]`,
		`[{"sample_rate":2,"noise_multiplier":1,"steps":1}]`, `[{"sample_rate":0.1,"noise_multiplier":0,"steps":1}]`,
		`[{"sample_rate":0.1,"noise_multiplier":1,"steps":1.5}]`, `[{"sample_rate":0.1,"noise_multiplier":1,"steps":1,"x":2}]`,
		`[{"sample_rate":0.1,"noise_multiplier":1,"steps":1}] []`} {
		if _, err := ParsePhases([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParsePhases(f *testing.F) {
	f.Add([]byte(`[{"sample_rate":0.01,"noise_multiplier":0.8,"steps":500}]`))
	f.Add([]byte(`[{"sample_rate":1e400}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		phases, err := ParsePhases(data)
		if err != nil {
			return
		}
		if _, err := Compose(AddRemove, phases...); err != nil {
			t.Fatalf("accepted phases do not compose: %v", err)
		}
	})
}

func BenchmarkEpsilonRDP(b *testing.B) {
	c, _ := Compose(AddRemove, Phase{1024.0 / 42061, 0.7, 411})
	for b.Loop() {
		if _, err := NewRDP().Epsilon(c, 1e-5); err != nil {
			b.Fatal(err)
		}
	}
}
