package dpadam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// evaluatedConfig is a run of 20 steps and 4 noised accuracies of 500 records.
func evaluatedConfig() Config {
	return Config{Records: 100, RecordsDeclared: true, ExpectedBatch: 10, Steps: 20, NoiseMultiplier: 1, ClipNorm: 0.5, Accountant: "rdp",
		Rho: 1e-3, Dim: 20, Microbatch: 4, Delta: 1e-4, Optimizer: Adam(1e-3),
		Evaluation: &EvaluationSpec{Count: 4, Kind: EvaluateAccuracy, NoiseMultiplier: 5, Records: 500, RecordsDeclared: true}}
}

func mustEvaluate(t testing.TB, l *Ledger, steps ...int64) {
	t.Helper()
	for _, n := range steps {
		p, err := l.ChargeEvaluation(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if p.Index() != uint64(l.Charges().Evaluations) {
			t.Fatalf("permit %d at %+v", p.Index(), l.Charges())
		}
	}
}

// Steps and evaluations are one composition, and the price is what the accountant says of
// both events: never less than of the steps alone.
func TestEvaluationsCompose(t *testing.T) {
	p := mustPlan(t, evaluatedConfig())
	both, err := p.Epsilon(Charges{20, 4})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compose(AddRemove, Phase{0.1, 1, 20}, Phase{1, 5, 4})
	if err != nil {
		t.Fatal(err)
	}
	want, err := NewRDP().Epsilon(c, accountedDelta(1e-4))
	if err != nil || both.Epsilon != want.Epsilon {
		t.Errorf("epsilon %v, want %v (%v)", both.Epsilon, want.Epsilon, err)
	}
	steps, _ := p.Epsilon(Charges{Steps: 20})
	evaluations, _ := p.Epsilon(Charges{Evaluations: 4})
	if !(both.Epsilon > steps.Epsilon && both.Epsilon > evaluations.Epsilon && evaluations.Epsilon > 0) {
		t.Errorf("both %v, steps %v, evaluations %v", both.Epsilon, steps.Epsilon, evaluations.Epsilon)
	}
}

// A target pays for the planned evaluations too; more noise on the steps makes room for them.
func TestTargetIncludesEvaluations(t *testing.T) {
	c := evaluatedConfig()
	c.NoiseMultiplier, c.TargetEpsilon = 0, 3
	p := mustPlan(t, c)
	r, err := p.Epsilon(p.Planned())
	if err != nil || r.Epsilon > 3 || r.Epsilon < 2.99 {
		t.Errorf("epsilon %v (%v)", r.Epsilon, err)
	}
	c.Evaluation = nil
	if alone := mustPlan(t, c); !(p.Spec().NoiseMultiplier > alone.Spec().NoiseMultiplier) {
		t.Errorf("noise %v with evaluations, %v without", p.Spec().NoiseMultiplier, alone.Spec().NoiseMultiplier)
	}
	// Whatever order they are charged in, the ledger never passes the target.
	l := mustCreate(t, ledgerPath(t), p)
	for n := int64(1); ; n++ {
		if _, err := l.Charge(t.Context(), n); errors.Is(err, ErrBudgetSpent) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	mustEvaluate(t, l, 20, 20, 20, 20)
	before := readFile(t, l.Path())
	if _, err := l.ChargeEvaluation(t.Context(), 20); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("a fifth evaluation: %v", err)
	}
	if !bytes.Equal(before, readFile(t, l.Path())) {
		t.Error("the refusal left a trace")
	}
	if r, err := l.Epsilon(); err != nil || r.Epsilon > 3 {
		t.Errorf("epsilon %v (%v)", r.Epsilon, err)
	}
}

func TestEvaluationSpecIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"none":               func(c *Config) { c.Evaluation.Count = 0 },
		"more than steps":    func(c *Config) { c.Evaluation.Count = 21 },
		"no kind":            func(c *Config) { c.Evaluation.Kind = "" },
		"unknown kind":       func(c *Config) { c.Evaluation.Kind = "bleu" },
		"clipped accuracy":   func(c *Config) { c.Evaluation.Clip = 1 },
		"loss without clip":  func(c *Config) { c.Evaluation.Kind = EvaluateLoss },
		"clip NaN":           func(c *Config) { c.Evaluation.Kind, c.Evaluation.Clip = EvaluateLoss, math.NaN() },
		"noise zero":         func(c *Config) { c.Evaluation.NoiseMultiplier = 0 },
		"noise NaN":          func(c *Config) { c.Evaluation.NoiseMultiplier = math.NaN() },
		"noise infinite":     func(c *Config) { c.Evaluation.NoiseMultiplier = math.Inf(1) },
		"no records":         func(c *Config) { c.Evaluation.Records = 0 },
		"without privacy":    func(c *Config) { c.NoiseMultiplier, c.NoPrivacy, c.Rho = 0, true, 0 },
		"target, noise zero": func(c *Config) { c.NoiseMultiplier, c.TargetEpsilon, c.Evaluation.NoiseMultiplier = 0, 3, 0 },
	} {
		c := evaluatedConfig()
		change(&c)
		var pe *ParamError
		if _, err := NewPlan(c); !errors.As(err, &pe) || !strings.Contains(pe.Parameter, "evaluation") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := mustPlan(t, evaluatedConfig())
	again, err := ParsePlan(p.json)
	if err != nil || again.Hash() != p.Hash() {
		t.Errorf("read back: %v", err)
	}
	var spec Spec
	if err := json.Unmarshal(p.json, &spec); err != nil {
		t.Fatal(err)
	}
	spec.Evaluation.NoiseMultiplier = -1
	data, _ := json.Marshal(spec)
	if _, err := ParsePlan(data); !errors.Is(err, ErrInvalid) {
		t.Errorf("an edited plan: %v", err)
	}
	plain := evaluatedConfig()
	plain.Evaluation = nil
	if bytes.Contains(mustPlan(t, plain).json, []byte("evaluation")) {
		t.Error("a plan without evaluations has other bytes than before")
	}
	changed := p.Spec()
	changed.Evaluation.Count = 9
	if p.Spec().Evaluation.Count != 4 {
		t.Error("the plan was changed through its copy")
	}
}

