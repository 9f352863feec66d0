package dpadam

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// e2e is a valid private configuration: the paper's E2E run on a small model.
func e2e() Config {
	c := Config{Records: 42061, RecordsDeclared: true, ExpectedBatch: 1024, Epochs: 10, TargetEpsilon: 8,
		ClipNorm: 0.1, Rho: 1e-3, Dim: 1000, Microbatch: 16, Optimizer: Adam(2e-3)}
	if raceEnabled {
		c.Accountant = "rdp" // the tight accountant's arithmetic shares nothing and would take most of the time
	}
	return c
}

func mustPlan(t testing.TB, c Config) *Plan {
	t.Helper()
	p, err := NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanResolves(t *testing.T) {
	c := e2e()
	c.Accountant = ""
	p := mustPlan(t, c)
	s := p.Spec()
	if s.SampleRate != 1024.0/42061 || s.Steps != 411 || s.Delta != 1/(2*42061.0) || s.Relation != AddRemove ||
		s.Accountant != "pld" || s.Buckets != 1 || s.Schedule.Name != "constant" || s.Optimizer != Adam(2e-3) {
		t.Errorf("%+v", s)
	}
	if math.Abs(s.NoiseMultiplier-0.6757571) > 1e-6 { // calibration_test compares with the peers
		t.Errorf("sigma %v", s.NoiseMultiplier)
	}
	if r, err := p.Epsilon(Charges{Steps: s.Steps}); err != nil || r.Epsilon > 8 || r.Epsilon < 7.999 || r.Delta != s.Delta {
		t.Errorf("%+v %v", r, err)
	}
	if math.Abs(p.ClipTo()-0.0999) > 1e-15 || p.ExpectedBatch() != 1024 || !p.Private() || p.Stamp() != "" {
		t.Errorf("clip %v, batch %v, stamp %q", p.ClipTo(), p.ExpectedBatch(), p.Stamp())
	}
	if n, err := p.MaxCharges(t.Context()); err != nil || n < 411 || n > 420 {
		t.Errorf("max charges %d, %v", n, err)
	}
}

func TestPlanSteps(t *testing.T) {
	for _, c := range []struct {
		records int64
		batch   float64
		epochs  float64
		steps   int64
	}{
		{1000, 100, 3, 30}, {1000, 1000, 1, 1}, {67349, 1000, 3, 203}, {42061, 1024, 10, 411}, {42061, 1024, 2, 83},
		{10, 10, 0.01, 1}, {1, 1, 1, 1}, {93187, 1024, 10, 911}, {7, 0.7, 1, 10},
	} {
		p := mustPlan(t, Config{Records: c.records, ExpectedBatch: c.batch, Epochs: c.epochs, NoiseMultiplier: 1, ClipNorm: 1,
			Dim: 10, Optimizer: Adam(1e-3), Delta: 1e-6})
		if p.Steps() != c.steps {
			t.Errorf("%+v: %d steps", c, p.Steps())
		}
	}
	// N from q and B, and B from q and N.
	p := mustPlan(t, Config{SampleRate: 0.01, ExpectedBatch: 100, Steps: 5, NoiseMultiplier: 1, ClipNorm: 1, Dim: 1, Optimizer: SGD(1, 0)})
	if s := p.Spec(); s.Records != 10000 || s.SampleRate != 0.01 {
		t.Errorf("%+v", s)
	}
	p = mustPlan(t, Config{SampleRate: 0.013, Records: 999, Steps: 5, NoiseMultiplier: 1, ClipNorm: 1, Dim: 1, Optimizer: SGD(1, 0)})
	if s := p.Spec(); s.ExpectedBatch != 0.013*999 || s.SampleRate != 0.013 {
		t.Errorf("%+v", s)
	}
}

// Every parameter out of bounds is an ErrInvalid that names it.
func TestPlanRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		parameter string
		change    func(c *Config)
	}{
		{"records", func(c *Config) { c.Records = 0 }},
		{"records", func(c *Config) { c.Records = -1 }},
		{"records", func(c *Config) { c.Records = 1 << 50 }},
		{"expected batch", func(c *Config) { c.ExpectedBatch = 42062 }},
		{"expected batch", func(c *Config) { c.ExpectedBatch = -1 }},
		{"expected batch", func(c *Config) { c.ExpectedBatch = nan }},
		{"expected batch", func(c *Config) { c.ExpectedBatch = inf }},
		{"records", func(c *Config) { c.ExpectedBatch = 0 }},
		{"sampling rate", func(c *Config) { c.SampleRate = 0.5 }}, // all three given
		{"sampling rate", func(c *Config) { c.ExpectedBatch = 0; c.SampleRate = 1.5 }},
		{"sampling rate", func(c *Config) { c.ExpectedBatch = 0; c.SampleRate = nan }},
		{"sampling rate", func(c *Config) { c.ExpectedBatch = 0; c.SampleRate = -0.1 }},
		{"steps", func(c *Config) { c.Steps = 10 }}, // epochs too
		{"epochs", func(c *Config) { c.Epochs = 0 }},
		{"epochs", func(c *Config) { c.Epochs = -1 }},
		{"epochs", func(c *Config) { c.Epochs = nan }},
		{"epochs", func(c *Config) { c.Epochs = 1e300 }},
		{"steps", func(c *Config) { c.Epochs = 0; c.Steps = -1 }},
		{"delta", func(c *Config) { c.Delta = 1 }},
		{"delta", func(c *Config) { c.Delta = -1e-5 }},
		{"delta", func(c *Config) { c.Delta = nan }},
		{"delta", func(c *Config) { c.Delta = 1e-31; c.TargetEpsilon = 100 }},
		{"privacy", func(c *Config) { c.TargetEpsilon = 0 }},
		{"privacy", func(c *Config) { c.NoiseMultiplier = 1 }},
		{"privacy", func(c *Config) { c.NoPrivacy = true }},
		{"target epsilon", func(c *Config) { c.TargetEpsilon = -1 }},
		{"target epsilon", func(c *Config) { c.TargetEpsilon = nan }},
		{"target epsilon", func(c *Config) { c.TargetEpsilon = inf }},
		{"noise multiplier", func(c *Config) { c.TargetEpsilon = 0; c.NoiseMultiplier = -1 }},
		{"noise multiplier", func(c *Config) { c.TargetEpsilon = 0; c.NoiseMultiplier = nan }},
		{"noise multiplier", func(c *Config) { c.TargetEpsilon = 0; c.NoiseMultiplier = inf }},
		{"noise multiplier", func(c *Config) { c.TargetEpsilon = 0; c.NoiseMultiplier = 1e-9 }},
		{"clipping norm", func(c *Config) { c.ClipNorm = 0 }},
		{"clipping norm", func(c *Config) { c.ClipNorm = -1 }},
		{"clipping norm", func(c *Config) { c.ClipNorm = nan }},
		{"clipping norm", func(c *Config) { c.ClipNorm = inf }},
		{"clipping norm", func(c *Config) { c.ClipNorm = 1e30 }},
		{"rho", func(c *Config) { c.Rho = -0.1 }},
		{"rho", func(c *Config) { c.Rho = 1 }},
		{"rho", func(c *Config) { c.Rho = nan }},
		{"trainable coordinates", func(c *Config) { c.Dim = 0 }},
		{"trainable coordinates", func(c *Config) { c.Dim = 1 << 50 }},
		{"microbatch", func(c *Config) { c.Microbatch = -1 }},
		{"padding buckets", func(c *Config) { c.Buckets = -1 }},
		{"relation", func(c *Config) { c.Relation = "swap" }},
		{"accountant", func(c *Config) { c.Accountant = "moments" }},
		{"learning rate", func(c *Config) { c.Optimizer.LearningRate = 0 }},
		{"learning rate", func(c *Config) { c.Optimizer.LearningRate = nan }},
		{"beta1", func(c *Config) { c.Optimizer.Beta1 = 1 }},
		{"beta2", func(c *Config) { c.Optimizer.Beta2 = -1 }},
		{"optimizer epsilon", func(c *Config) { c.Optimizer.Epsilon = -1 }},
		{"weight decay", func(c *Config) { c.Optimizer.WeightDecay = -1 }},
		{"momentum", func(c *Config) { c.Optimizer = SGD(1, 1) }},
		{"momentum", func(c *Config) { c.Optimizer.Momentum = 0.9 }},
		{"optimizer", func(c *Config) { c.Optimizer.Name = "lamb" }},
		{"optimizer", func(c *Config) { c.Optimizer.Name = "" }}, // settings without a name
		{"optimizer", func(c *Config) { c.Optimizer.Name = "sgd" }},
		{"optimizer style", func(c *Config) { c.Optimizer.Style = "transformers" }},
		{"schedule", func(c *Config) { c.Schedule.Name = "cosine" }},
		{"warm-up steps", func(c *Config) { c.Schedule.Warmup = -1 }},
		{"rounding overhead", func(c *Config) { c.Records = 1e8; c.Dim = 1e10; c.Microbatch = 1 }},
	} {
		cfg := e2e()
		c.change(&cfg)
		_, err := NewPlan(cfg)
		var p *ParamError
		if !errors.Is(err, ErrInvalid) || !errors.As(err, &p) || p.Parameter != c.parameter {
			t.Errorf("%s: %v", c.parameter, err)
			continue
		}
		if msg := err.Error(); strings.Contains(msg, "\n") || !strings.HasPrefix(msg, c.parameter+" = ") || p.Bound == "" {
			t.Errorf("%s: message %q", c.parameter, msg)
		}
	}
}

