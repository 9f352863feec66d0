package dpadam

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func unitConfig(seed *uint64) Config {
	return Config{Records: 100, SampleRate: 0.3, Steps: 5, NoiseMultiplier: 1, ClipNorm: 0.5, Dim: 64, RecordsPerUnit: 3,
		Unit: UnitOfColumn("user"), Delta: 1e-4, Accountant: "rdp", Optimizer: Adam(1), Seed: seed}
}

// A plan of units says what N counts, survives its file, and is refused where it could not be right.
func TestPlanOfUnits(t *testing.T) {
	p := mustPlan(t, unitConfig(nil))
	s := p.Spec()
	if s.RecordsPerUnit != 3 || p.RecordsPerUnit() != 3 || s.Rho != unitRho || s.Unit != `one user: all records that share a value of "user"` {
		t.Errorf("%+v", s)
	}
	again, err := ParsePlan(p.json)
	if err != nil || again.Hash() != p.Hash() {
		t.Errorf("%v", err)
	}
	c := unitConfig(nil)
	c.Unit = ""
	if u := mustPlan(t, c).Spec().Unit; u != "one user" {
		t.Errorf("the default unit is %q", u)
	}
	if text := string(mustPlan(t, e2e()).json); strings.Contains(text, "per_unit") {
		t.Errorf("a plan of records names units: %s", text)
	}
	for name, change := range map[string]func(c *Config){
		"negative":     func(c *Config) { c.RecordsPerUnit = -1 },
		"enormous":     func(c *Config) { c.RecordsPerUnit = maxRecordsPerUnit + 1 },
		"one record":   func(c *Config) { c.Unit = recordUnit },
		"microbatches": func(c *Config) { c.Microbatch = 2 },
		"buckets":      func(c *Config) { c.Buckets = 2 },
		"evaluations": func(c *Config) {
			c.Evaluation = &EvaluationSpec{Count: 1, Kind: EvaluateAccuracy, NoiseMultiplier: 10, Records: 100}
		},
		"no allowance": func(c *Config) { c.Rho = 1e-9 },
	} {
		c := unitConfig(nil)
		change(&c)
		if _, err := NewPlan(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, edit := range [][2]string{{`"microbatch":1`, `"microbatch":2`}, {`"rho":0.000001`, `"rho":0.0000001`}, {`"records_per_unit":3`, `"records_per_unit":-3`},
		{`"records_per_unit":3,`, ``}} { // the last: the lattice of a plan of records is another
		text := strings.Replace(string(p.json), edit[0], edit[1], 1)
		if _, err := ParsePlan([]byte(text)); !errors.Is(err, ErrInvalid) || text == string(p.json) {
			t.Errorf("%v: %v", edit, err)
		}
	}
}

// The statement names the unit, what N counts and the most records of one.
func TestStatementOfUnits(t *testing.T) {
	path := ledgerPath(t)
	mustCharge(t, mustCreate(t, path, mustPlan(t, unitConfig(nil))), 1)
	st := statementOf(t, path)
	text := strings.Join(strings.Fields(st.Text()), " ")
	for _, want := range []string{`The unit of privacy is one user: all records that share a value of "user". For every such unit`,
		"at most 3, chosen anew in each step", "Number of units N: 100", "two names are two units", "rho = 1e-06 pays for the rounding of that norm"} {
		if !strings.Contains(text, want) {
			t.Errorf("the statement does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "measured, not proven") {
		t.Error("the statement assumes what is proven for units")
	}
	data, err := st.JSON()
	if err != nil || !strings.Contains(string(data), `"records_per_unit": 3`) {
		t.Errorf("%s, %v", data, err)
	}
}

// unitGradient is a vector of norm r that depends on a number.
func unitGradient(d, k int, r float64) []float32 {
	v, n := make([]float32, d), 0.0
	for i := range v {
		v[i] = float32(math.Sin(float64(1 + i*(k+3))))
		n += float64(v[i]) * float64(v[i])
	}
	for i := range v {
		v[i] *= float32(r / math.Sqrt(n))
	}
	return v
}

// Whatever is not one unit's clipped gradient is refused: k clipped records added as a unit (the mistake that makes
// user-level privacy wrong by the factor k), the sums of microbatches, numbers that are not finite.
func TestAddUnitRefuses(t *testing.T) {
	p := mustPlan(t, unitConfig(nil))
	c, d := p.spec.ClipNorm, int(p.spec.Dim)
	three := make([]float32, d) // three records of one user, each clipped to C, of one direction
	for i, x := range unitGradient(d, 1, c) {
		three[i] = 3 * x
	}
	nan := make([]float32, d)
	nan[5] = float32(math.NaN())
	for name, x := range map[string]struct {
		sum    []float32
		factor float64
		want   error
	}{
		"clipped by record":       {three, 1, ErrSensitivity},
		"clipped as a whole":      {three, p.ClipTo() / (3 * c), nil},
		"a little longer than C":  {unitGradient(d, 1, c*(1+1e-4)), 1, ErrSensitivity},
		"not a number":            {nan, 1, ErrSensitivity},
		"not a number, factor 0":  {nan, 0, nil},
		"factor not a number":     {three, math.NaN(), ErrMisuse},
		"factor infinite":         {three, math.Inf(1), ErrMisuse},
		"factor negative":         {three, -0.1, ErrMisuse},
		"too short":               {three[1:], 0.1, ErrMisuse},
		"too short with factor 0": {three[1:], 0, ErrMisuse},
	} {
		a := NewAccumulator(p)
		if err := a.AddUnit(x.sum, x.factor); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
		if x.factor == 0 && x.want == nil && slices.ContainsFunc(a.k, func(k int64) bool { return k != 0 }) {
			t.Errorf("%s: it was added", name)
		}
		if err := a.AddUnit(three, 0.1); !errors.Is(err, x.want) {
			t.Errorf("%s: the next unit: %v", name, err)
		}
	}
	if err := NewAccumulator(p).Add(make([]float32, d), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("the sum of a microbatch: %v", err)
	}
	if err := NewAccumulator(noisePlan(t, 1000, nil)).AddUnit(make([]float32, 1000), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("a unit under a plan of records: %v", err)
	}
	a := NewAccumulator(p)
	for range p.spec.Records {
		if err := a.AddUnit(three, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.AddUnit(three, 0); !errors.Is(err, ErrMisuse) {
		t.Errorf("more units than the plan has: %v", err)
	}
}

// The sum without a unit differs from the sum with it by at most Delta_K = C/gamma + sqrt(d)/2, in any order, and the
// noise is at least sigma times that.
func TestSensitivityOfUnits(t *testing.T) {
	p := mustPlan(t, unitConfig(nil))
	l, d := *p.spec.Lattice, int(p.spec.Dim)
	sum := func(units ...int) []int64 {
		a := NewAccumulator(p)
		for _, u := range units {
			if err := a.AddUnit(unitGradient(d, u, 7), p.ClipTo()/7); err != nil {
				t.Fatal(err)
			}
		}
		return a.k
	}
	all, backward, without := sum(1, 2, 3, 4, 5), sum(5, 4, 3, 2, 1), sum(1, 2, 4, 5)
	if !slices.Equal(all, backward) {
		t.Error("the order of the units matters")
	}
	square := 0.0
	for i := range all {
		square += math.Pow(float64(all[i]-without[i]), 2)
	}
	limit := p.spec.ClipNorm/l.Gamma() + math.Sqrt(float64(d))/2
	if moved := math.Sqrt(square); moved > limit || moved < 0.99*limit {
		t.Errorf("a unit moves the sum by %g, the limit is %g", moved, limit)
	}
	if float64(l.Sigma) < p.spec.NoiseMultiplier*limit || float64(l.Sigma) > 1.001*p.spec.NoiseMultiplier*limit {
		t.Errorf("noise %d for a sensitivity of %g", l.Sigma, limit)
	}
	big := unitConfig(nil) // a hundred million coordinates, a million units: rounding costs next to nothing
	big.Dim, big.Records, big.Delta = 1e8, 1e6, 1e-7
	if o := mustPlan(t, big).spec.Lattice.Overhead; o > wantedOverhead {
		t.Errorf("overhead %g", o)
	}
}

// Every subset of a unit's records is equally likely, in every step anew, and nobody else's records matter. Chi-square
// over the 20 subsets of 3 of 6, and over pairs of successive steps' subsets; false-reject rate 2e-9 together.
func TestRecordsAreChosenUniformly(t *testing.T) {
	seed := testSeed(t)
	c, err := seededChooser(t, &seed)
	if err != nil {
		t.Fatal(err)
	}
	const steps = 200000
	number := map[[3]int]int{}
	counts, pairs := make([]int64, 20), make([]int64, 400)
	previous := -1
	for step := range uint64(steps) {
		got, err := c.choose(nil, step, 11, 6)
		if err != nil || len(got) != 3 || !slices.IsSorted(got) || got[0] < 0 || got[2] > 5 || got[0] == got[1] || got[1] == got[2] {
			t.Fatalf("%v, %v", got, err)
		}
		key := [3]int(got)
		if _, ok := number[key]; !ok {
			number[key] = len(number)
		}
		n := number[key]
		counts[n]++
		if previous >= 0 {
			pairs[20*previous+n]++
		}
		previous = n
	}
	uniform := func(n int) []float64 {
		p := make([]float64, n)
		for i := range p {
			p[i] = 1 / float64(n)
		}
		return p
	}
	for name, p := range map[string]float64{"subsets": chiSquare(counts, uniform(20), steps), "pairs": chiSquare(pairs, uniform(400), steps-1)} {
		t.Logf("%s: p = %.3g", name, p)
		if p < 1e-9 {
			t.Errorf("%s are not uniform: p = %g", name, p)
		}
	}
	one, _ := c.choose(nil, 3, 11, 1000)
	other, _ := c.choose(nil, 3, 12, 1000)
	again, _ := c.choose([]int{-1}, 3, 11, 1000)
	if slices.Equal(one, other) || !slices.Equal(append([]int{-1}, one...), again) {
		t.Errorf("%v, %v, %v", one, other, again)
	}
	if few, err := c.choose(nil, 3, 11, 2); err != nil || !slices.Equal(few, []int{0, 1}) {
		t.Errorf("%v, %v", few, err)
	}
	if _, err := c.choose(nil, 3, -1, 2); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// Bounded numbers are exact: of n = 3*2^62 values, a multiple that wraps would favour a quarter of them. False-reject
// rate 1e-9.
func TestBelowIsUniform(t *testing.T) {
	seed := testSeed(t)
	c, err := seededChooser(t, &seed)
	if err != nil {
		t.Fatal(err)
	}
	c.src.open(c.block, 1, 1)
	const draws = 300000
	counts := make([]int64, 3)
	for range draws {
		counts[c.src.below(3<<62)>>62]++
	}
	if p := chiSquare(counts, []float64{1. / 3, 1. / 3, 1. / 3}, draws); p < 1e-9 {
		t.Errorf("%v: p = %g", counts, p)
	}
	if c.src.below(1) != 0 {
		t.Error("below 1")
	}
}

// The choice needs a plan of units.
func TestChoiceNeedsUnits(t *testing.T) {
	s := mustStepper(t, mustPlan(t, unitConfig(nil)), 100, StepperOptions{})
	step, err := s.Begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range step.Records() {
		if got, err := step.ChooseRecords(nil, u, 9); err != nil || len(got) != 3 {
			t.Fatalf("%v, %v", got, err)
		}
		if err := step.AddUnit(unitGradient(64, u, 0.4), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := step.Release(t.Context(), make([]float32, 64)); err != nil {
		t.Fatal(err)
	}
	if err := step.AddUnit(unitGradient(64, 1, 0.4), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("after the release: %v", err)
	}
	records := mustStepper(t, smallPlan(t, 10), 0, StepperOptions{})
	if step, err = records.Begin(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := step.ChooseRecords(nil, 0, 3); !errors.Is(err, ErrMisuse) {
		t.Errorf("a plan of records: %v", err)
	}
}

// seededChooser is the chooser of a run with that seed.
func seededChooser(t testing.TB, seed *uint64) (*chooser, error) {
	t.Helper()
	key, err := freshKey(seed, "records of a unit")
	if err != nil {
		return nil, err
	}
	return newChooser(mustPlan(t, unitConfig(seed)), key)
}