// Torn lines of a ledger with evaluations count as whatever they can have been.
func TestTornEvaluations(t *testing.T) {
	p := mustPlan(t, evaluatedConfig())
	path := ledgerPath(t)
	l := mustCreate(t, path, p)
	mustCharge(t, l, 1, 2)
	mustEvaluate(t, l, 2)
	l.Close()
	data := readFile(t, path)
	for torn, want := range map[string]Charges{
		"":                                       {2, 1},
		`{`:                                      {3, 2},
		`{"type":"ev`:                            {3, 2},
		`{"type":"evaluation","eval`:             {2, 2},
		`{"type":"step","cha`:                    {3, 1},
		"\x00\x00\x00":                           {3, 2},
		`{"type":"step"}x{"type":"evaluation","`: {3, 2},
	} {
		path := ledgerPath(t)
		writeFile(t, path, append(bytes.Clone(data), torn...))
		r, err := ReadLedger(path)
		if err != nil || r.Charges() != want {
			t.Errorf("%q: %+v, want %+v (%v)", torn, r.Charges(), want, err)
			continue
		}
		l := mustOpen(t, path) // the resume line lists it
		if l.Charges() != want {
			t.Errorf("%q: resumed at %+v", torn, l.Charges())
		}
		mustCharge(t, l, 3)
		mustEvaluate(t, l, 3)
		if err := l.Finish(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		l.Close()
		r, err = ReadLedger(path)
		if err != nil || r.Charges() != (Charges{want.Steps + 1, want.Evaluations + 1}) {
			t.Errorf("%q: at last %+v (%v)", torn, r.Charges(), err)
		}
		if m, err := MergeLedgers(r, r); err != nil || m.Charges() != r.Charges() {
			t.Errorf("%q: merged with itself %+v (%v)", torn, m.Charges(), err)
		}
	}
}

// Every prefix that a crash can leave charges every line that was complete.
func TestEveryPrefixOfAnEvaluatedLedger(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, mustPlan(t, evaluatedConfig()))
	mustCharge(t, l, 1)
	mustEvaluate(t, l, 1)
	l.Close()
	l = mustOpen(t, path)
	mustEvaluate(t, l, 1)
	mustCharge(t, l, 2)
	l.Close()
	data := readFile(t, path)
	for cut := bytes.IndexByte(data, '\n') + 1; cut <= len(data); cut++ {
		r, err := ParseLedger(bytes.NewReader(data[:cut]))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		whole := Charges{int64(bytes.Count(data[:cut], stepMark)), int64(bytes.Count(data[:cut], evaluationMark))}
		if r.Charges().Steps < whole.Steps || r.Charges().Evaluations < whole.Evaluations {
			t.Fatalf("cut at %d: %+v, complete %+v", cut, r.Charges(), whole)
		}
	}
}