// Without privacy nothing is noised, and everything says so.
func TestPlanStamps(t *testing.T) {
	c := e2e()
	c.TargetEpsilon, c.NoPrivacy, c.ClipNorm = 0, true, 0
	open := mustPlan(t, c)
	c = e2e()
	seed := uint64(3)
	c.Seed = &seed
	seeded := mustPlan(t, c)
	seed = 4 // the plan has its own copy
	for name, p := range map[string]*Plan{"no privacy": open, "seeded": seeded} {
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{p.Stamp(), p.String(), string(data)} {
			if !strings.Contains(text, "NOT PRIVATE") {
				t.Errorf("%s: no stamp in %q", name, text)
			}
		}
		if p.Private() {
			t.Errorf("%s: private", name)
		}
	}
	if open.Noisy() || !seeded.Noisy() || *seeded.Spec().Seed != 3 {
		t.Error("noise or seed wrong")
	}
	if _, err := open.Epsilon(Charges{Steps: 1}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("epsilon without noise: %v", err)
	}
	// The stamp cannot be taken off.
	data, _ := json.Marshal(seeded)
	if _, err := ParsePlan([]byte(strings.Replace(string(data), seeded.Stamp(), "", 1))); !errors.Is(err, ErrInvalid) {
		t.Errorf("plan without its stamp: %v", err)
	}
}

