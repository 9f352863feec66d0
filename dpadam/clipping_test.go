package dpadam

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

// Plans that were written before there were ways of clipping keep their bytes: a run begun then can
// be resumed, and its ledger's chain holds.
func TestOldPlansKeepTheirHash(t *testing.T) {
	for want, c := range map[string]Config{
		"174ea25ff8fcbc8ee82e7bffbc7aa1cfaebacdb3401fecf3278b37300e1086d2": {Records: 42061, RecordsDeclared: true, ExpectedBatch: 1024, Epochs: 10,
			NoiseMultiplier: 0.75, Delta: 1e-5, Accountant: "rdp", ClipNorm: 0.1, Rho: 1e-3, Dim: 1000, Microbatch: 16, Optimizer: Adam(2e-3)},
		"0d8439279fec442df7fb7c4824cecadfd9b9ef09831ea37c2a7ac4ad07bbc099": {Records: 42061, ExpectedBatch: 1024, Steps: 10,
			NoPrivacy: true, Delta: 1e-5, Accountant: "rdp", Dim: 1000, Optimizer: SGD(0.5, 0.9)},
	} {
		p := mustPlan(t, c)
		if p.Hash() != want {
			t.Errorf("hash %s, was %s:\n%s", p.Hash(), want, p.json)
		}
		if s := p.Spec(); s.Clipping != nil || strings.Contains(string(p.json), "clipping\"") {
			t.Errorf("%s", p.json)
		}
	}
}

// ways are the ways of clipping and averaging, each as a change of the E2E run's plan.
var ways = map[string]func(c *Config){
	"auto":     func(c *Config) { c.Clipping = Clipping{Rule: ClipAutomatic, Gamma: 0.01} },
	"adaptive": func(c *Config) { c.Clipping = Clipping{Adaptive: &Adaptive{Quantile: 0.5}} },
	"layers": func(c *Config) {
		c.Clipping = Clipping{Per: "layer", Groups: []ClipGroup{{"embeddings", 400, 0.5}, {"layer.0", 300, 0.5}, {"layer.1", 200, 0.5}, {"head", 100, 0.5}}}
	},
	"average": func(c *Config) { c.AverageDecay = 0.999 },
}

func wayPlan(t testing.TB, name string) *Plan {
	t.Helper()
	c := e2e()
	c.Accountant = "rdp"
	ways[name](&c)
	return mustPlan(t, c)
}