// Lines that no ledger writes.
func TestEvaluationLinesAreChecked(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, mustPlan(t, evaluatedConfig()))
	mustEvaluate(t, l, 0)
	head := l.Head()
	l.Close()
	plainPath := ledgerPath(t)
	plain := mustCreate(t, plainPath, smallPlan(t, 10))
	plainHead := plain.Head()
	plain.Close()
	for name, c := range map[string]struct{ path, line string }{
		"wrong number":  {path, `{"type":"evaluation","evaluation":1,"prev":"` + head.Hash + `"}`},
		"no number":     {path, `{"type":"evaluation","step":1,"prev":"` + head.Hash + `"}`},
		"a charge too":  {path, `{"type":"evaluation","evaluation":2,"charge":1,"prev":"` + head.Hash + `"}`},
		"step with one": {path, `{"type":"step","charge":1,"step":1,"evaluation":2,"prev":"` + head.Hash + `"}`},
		"lower resume":  {path, `{"type":"resume","session":"x","charged":0,"prev":"` + head.Hash + `"}`},
		"not planned":   {plainPath, `{"type":"evaluation","evaluation":1,"prev":"` + plainHead.Hash + `"}`},
	} {
		if _, err := ParseLedger(strings.NewReader(string(readFile(t, c.path)) + c.line + "\n")); !errors.Is(err, ErrLedger) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mustOpen(t, plainPath).ChargeEvaluation(t.Context(), 1); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("an evaluation that was not planned: %v", err)
	}
}

// Branches: evaluations of each count.
func TestMergeEvaluations(t *testing.T) {
	a, b := ledgerPath(t), ledgerPath(t)
	l := mustCreate(t, a, mustPlan(t, evaluatedConfig()))
	mustCharge(t, l, 1)
	mustEvaluate(t, l, 1)
	l.Close()
	writeFile(t, b, readFile(t, a))
	l = mustOpen(t, a)
	mustEvaluate(t, l, 1, 1)
	l.Close()
	l = mustOpen(t, b)
	mustCharge(t, l, 2)
	mustEvaluate(t, l, 2)
	l.Close()
	ra, _ := ReadLedger(a)
	rb, _ := ReadLedger(b)
	m, err := MergeLedgers(ra, rb)
	if err != nil || m.Charges() != (Charges{2, 4}) || m.Branches() != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	st, err := NewStatement(m)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := m.Plan().Epsilon(Charges{2, 4})
	if *st.Epsilon != want.Epsilon || st.Evaluations.Charged != 4 {
		t.Errorf("%+v", st)
	}
}

