package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// newRun begins the ledger of a run with q = 0.1, sigma = 1.25, delta = 1e-5 in a directory
// like train's, and returns the directory.
func newRun(t testing.TB, change func(*dpadam.Config)) (dir string, l *dpadam.Ledger) {
	t.Helper()
	c := dpadam.Config{Records: 100, RecordsDeclared: true, ExpectedBatch: 10, Steps: 50, NoiseMultiplier: 1.25, Delta: 1e-5,
		ClipNorm: 0.5, Rho: 1e-3, Dim: 20, Microbatch: 4, Optimizer: dpadam.Adam(1e-3)}
	if change != nil {
		change(&c)
	}
	plan, err := dpadam.NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if l, err = dpadam.CreateLedger(t.Context(), filepath.Join(dir, "ledger"), plan, dpadam.LedgerOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return dir, l
}

// charge charges the steps from first to last and closes the ledger.
func charge(t testing.TB, l *dpadam.Ledger, first, last int64) {
	t.Helper()
	for n := first; n <= last; n++ {
		if _, err := l.Charge(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// branch copies a run and goes on with the copy.
func branch(t testing.TB, dir string, first, last int64) (copied string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	copied = t.TempDir()
	path := filepath.Join(copied, "ledger")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := dpadam.OpenLedger(t.Context(), path, nil, dpadam.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	charge(t, l, first, last)
	return copied
}

func statement(t testing.TB, paths ...string) dpadam.Statement {
	t.Helper()
	stdout, stderr, code := privacy(t, append([]string{"statement", "--json"}, paths...)...)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var st dpadam.Statement
	if err := json.Unmarshal([]byte(stdout), &st); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return st
}

// price is what `privacy epsilon` says about so many steps of newRun's plan.
func price(t testing.TB, steps int64) float64 {
	t.Helper()
	return *ask(t, question("epsilon", run1(0.1, 1.25, steps, "--delta", "1e-5")...)...).Epsilon
}

// expect compares a statement with the price of its charges. A plan accounts at
// delta*(1 - 2^-40), so that its epsilon may be a little larger, never smaller.
func expect(t testing.TB, st dpadam.Statement, steps int64, branches int) {
	t.Helper()
	want := price(t, steps)
	if !st.Private || st.Epsilon == nil || st.Delta == nil {
		t.Fatalf("%+v", st)
	}
	if *st.Epsilon < want || *st.Epsilon > want*(1+1e-9) || *st.Delta != 1e-5 || st.StepsCharged != steps || st.Branches != branches {
		t.Errorf("epsilon %v at %v for %d charges in %d branches; want %v for %d in %d",
			*st.Epsilon, *st.Delta, st.StepsCharged, st.Branches, want, steps, branches)
	}
}

func TestPrivacyStatement(t *testing.T) {
	dir, l := newRun(t, nil)
	expect(t, statement(t, dir), 0, 1) // also while the run holds the ledger
	charge(t, l, 1, 7)
	expect(t, statement(t, dir), 7, 1)

	file := filepath.Join(dir, "ledger")
	byDir, _, _ := privacy(t, "statement", dir, "--json")
	byFile, _, _ := privacy(t, "statement", file, "--json")
	r, err := dpadam.ReadLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	st, err := dpadam.NewStatement(r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := st.JSON()
	if err != nil || byDir != string(want) || byFile != string(want) {
		t.Errorf("directory %q, file %q, want %q (%v)", byDir, byFile, want, err)
	}
	text, stderr, code := privacy(t, "statement", dir)
	if code != 0 || stderr != "" || text != st.Text() || math.Abs(printed(t, text, "epsilon")/price(t, 7)-1) > 1e-5 {
		t.Errorf("exit %d: %s%s", code, stderr, text)
	}
}

// A torn line was charged: it is in the statement.
func TestPrivacyStatementCountsTornLines(t *testing.T) {
	dir, l := newRun(t, nil)
	charge(t, l, 1, 3)
	f, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"type":"st`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	st := statement(t, dir)
	expect(t, st, 4, 1)
	if st.TornLines != 1 {
		t.Errorf("%d torn lines", st.TornLines)
	}
}

// Branches of one run: the common beginning counts once, each branch in full, in any order
// and however often a ledger is named.
func TestPrivacyStatementMergesBranches(t *testing.T) {
	dir, l := newRun(t, nil)
	charge(t, l, 1, 5)
	here, there := branch(t, dir, 6, 7), branch(t, dir, 6, 8)
	expect(t, statement(t, here), 7, 1)
	expect(t, statement(t, dir, here), 7, 1) // the old state and what became of it
	expect(t, statement(t, here, here), 7, 1)
	expect(t, statement(t, here, filepath.Join(there, "ledger")), 5+2+3, 2)
	expect(t, statement(t, there, dir, here, there), 5+2+3, 2)
}

// Runs that guarantee nothing say so, in JSON and in text, with exit code 0.
func TestPrivacyStatementOfUnprivateRuns(t *testing.T) {
	seed := uint64(1)
	for name, change := range map[string]func(*dpadam.Config){
		"seeded":     func(c *dpadam.Config) { c.Seed = &seed },
		"no privacy": func(c *dpadam.Config) { c.NoiseMultiplier, c.NoPrivacy = 0, true },
	} {
		dir, l := newRun(t, change)
		charge(t, l, 1, 2)
		st := statement(t, dir)
		if st.Private || st.Epsilon != nil || st.Delta != nil || !strings.HasPrefix(st.NotPrivate, "NOT PRIVATE") {
			t.Errorf("%s: %+v", name, st)
		}
		text, _, code := privacy(t, "statement", dir)
		if code != 0 || !strings.Contains(text, "NOT PRIVATE") || strings.Contains(text, "was differentially private") {
			t.Errorf("%s: exit %d: %s", name, code, text)
		}
	}
}

// Exit code 2 and nothing on standard output for what is no ledger, and for different runs.
func TestPrivacyStatementRefuses(t *testing.T) {
	dir, l := newRun(t, nil)
	charge(t, l, 1, 4)
	other, l2 := newRun(t, nil)
	charge(t, l2, 1, 4)
	data, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	without := tempFile(t, "ledger", strings.Join(append(lines[:2:2], lines[3:]...), "")) // one charge taken out
	empty := tempFile(t, "ledger", "")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"none":            {nil, "arg"},
		"absent":          {[]string{filepath.Join(dir, "absent")}, "missing"},
		"no ledger in it": {[]string{t.TempDir()}, "missing"},
		"empty":           {[]string{empty}, "no complete first line"},
		"a charge less":   {[]string{without}, "line 3"},
		"a damaged one":   {[]string{dir, without}, "line 3"},
		"different runs":  {[]string{dir, other}, "different runs"},
	} {
		for _, args := range [][]string{c.args, append(c.args[:len(c.args):len(c.args)], "--json")} {
			stdout, stderr, code := privacy(t, append([]string{"statement"}, args...)...)
			if code != runtime.ExitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
				t.Errorf("%s: exit %d, wrote %q and %q", name, code, stdout, stderr)
			}
		}
	}
}
