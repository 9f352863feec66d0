package dpadam

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func statementOf(t testing.TB, path string) *Statement {
	t.Helper()
	r, err := ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := NewStatement(r)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A run that has not taken a step has epsilon 0; then epsilon is the accountant's bound for
// what was charged, torn lines included.
func TestStatementFollowsTheLedger(t *testing.T) {
	path := ledgerPath(t)
	p := smallPlan(t, 100)
	l := mustCreate(t, path, p)
	if st := statementOf(t, path); *st.Epsilon != 0 || !st.Private || st.StepsCharged != 0 || st.StepsTaken != nil {
		t.Errorf("before the first step: %+v", st)
	}
	mustCharge(t, l, 1, 2, 3)
	l.Close()
	data := readFile(t, path)
	writeFile(t, path, append(data, `{"type":`...))
	l = mustOpen(t, path)
	mustCharge(t, l, 4)
	if err := l.Finish(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	st := statementOf(t, path)
	want, err := p.Epsilon(Charges{Steps: 5})
	if err != nil {
		t.Fatal(err)
	}
	if *st.Epsilon != want.Epsilon || *st.Delta != 1e-4 || st.StepsCharged != 5 || st.TornLines != 1 || *st.StepsTaken != 4 ||
		st.StepsPlanned != 100 || st.Resumes != 1 || st.Branches != 1 || st.LedgerHead == nil || *st.LedgerHead != l.Head() {
		t.Errorf("%+v, epsilon want %v", st, want.Epsilon)
	}
	again, _ := statementOf(t, path).JSON()
	first, err := st.JSON()
	if err != nil || string(first) != string(again) || statementOf(t, path).Text() != st.Text() {
		t.Errorf("the statement is not a function of the ledger (%v)", err)
	}
}

// The text names everything that a data-protection officer must know, the JSON has it too.
func TestStatementSaysEverything(t *testing.T) {
	path := ledgerPath(t)
	c := e2e()
	c.Accountant = ""
	l := mustCreate(t, path, mustPlan(t, c))
	mustCharge(t, l, 1)
	st := statementOf(t, path)
	text := st.Text()
	for _, want := range []string{"epsilon = " + upward(*st.Epsilon), "delta = 1.18875e-05", "one record", "add-remove", "Poisson", "q = 0.0243455933",
		"42061, given by the user", "0.6757571 times", "0.1 (gradients are clipped to 0.999", "Steps planned:", "411", "Steps charged:", "pld",
		"rho = 0.001", "measured, not proven", "hyperparameters", "Evaluation on private data", "Debug output", "another machine", "pretrained on"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NOT PRIVATE") || strings.Contains(text, "NaN") || strings.Contains(text, "%!") {
		t.Errorf("text:\n%s", text)
	}
	data, err := st.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"private", "epsilon", "delta", "unit_of_privacy", "relation", "sampler", "sample_rate", "expected_batch", "records",
		"records_public", "noise_multiplier", "clip_norm", "rho", "steps_planned", "steps_taken", "steps_charged", "accountant",
		"assumptions", "covered", "not_covered"} {
		if _, ok := m[key]; !ok {
			t.Errorf("no %q in the JSON", key)
		}
	}
	for _, word := range []string{"time", "date", "clock", "seconds"} {
		for key := range m {
			if strings.Contains(key, word) {
				t.Errorf("%q in the statement", key)
			}
		}
	}
}

// N that was counted is said to be treated as public.
func TestStatementSaysThatNWasCounted(t *testing.T) {
	c := e2e()
	c.RecordsDeclared = false
	path := ledgerPath(t)
	mustCreate(t, path, mustPlan(t, c))
	st := statementOf(t, path)
	if st.RecordsPublic != "counted" || strings.Count(st.Text(), "treated as") != 2 {
		t.Errorf("%s", st.Text())
	}
}

// Seeded and noiseless runs: NOT PRIVATE in text and JSON, epsilon null.
func TestStatementOfUnprivateRuns(t *testing.T) {
	seed := uint64(1)
	for name, change := range map[string]func(c *Config){
		"seeded":     func(c *Config) { c.Seed = &seed },
		"no privacy": func(c *Config) { c.TargetEpsilon, c.NoPrivacy = 0, true },
	} {
		c := e2e()
		change(&c)
		path := ledgerPath(t)
		l := mustCreate(t, path, mustPlan(t, c))
		mustCharge(t, l, 1)
		if !strings.Contains(string(readFile(t, path)), "NOT PRIVATE") {
			t.Errorf("%s: the ledger does not say so", name)
		}
		st := statementOf(t, path)
		data, err := st.JSON()
		if err != nil {
			t.Fatal(err)
		}
		text := st.Text()
		if st.Private || st.Epsilon != nil || !strings.Contains(text, "NOT PRIVATE") || !strings.Contains(string(data), "NOT PRIVATE") ||
			!strings.Contains(string(data), `"epsilon": null`) || strings.Contains(text, "was differentially private") {
			t.Errorf("%s:\n%s", name, text)
		}
		if (st.NominalEpsilon != nil) != (name == "seeded") {
			t.Errorf("%s: nominal epsilon %v", name, st.NominalEpsilon)
		}
	}
}

// A printed bound is never smaller than the bound.
func TestUpward(t *testing.T) {
	for x, want := range map[float64]string{3: "3", 2.9999977: "3", 3.0000004: "3.00001", 0: "0", 1e-9: "1e-09", 123456.49: "123457"} {
		if got := upward(x); got != want {
			t.Errorf("upward(%v) = %s, want %s", x, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x := math.Pow(10, rapid.Float64Range(-8, 9).Draw(t, "log x"))
		v, err := strconv.ParseFloat(upward(x), 64)
		if err != nil || v < x || v > x*(1+1.01e-5) {
			t.Fatalf("upward(%v) = %s", x, upward(x))
		}
	})
}