// The contribution of a record is between 0 and 1 lattice unit, whatever its loss is.
func TestContributionIsBounded(t *testing.T) {
	c := evaluatedConfig()
	c.Evaluation = &EvaluationSpec{Count: 1, Kind: EvaluateLoss, Clip: 3, NoiseMultiplier: 1, Records: 10}
	p := mustPlan(t, c)
	rapid.Check(t, func(rt *rapid.T) {
		s, err := NewEvaluationSum(p)
		if err != nil {
			rt.Fatal(err)
		}
		loss := rapid.Float64().Draw(rt, "loss")
		if rapid.IntRange(0, 9).Draw(rt, "special") == 0 {
			loss = rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 3, 0, math.Nextafter(3, 0)}).Draw(rt, "loss")
		}
		if err := s.AddLoss(loss); err != nil {
			rt.Fatal(err)
		}
		want := math.Min(math.Max(loss, 0), 3) / 3
		if math.IsNaN(loss) {
			want = 1
		}
		if s.k < 0 || s.k > 1<<evaluationExponent || math.Abs(math.Ldexp(float64(s.k), -evaluationExponent)-want) > 0x1p-23 {
			rt.Fatalf("loss %v gives %d", loss, s.k)
		}
	})
	s, _ := NewEvaluationSum(p)
	if err := s.AddCorrect(true); !errors.Is(err, ErrMisuse) {
		t.Errorf("a class in a sum of losses: %v", err)
	}
	if err := s.AddLoss(1); !errors.Is(err, ErrMisuse) {
		t.Errorf("after a failure: %v", err)
	}
}