// Plans with a way of clipping survive JSON, are told apart, are copies, and any weakened value
// is refused.
func TestClippingRoundTrip(t *testing.T) {
	seen := map[string]bool{mustPlan(t, e2e()).Hash(): true}
	for name := range ways {
		p := wayPlan(t, name)
		q, err := ParsePlan(p.json)
		if err != nil || q.Hash() != p.Hash() || seen[p.Hash()] {
			t.Errorf("%s: %v", name, err)
		}
		seen[p.Hash()] = true
		s := p.Spec()
		if s.Clipping != nil {
			s.Clipping.Rule = "none"
			if s.Clipping.Adaptive != nil {
				s.Clipping.Adaptive.CountNoise = 0
			}
			if len(s.Clipping.Groups) > 0 {
				s.Clipping.Groups[0].Share = 7
			}
		}
		if again, _ := ParsePlan(p.json); again.Hash() != p.Hash() || p.spec.validate() != nil {
			t.Errorf("%s: Spec is no copy", name)
		}
	}
	for _, c := range []struct {
		way, what string
		change    func(s *Spec)
	}{
		{"auto", "plain, written out", func(s *Spec) { s.Clipping = &Clipping{Rule: ClipAbadi} }},
		{"auto", "unknown rule", func(s *Spec) { s.Clipping.Rule = "global" }},
		{"auto", "no gamma", func(s *Spec) { s.Clipping.Gamma = 0 }},
		{"auto", "negative gamma", func(s *Spec) { s.Clipping.Gamma = -0.01 }},
		{"auto", "tiny gamma", func(s *Spec) { s.Clipping.Gamma = 0.99e-4 }},
		{"auto", "gamma next to a large C", func(s *Spec) { s.ClipNorm = 1e12 }},
		{"auto", "gamma of abadi", func(s *Spec) { s.Clipping.Rule = ClipAbadi }},
		{"adaptive", "less noise on the sum", func(s *Spec) { s.Lattice.Sigma -= s.Lattice.Sigma >> 30 }},
		{"adaptive", "the lattice of a fixed norm", func(s *Spec) {
			s.Clipping = nil
			l := s.Lattice
			*l = *mustPlan(t, e2e()).Spec().Lattice
			s.Clipping = wayPlan(t, "adaptive").Spec().Clipping
		}},
		{"adaptive", "less noise on the count", func(s *Spec) { s.Clipping.Adaptive.CountSigma-- }},
		{"adaptive", "more noise claimed on the count", func(s *Spec) { s.Clipping.Adaptive.CountNoise *= 1.01 }},
		{"adaptive", "finer count", func(s *Spec) { s.Clipping.Adaptive.CountExponent-- }},
		{"adaptive", "coarse count", func(s *Spec) { s.Clipping.Adaptive.CountExponent = 0 }},
		{"adaptive", "a count without room", func(s *Spec) { s.Clipping.Adaptive.CountSigma = 1 << 60 }},
		{"adaptive", "no quantile", func(s *Spec) { s.Clipping.Adaptive.Quantile = 0 }},
		{"adaptive", "wild rate", func(s *Spec) { s.Clipping.Adaptive.Rate = 11 }},
		{"adaptive", "wide range below", func(s *Spec) { s.Clipping.Adaptive.MinNorm /= 2 }},
		{"adaptive", "wide range above", func(s *Spec) { s.Clipping.Adaptive.MaxNorm *= 2 }},
		{"adaptive", "range above C", func(s *Spec) { s.Clipping.Adaptive.MinNorm = 0.2 }},
		{"adaptive", "a larger C", func(s *Spec) { s.ClipNorm *= 2 }},
		{"adaptive", "with groups", func(s *Spec) {
			g := wayPlan(t, "layers").Spec().Clipping
			s.Clipping.Per, s.Clipping.Groups = g.Per, g.Groups
		}},
		{"layers", "larger share", func(s *Spec) { s.Clipping.Groups[1].Share = 0.500001 }},
		{"layers", "shares too small", func(s *Spec) { s.Clipping.Groups[1].Share = 0.1 }},
		{"layers", "negative share", func(s *Spec) { s.Clipping.Groups[1].Share = -0.5 }},
		{"layers", "coordinates without a group", func(s *Spec) { s.Clipping.Groups[1].Coordinates-- }},
		{"layers", "coordinates twice", func(s *Spec) { s.Clipping.Groups[1].Coordinates++ }},
		{"layers", "an empty group", func(s *Spec) { s.Clipping.Groups[0].Coordinates += 300; s.Clipping.Groups[1].Coordinates = 0 }},
		{"layers", "overflowing coordinates", func(s *Spec) {
			s.Clipping.Groups[0].Coordinates = math.MaxInt64
			s.Clipping.Groups[1].Coordinates = math.MaxInt64
		}},
		{"layers", "a name twice", func(s *Spec) { s.Clipping.Groups[1].Name = "embeddings" }},
		{"layers", "no name", func(s *Spec) { s.Clipping.Groups[1].Name = "" }},
		{"layers", "unknown groups", func(s *Spec) { s.Clipping.Per = "head" }},
		{"layers", "groups of nothing", func(s *Spec) { s.Clipping.Per = ""; s.Clipping.Rule, s.Clipping.Gamma = ClipAutomatic, 1 }},
		{"layers", "no groups", func(s *Spec) { s.Clipping.Groups = nil }},
		{"average", "decay 1", func(s *Spec) { s.AverageDecay = 1 }},
		{"average", "negative decay", func(s *Spec) { s.AverageDecay = -0.5 }},
	} {
		s := wayPlan(t, c.way).Spec()
		c.change(&s)
		bad, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePlan(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s, %s: %v", c.way, c.what, err)
		}
	}
}