// A plan is immutable: what Spec and MarshalJSON return are copies.
func TestPlanIsImmutable(t *testing.T) {
	p := mustPlan(t, e2e())
	before := p.Hash()
	s := p.Spec()
	s.Lattice.Sigma, s.NoiseMultiplier = 1, 0
	data, _ := p.MarshalJSON()
	clear(data)
	if p.Hash() != before || p.Spec().Lattice.Sigma == 1 || p.Spec().NoiseMultiplier == 0 {
		t.Error("the plan changed")
	}
}

// Plans survive JSON exactly, and a file with any weakened value is refused.
func TestPlanRoundTrip(t *testing.T) {
	p := mustPlan(t, e2e())
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParsePlan(data)
	if err != nil || q.Hash() != p.Hash() {
		t.Fatalf("%v", err)
	}
	for name, change := range map[string]func(s *Spec){
		"smaller lattice sigma": func(s *Spec) { s.Lattice.Sigma-- },
		"more microbatches":     func(s *Spec) { s.Lattice.MaxMicrobatches-- },
		"finer overhead":        func(s *Spec) { s.Lattice.Overhead /= 2 },
		"coarser lattice":       func(s *Spec) { s.Lattice.Exponent += 8 },
		"larger sigma":          func(s *Spec) { s.NoiseMultiplier *= 1.01 },
		"smaller batch":         func(s *Spec) { s.ExpectedBatch = 1000 },
		"no lattice":            func(s *Spec) { s.Lattice = nil },
		"version":               func(s *Spec) { s.Version = 2 },
		"relation":              func(s *Spec) { s.Relation = "" },
	} {
		s := p.Spec()
		change(&s)
		bad, _ := json.Marshal(s)
		if _, err := ParsePlan(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "{}", "null", "[]", string(data) + "{}", strings.Replace(string(data), `"unit"`, `"unitt"`, 1)} {
		if _, err := ParsePlan([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	for _, change := range []func(c *Config){func(*Config) {}, func(c *Config) { c.Seed = new(uint64) },
		func(c *Config) { c.TargetEpsilon, c.NoPrivacy = 0, true }, ways["auto"], ways["adaptive"], ways["layers"], ways["average"],
		func(c *Config) {
			c.RecordsPerUnit, c.Unit, c.Microbatch, c.Buckets, c.Rho = 4, UnitOfColumn("a"), 1, 1, 0
		}} {
		c := e2e()
		change(&c)
		p, err := NewPlan(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.json)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlan(data)
		if err != nil {
			return
		}
		again, err := ParsePlan(p.json)
		if err != nil || again.Hash() != p.Hash() {
			t.Fatalf("an accepted plan does not survive: %v", err)
		}
		if s := p.Spec(); p.Noisy() && s.Lattice.NoiseStd() < s.NoiseMultiplier*s.ClipNorm {
			t.Fatalf("accepted noise %g below sigma*C = %g", s.Lattice.NoiseStd(), s.NoiseMultiplier*s.ClipNorm)
		}
		if s := p.Spec(); p.Adapts() { // sum and count together, in standard deviations of their noise
			a, l := s.adaptive(), s.Lattice
			if x := math.Hypot(s.ClipNorm/l.NoiseStd(), math.Ldexp(1, -a.CountExponent-1)/float64(a.CountSigma)); x > 1/s.NoiseMultiplier {
				t.Fatalf("accepted a joint sensitivity of %g, 1/sigma is %g", x, 1/s.NoiseMultiplier)
			}
		}
		squares := 0.0
		if s := p.Spec(); s.Clipping != nil && s.Clipping.Per != "" {
			for _, g := range s.Clipping.Groups {
				squares += g.Share * g.Share
			}
		}
		if squares > 1 {
			t.Fatalf("accepted groups of sensitivity %g*C", math.Sqrt(squares))
		}
	})
}

// The lattice over the whole range of sizes: noise at least sigma times the sensitivity, no
// overflow, and at most 1e-3 of overhead for every size that fine-tuning meets.
func TestLatticeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Records:         rapid.Int64Range(1, 1e7).Draw(t, "records"),
			Dim:             rapid.Int64Range(1, 1e9).Draw(t, "dim"),
			Microbatch:      rapid.IntRange(1, 256).Draw(t, "microbatch"),
			Buckets:         rapid.IntRange(1, 16).Draw(t, "buckets"),
			NoiseMultiplier: math.Pow(10, rapid.Float64Range(-1, 2).Draw(t, "log sigma")),
			ClipNorm:        math.Pow(10, rapid.Float64Range(-6, 6).Draw(t, "log C")),
			SampleRate:      0.01, Steps: 1, Delta: 1e-8, Optimizer: Adam(1),
		}
		p, err := NewPlan(c)
		if err != nil {
			var pe *ParamError
			if !errors.As(err, &pe) || pe.Parameter != "rounding overhead" {
				t.Fatal(err)
			}
			// Refused only where the sizes ask for too much: N * M * sqrt(d) beyond 2^62 * 5 %.
			n := float64(c.Records)
			if m := n/float64(c.Microbatch) + float64(c.Buckets); n*m*math.Sqrt(float64(c.Dim)) < 0x1p62*0.05/16 {
				t.Fatalf("refused %+v: %v", c, err)
			}
			return
		}
		s := p.Spec()
		l := *s.Lattice
		g := l.Gamma()
		m := float64(c.Records/int64(c.Microbatch)) + float64(c.Buckets)
		sensitivity := c.ClipNorm/g + m*math.Sqrt(float64(c.Dim))
		if float64(l.Sigma) < c.NoiseMultiplier*sensitivity {
			t.Fatalf("noise %d below %g", l.Sigma, c.NoiseMultiplier*sensitivity)
		}
		if worst := float64(c.Records)*c.ClipNorm/g + m/2 + 128*float64(l.Sigma); worst > 0x1p62 {
			t.Fatalf("sums reach %g", worst)
		}
		if m*math.Sqrt(float64(c.Dim)) < 1e9 && c.Records <= 1e6 && l.Overhead > 1e-3 {
			t.Fatalf("overhead %g", l.Overhead)
		}
		if excess := l.NoiseStd()/(c.NoiseMultiplier*c.ClipNorm) - 1; excess > l.Overhead*1.001+1e-6 {
			t.Fatalf("noise %g above sigma*C, overhead %g", excess, l.Overhead)
		}
	})
}