// The released value is the sum plus Gaussian noise of the stated standard deviation. With
// n = 4000 draws the mean and the variance are tested at 5 standard errors each: a right
// implementation fails with probability below 2e-6. The key is from the operating system.
func TestEvaluationNoise(t *testing.T) {
	const n = 4000
	c := evaluatedConfig()
	c.Steps, c.Evaluation.Count = n, n
	p := mustPlan(t, c)
	l := mustCreate(t, ledgerPath(t), p)
	l.hook = nil
	e, err := NewEvaluator(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var mean, square float64
	distinct := map[float64]bool{}
	for i := range n {
		s, _ := NewEvaluationSum(p)
		for k := range 500 {
			if err := s.AddCorrect(k < 300); err != nil {
				t.Fatal(err)
			}
		}
		// Permits are made here so that the test does not sync the disk 4000 times.
		v, err := e.Release(t.Context(), &EvaluationPermit{plan: p, index: uint64(i + 1)}, s)
		if err != nil {
			t.Fatal(err)
		}
		if v.NoiseStd != 5.0/500 {
			t.Fatalf("noise %v", v.NoiseStd)
		}
		z := (v.Value - 0.6) / v.NoiseStd
		mean, square, distinct[z] = mean+z/n, square+z*z/n, true
	}
	if math.Abs(mean) > 5/math.Sqrt(n) || math.Abs(square-1) > 5*math.Sqrt(2.0/n) || len(distinct) < n-5 {
		t.Errorf("mean %v, mean square %v, %d distinct of %d", mean, square, len(distinct), n)
	}
}

// A permit works once, for its own plan, after its line is on disk; and never for a step.
func TestEvaluationPermit(t *testing.T) {
	p := mustPlan(t, evaluatedConfig())
	path := ledgerPath(t)
	l := mustCreate(t, path, p)
	e, err := NewEvaluator(p, func(point string) {
		if point == PointEvaluationBefore && !bytes.Contains(readFile(t, path), []byte(`"type":"evaluation","step":7,"evaluation":1`)) {
			t.Errorf("noise before the charge:\n%s", readFile(t, path))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	permit, err := l.ChargeEvaluation(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := NewEvaluationSum(p)
	other, _ := NewEvaluationSum(mustPlan(t, evaluatedConfig()))
	if _, err := e.Release(t.Context(), permit, other); !errors.Is(err, ErrMisuse) {
		t.Errorf("a sum of another plan: %v", err)
	}
	if _, err := e.Release(t.Context(), nil, sum); !errors.Is(err, ErrMisuse) {
		t.Errorf("no permit: %v", err)
	}
	failed, _ := NewEvaluationSum(p)
	failed.AddLoss(1)
	if _, err := e.Release(t.Context(), permit, failed); !errors.Is(err, ErrMisuse) {
		t.Errorf("a failed sum: %v", err)
	}
	if _, err := e.Release(t.Context(), permit, sum); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Release(t.Context(), permit, sum); !errors.Is(err, ErrMisuse) {
		t.Errorf("a permit used twice: %v", err)
	}
	plain := mustPlan(t, Config{Records: 100, ExpectedBatch: 10, Steps: 1, NoiseMultiplier: 1, ClipNorm: 1, Dim: 1, Optimizer: Adam(1)})
	if _, err := NewEvaluator(plain, nil); !errors.Is(err, ErrMisuse) {
		t.Errorf("an evaluator without evaluations: %v", err)
	}
	if _, err := NewEvaluationSum(plain); !errors.Is(err, ErrMisuse) {
		t.Errorf("a sum without evaluations: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.ChargeEvaluation(ctx, 1); !errors.Is(err, context.Canceled) || l.Charges().Evaluations != 1 {
		t.Errorf("cancelled: %v", err)
	}
}

// A disk that takes no more: no permit, and the line that may have been left counts.
func TestEvaluationOnAFullDisk(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, mustPlan(t, evaluatedConfig()))
	mustCharge(t, l, 1)
	read, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l.file.Close()
	l.file = read // writing to it fails
	if p, err := l.ChargeEvaluation(t.Context(), 1); err == nil || p != nil {
		t.Fatalf("a permit without a line: %v", err)
	}
	if l.Charges() != (Charges{1, 1}) {
		t.Errorf("%+v", l.Charges())
	}
	if _, err := l.Charge(t.Context(), 2); !errors.Is(err, ErrLedger) {
		t.Errorf("a step after a failed write: %v", err)
	}
}

// The statement lists evaluations as covered, or as not covered when there are none.
func TestStatementOfEvaluations(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, mustPlan(t, evaluatedConfig()))
	mustCharge(t, l, 1)
	mustEvaluate(t, l, 1)
	st := statementOf(t, path)
	want, _ := l.Epsilon()
	if *st.Epsilon != want.Epsilon || st.Evaluations == nil || st.Evaluations.Charged != 1 || st.Evaluations.Planned != 4 {
		t.Errorf("%+v", st.Evaluations)
	}
	said := func(list []string, text string) bool { return strings.Contains(strings.Join(list, " "), text) }
	if !said(st.Covered, "noised evaluations on private data") || said(st.NotCovered, "paid for none") || !said(st.NotCovered, "beyond the noised ones") {
		t.Errorf("covered %q, not covered %q", st.Covered, st.NotCovered)
	}
	if text := st.Text(); !strings.Contains(text, "accuracy, 4 planned, 1 charged") {
		t.Error(text)
	}
	plainPath := ledgerPath(t)
	mustCreate(t, plainPath, smallPlan(t, 3)).Close()
	plain := statementOf(t, plainPath)
	if data, _ := plain.JSON(); bytes.Contains(data, []byte(`"evaluations"`)) || !said(plain.NotCovered, "paid for none") {
		t.Errorf("%s", data)
	}
}

// Any bit changed in a ledger with evaluations: refused, or nothing is charged less.
func TestDamagedEvaluatedLedger(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, mustPlan(t, evaluatedConfig()))
	mustCharge(t, l, 1)
	mustEvaluate(t, l, 1)
	l.Close()
	l = mustOpen(t, path)
	mustEvaluate(t, l, 1)
	mustCharge(t, l, 2)
	mustEvaluate(t, l, 2)
	data := readFile(t, path)
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			r, err := ParseLedger(bytes.NewReader(bad))
			if err == nil && (r.Charges().Steps < 2 || r.Charges().Evaluations < 3) {
				t.Fatalf("byte %d bit %d: accepted with %+v: %q", i, bit, r.Charges(), bad)
			}
		}
	}
}