// What NewPlan refuses, naming it.
func TestClippingRefuses(t *testing.T) {
	nan := math.NaN()
	adaptive := func(a Adaptive) func(c *Config) {
		return func(c *Config) {
			if a.Quantile == 0 {
				a.Quantile = 0.5
			}
			c.Clipping.Adaptive = &a
		}
	}
	for _, c := range []struct {
		parameter string
		change    func(c *Config)
	}{
		{"clipping rule", func(c *Config) { c.Clipping.Rule = "hard" }},
		{"clipping gamma", func(c *Config) { c.Clipping.Rule = ClipAutomatic }},
		{"clipping gamma", func(c *Config) { c.Clipping = Clipping{Rule: ClipAutomatic, Gamma: nan} }},
		{"clipping gamma", func(c *Config) { c.Clipping.Gamma = 0.1 }},
		{"clipping quantile", adaptive(Adaptive{Quantile: 1})},
		{"clipping quantile", adaptive(Adaptive{Quantile: -0.1})},
		{"clipping quantile", adaptive(Adaptive{Quantile: nan})},
		{"clipping rate", adaptive(Adaptive{Rate: -1})},
		{"clipping rate", adaptive(Adaptive{Rate: nan})},
		{"clipping rate", adaptive(Adaptive{Rate: 100})},
		{"count noise", adaptive(Adaptive{CountNoise: -1})},
		{"count noise", adaptive(Adaptive{CountNoise: nan})},
		{"count noise", adaptive(Adaptive{CountNoise: math.Inf(1)})},
		{"count noise", adaptive(Adaptive{CountNoise: 0.33})}, // 2 sigma_b < sigma
		{"count noise", adaptive(Adaptive{CountNoise: 1e30})},
		{"least clipping norm", adaptive(Adaptive{MinNorm: 1})},
		{"largest clipping norm", adaptive(Adaptive{MaxNorm: 0.01})},
		{"clipping norm", func(c *Config) { c.ClipNorm = 0; adaptive(Adaptive{})(c) }},
		{"clipping quantile", func(c *Config) { c.TargetEpsilon, c.NoPrivacy = 0, true; adaptive(Adaptive{})(c) }},
		{"clipping norm", func(c *Config) {
			c.TargetEpsilon, c.NoPrivacy, c.ClipNorm = 0, true, 0
			c.Clipping = Clipping{Rule: ClipAutomatic, Gamma: 1}
		}},
		{"clipping quantile", func(c *Config) { ways["layers"](c); adaptive(Adaptive{})(c) }},
		{"records per unit", func(c *Config) { c.Microbatch, c.RecordsPerUnit = 1, 3; ways["layers"](c) }},
		{"average decay", func(c *Config) { c.AverageDecay = 1.5 }},
		{"average decay", func(c *Config) { c.AverageDecay = nan }},
	} {
		cfg := e2e()
		c.change(&cfg)
		_, err := NewPlan(cfg)
		var p *ParamError
		if !errors.As(err, &p) || p.Parameter != c.parameter || p.Bound == "" {
			t.Errorf("%s: %v", c.parameter, err)
		}
	}
}

// The statement, in text and JSON, names rule, gamma, groups, quantile and both noises.
func TestStatementNamesTheClipping(t *testing.T) {
	for name, want := range map[string][]string{
		"auto":     {"auto: factor C/(norm + 0.01)", `"rule": "auto"`, `"gamma": 0.01`},
		"layers":   {"abadi: factor min(1, C/norm), per layer: 4 groups", `"per": "layer"`, `"share": 0.5`},
		"adaptive": {"0.1 at first, then following the norms' quantile 0.5 at rate 0.2", "Noise on the sum", "standard deviation 51.2 records", "The clipping norms of all steps", "is decided in float32", `"count_noise": 51.2`, `"sum_noise_multiplier"`},
		"average":  {"averaged over the steps with decay 0.999", "post-processing", `"average_decay": 0.999`, "abadi: factor min(1, C/norm)"},
	} {
		path := ledgerPath(t)
		p := wayPlan(t, name)
		mustCharge(t, mustCreate(t, path, p), 1)
		st := statementOf(t, path)
		data, err := st.JSON()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(st.Text()), " ") + string(data)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", name, w, st.Text())
			}
		}
		plain := e2e()
		plain.TargetEpsilon, plain.NoiseMultiplier, plain.Accountant = 0, p.spec.NoiseMultiplier, "rdp"
		one, err := mustPlan(t, plain).Epsilon(Charges{Steps: 1})
		if err != nil || *st.Epsilon != one.Epsilon {
			t.Errorf("%s: epsilon %v, the plain way's %v, %v", name, *st.Epsilon, one.Epsilon, err)
		}
	}
}
