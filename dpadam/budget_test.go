package dpadam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustBudget(t testing.TB, terms BudgetTerms) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "budget")
	if err := CreateBudget(path, terms); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustReadBudget(t testing.TB, path string) *BudgetRecord {
	t.Helper()
	r, err := ReadBudget(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// drawingPlan is a plan of 20 steps that draws on the budget at path.
func drawingPlan(t testing.TB, path string, change func(*Config)) *Plan {
	t.Helper()
	c := Config{Records: 100, RecordsDeclared: true, ExpectedBatch: 10, Steps: 20, NoiseMultiplier: 3, ClipNorm: 0.5, Accountant: "rdp",
		Rho: 1e-3, Dim: 20, Microbatch: 4, Delta: 1e-4, Optimizer: Adam(1e-3), Budget: mustReadBudget(t, path).Ref(path)}
	if change != nil {
		change(&c)
	}
	return mustPlan(t, c)
}

// reserve opens the budget, reserves for the ledger and closes it.
func reserve(t testing.TB, path string, l *Ledger) error {
	t.Helper()
	b, err := OpenBudget(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return b.Reserve(l, "run")
}

func settleRun(t testing.TB, path string, ledgers ...string) error {
	t.Helper()
	b, err := OpenBudget(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var records []*LedgerRecord
	for _, l := range ledgers {
		r, err := ReadLedger(l)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return b.Settle(records...)
}

// The order that is chosen gives Gaussian mechanisms the most, the limit is what the
// conversion of RDP to (epsilon, delta) allows at that order and not more.
func TestBudgetOrder(t *testing.T) {
	for _, c := range []struct{ epsilon, delta float64 }{{0.1, 1e-9}, {1, 1e-5}, {3, 1e-6}, {8, 1e-5}, {50, 1e-3}} {
		terms, err := NewBudgetTerms(BudgetTerms{Epsilon: c.epsilon, Delta: c.delta})
		if err != nil {
			t.Fatal(err)
		}
		a := terms.Order
		r := terms.limit() / (a - 1)
		back := r + math.Log1p(-1/a) - math.Log(c.delta*a)/(a-1)
		if back > c.epsilon || back < c.epsilon*(1-1e-9)-1e-9 {
			t.Errorf("epsilon %v: the limit at order %v converts to %v", c.epsilon, a, back)
		}
		for _, alpha := range []float64{1.5, 2, 5, 10, 32, 64, 128, 1024} {
			other := terms
			other.Order = alpha
			if other.limit()/((alpha-1)*alpha) > r/a*(1+1e-12) {
				t.Errorf("epsilon %v: order %v gives more than %v", c.epsilon, alpha, a)
			}
		}
		// Gaussian mechanisms without sampling: D_alpha = alpha/(2 sigma^2) each.
		p, err := newBudgetPricer(terms)
		if err != nil {
			t.Fatal(err)
		}
		sigma := 7.0
		share, err := p.share([]BudgetEvent{{1, sigma, 3, nil}, {1, sigma, 2, nil}})
		if want := 5 * a / (2 * sigma * sigma) / r; err != nil || math.Abs(share/want-1) > 1e-9 || share < want {
			t.Errorf("share %v, want %v (%v)", share, want, err)
		}
	}
}

// What the filter lets through, every accountant with a proof finds within epsilon.
func TestFilterIsSoundAgainstTheAccountant(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-5})
	acc := NewRDP()
	rapid.Check(t, func(rt *rapid.T) {
		r := mustReadBudget(t, path)
		var events []BudgetEvent
		for range rapid.IntRange(1, 5).Draw(rt, "events") {
			events = append(events, BudgetEvent{rapid.Float64Range(1e-4, 1).Draw(rt, "q"), rapid.Float64Range(0.5, 50).Draw(rt, "sigma"), rapid.Int64Range(1, 1000).Draw(rt, "count"), nil})
		}
		share, err := r.pricer.share(events)
		if err != nil {
			rt.Fatal(err)
		}
		res, err := acc.upperEpsilon(r.terms.composition(events), accountedDelta(1e-5))
		if err != nil {
			rt.Fatal(err)
		}
		if share <= 1 && res > 3*(1+1e-9) {
			rt.Fatalf("share %v and epsilon %v", share, res)
		}
	})
}

// A budget's life: runs reserve before they charge, what does not fit is refused without a
// trace, a run that ended early gives back what its ledger did not charge, and takes it again
// when it goes on.
func TestBudgetLife(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-4})
	p := drawingPlan(t, path, nil)
	if err := mustReadBudget(t, path).Afford(p); err != nil {
		t.Fatal(err)
	}
	first := ledgerPath(t)
	l := mustCreate(t, first, p)
	if _, err := l.Charge(t.Context(), 1); !errors.Is(err, ErrMisuse) {
		t.Fatalf("a charge without a reservation: %v", err)
	}
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	mustCharge(t, l, 1, 2, 3)
	l.Close()
	one, err := mustReadBudget(t, path).Share()
	if err != nil || one <= 0 {
		t.Fatal(one, err)
	}
	l = mustOpen(t, first) // resumed: no second reservation
	before := readFile(t, path)
	if _, err := l.Charge(t.Context(), 4); !errors.Is(err, ErrMisuse) {
		t.Fatalf("resumed without asking the budget: %v", err)
	}
	if err := reserve(t, path, l); err != nil || !bytes.Equal(before, readFile(t, path)) {
		t.Fatalf("a resumed run reserved twice (%v)", err)
	}
	mustCharge(t, l, 4, 5)
	l.Close()
	fits := int(1/one) - 1 // further runs
	for range fits {
		next := mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
		if err := reserve(t, path, next); err != nil {
			t.Fatal(err)
		}
	}
	before = readFile(t, path)
	last := mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
	if err := reserve(t, path, last); !errors.Is(err, ErrBudgetSpent) {
		t.Fatalf("one run too many: %v", err)
	}
	if err := mustReadBudget(t, path).Afford(drawingPlan(t, path, nil)); !errors.Is(err, ErrBudgetSpent) {
		t.Fatalf("affordable: %v", err)
	}
	if !bytes.Equal(before, readFile(t, path)) {
		t.Error("the refusal left a trace")
	}
	if _, err := last.Charge(t.Context(), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("a refused run charges: %v", err)
	}
	if err := settleRun(t, path, first); err != nil {
		t.Fatal(err)
	}
	r := mustReadBudget(t, path)
	if run := r.Runs()[0]; !run.Settled || run.Charges != (Charges{Steps: 5}) || run.Events[0].Count != 5 {
		t.Errorf("settled: %+v", run)
	}
	if share, _ := r.Share(); math.Abs(share-(float64(fits)+0.25)*one) > 1e-9 {
		t.Errorf("share %v, one run is %v", share, one)
	}
	small := mustCreate(t, ledgerPath(t), drawingPlan(t, path, func(c *Config) { c.Steps = 14 }))
	if err := reserve(t, path, small); err != nil {
		t.Fatal(err) // 5 of 20 steps were used: there is room for 14 now
	}
	// And now the first one cannot go on to its end.
	l = mustOpen(t, first)
	if err := reserve(t, path, l); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("a settled run goes on although its part was given away: %v", err)
	}
	if r := mustReadBudget(t, path); r.Runs()[0].Charges.Steps != 5 {
		t.Errorf("%+v", r.Runs()[0])
	}
}

// A settled run that goes on reserves again what it gave back.
func TestBudgetReservesAgain(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-4})
	ledger := ledgerPath(t)
	l := mustCreate(t, ledger, drawingPlan(t, path, func(c *Config) { c.Evaluation = evaluatedConfig().Evaluation }))
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	mustCharge(t, l, 1)
	mustEvaluate(t, l, 1)
	l.Close()
	if err := settleRun(t, path, ledger); err != nil {
		t.Fatal(err)
	}
	size := len(readFile(t, path))
	if err := settleRun(t, path, ledger); err != nil || len(readFile(t, path)) != size {
		t.Errorf("settled twice: %v", err)
	}
	l = mustOpen(t, ledger)
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	r := mustReadBudget(t, path)
	if run := r.Runs()[0]; len(r.Runs()) != 1 || run.Settled || run.Charges != (Charges{20, 4}) {
		t.Errorf("%+v", run)
	}
	mustCharge(t, l, 2)
}

// Branches of a copied run are settled together, and then not by one of them alone.
func TestBudgetSettlesBranches(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-4})
	a, b := ledgerPath(t), ledgerPath(t)
	l := mustCreate(t, a, drawingPlan(t, path, nil))
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	mustCharge(t, l, 1, 2)
	l.Close()
	writeFile(t, b, readFile(t, a))
	for i, ledger := range []string{a, b} {
		l := mustOpen(t, ledger)
		if err := reserve(t, path, l); err != nil {
			t.Fatal(err)
		}
		for n := range int64(15 + i) {
			mustCharge(t, l, 3+n)
		}
		l.Close()
	}
	if err := settleRun(t, path, a); err != nil {
		t.Fatal(err)
	}
	if err := settleRun(t, path, b); !errors.Is(err, ErrLedger) {
		t.Errorf("another branch: %v", err)
	}
	if err := settleRun(t, path, a, b); err != nil {
		t.Fatal(err)
	}
	if run := mustReadBudget(t, path).Runs()[0]; run.Charges.Steps != 2+15+16 {
		t.Errorf("%+v", run)
	}
	if err := settleRun(t, path, a); !errors.Is(err, ErrLedger) {
		t.Errorf("one branch after all: %v", err)
	}
}

// With settings fixed in advance the accountant prices everything, and nothing is given back.
func TestFixedSettings(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 2, Delta: 1e-4, Mode: BudgetFixed, Accountant: "rdp"})
	n := 0
	for ; ; n++ {
		ledger := ledgerPath(t)
		l := mustCreate(t, ledger, drawingPlan(t, path, func(c *Config) { c.NoiseMultiplier = 2 }))
		if err := reserve(t, path, l); errors.Is(err, ErrBudgetSpent) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		mustCharge(t, l, 1)
		l.Close()
		if err := settleRun(t, path, ledger); err != nil {
			t.Fatal(err)
		}
	}
	at := func(steps int64) float64 {
		c, err := Compose(AddRemove, Phase{0.1, 2, steps})
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRDP().Epsilon(c, accountedDelta(1e-4))
		if err != nil {
			t.Fatal(err)
		}
		return r.Epsilon
	}
	if n < 2 || at(int64(20*n)) > 2 || at(int64(20*(n+1))) <= 2 {
		t.Errorf("%d runs fit; epsilon %v, one more %v", n, at(int64(20*n)), at(int64(20*(n+1))))
	}
	st, err := NewBudgetStatement(mustReadBudget(t, path))
	if err != nil || math.Abs(*st.Spent-at(int64(20*n))) > 1e-12 || st.Runs[0].Steps != 20 {
		t.Errorf("%+v, %v", st, err)
	}
}

// A share of the budget calibrates the noise: as many such runs fit, and not one more.
func TestBudgetShare(t *testing.T) {
	for _, terms := range []BudgetTerms{{Epsilon: 3, Delta: 1e-4}, {Epsilon: 3, Delta: 1e-4, Mode: BudgetFixed, Accountant: "rdp"}} {
		path := mustBudget(t, terms)
		for i := range 4 {
			p := drawingPlan(t, path, func(c *Config) {
				c.NoiseMultiplier, c.BudgetShare = 0, 1.0/3
				c.Evaluation = &EvaluationSpec{Count: 2, Kind: EvaluateAccuracy, NoiseMultiplier: 20, Records: 100}
			})
			err := reserve(t, path, mustCreate(t, ledgerPath(t), p))
			if fits := i < 3; fits != (err == nil) || !fits && !errors.Is(err, ErrBudgetSpent) {
				t.Fatalf("%s: run %d: %v", terms.Mode, i+1, err)
			}
		}
		if share, _ := mustReadBudget(t, path).Share(); share > 1 || share < 0.99 {
			t.Errorf("%s: three thirds are %v", terms.Mode, share)
		}
	}
}

func TestBudgetIsHeldToItsTerms(t *testing.T) {
	for name, terms := range map[string]BudgetTerms{
		"no epsilon": {Delta: 1e-5}, "epsilon NaN": {Epsilon: math.NaN(), Delta: 1e-5}, "no delta": {Epsilon: 1}, "delta 1": {Epsilon: 1, Delta: 1},
		"relation": {Epsilon: 1, Delta: 1e-5, Relation: "swap"}, "mode": {Epsilon: 1, Delta: 1e-5, Mode: "trust"},
		"order 1": {Epsilon: 1, Delta: 1e-5, Order: 1}, "order too small": {Epsilon: 1, Delta: 1e-5, Order: 2},
		"order and accountant": {Epsilon: 1, Delta: 1e-5, Order: 8, Accountant: "rdp"},
		"fixed with an order":  {Epsilon: 1, Delta: 1e-5, Order: 8, Mode: BudgetFixed}, "unknown accountant": {Epsilon: 1, Delta: 1e-5, Mode: BudgetFixed, Accountant: "abacus"},
	} {
		path := filepath.Join(t.TempDir(), "budget")
		if err := CreateBudget(path, terms); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
			t.Errorf("%s: left %v", name, entries)
		}
	}
	path := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-4})
	if err := CreateBudget(path, BudgetTerms{Epsilon: 3, Delta: 1e-4}); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("created twice: %v", err)
	}
	ref := mustReadBudget(t, path).Ref(path)
	seed := uint64(1)
	for name, change := range map[string]func(*Config){
		"relation":   func(c *Config) { c.Relation = ReplaceOne },
		"unit":       func(c *Config) { c.Unit = "one patient" },
		"seeded":     func(c *Config) { c.Seed = &seed },
		"no privacy": func(c *Config) { c.NoiseMultiplier, c.NoPrivacy = 0, true },
		"two shares": func(c *Config) { c.BudgetShare = 0.5 },
		"share > 1":  func(c *Config) { c.NoiseMultiplier, c.BudgetShare = 0, 1.5 },
		"share NaN":  func(c *Config) { c.NoiseMultiplier, c.BudgetShare = 0, math.NaN() },
		"no budget":  func(c *Config) { c.NoiseMultiplier, c.Budget, c.BudgetShare = 0, nil, 0.5 },
	} {
		c := Config{Records: 100, ExpectedBatch: 10, Steps: 20, NoiseMultiplier: 1, ClipNorm: 0.5, Dim: 20, Delta: 1e-4, Optimizer: Adam(1e-3), Budget: ref}
		change(&c)
		if _, err := NewPlan(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-4})
	l := mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
	if err := reserve(t, other, l); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("another budget: %v", err)
	}
	plainLedger := ledgerPath(t)
	plain := mustCreate(t, plainLedger, smallPlan(t, 3))
	if err := reserve(t, path, plain); !errors.Is(err, ErrMisuse) {
		t.Errorf("a run without a budget: %v", err)
	}
	mustCharge(t, plain, 1)
	plain.Close()
	if err := settleRun(t, path, plainLedger); !errors.Is(err, ErrMisuse) {
		t.Errorf("settling a run without a budget: %v", err)
	}
	l.Close()
	if err := settleRun(t, path, l.path); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("settling a run that reserved nothing: %v", err)
	}
}

// A target epsilon and a budget: both hold; the run is charged no more than it reserved.
func TestTargetAndBudget(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 3, Delta: 1e-4})
	p := drawingPlan(t, path, func(c *Config) { c.NoiseMultiplier, c.TargetEpsilon, c.ExpectedBatch, c.Steps = 0, 2, 50, 5 })
	if n, err := p.MaxCharges(t.Context()); err != nil || n != 5 {
		t.Errorf("%d charges, %v", n, err)
	}
	l := mustCreate(t, ledgerPath(t), p)
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	mustCharge(t, l, 1, 2, 3, 4, 5)
	if _, err := l.Charge(t.Context(), 6); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("a sixth step: %v", err)
	}
	if r, _ := l.Epsilon(); r.Epsilon > 2 {
		t.Errorf("epsilon %v", r.Epsilon)
	}
}

// usedBudget has three runs, one settled.
func usedBudget(t testing.TB) (path string, l *Ledger) {
	path = mustBudget(t, BudgetTerms{Epsilon: 8, Delta: 1e-4})
	for i := range 3 {
		l = mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
		if err := reserve(t, path, l); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			mustCharge(t, l, 1)
			l.Close()
			if err := settleRun(t, path, l.path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return path, l
}

// Lines removed, doubled, exchanged, edited or cut off are noticed.
func TestBudgetTampering(t *testing.T) {
	path, _ := usedBudget(t)
	data := readFile(t, path)
	head, err := readBudgetHead(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(bytes.Clone(lines[len(lines)-1]), '\n')
	refuse := func(name string, parts ...[]byte) {
		t.Helper()
		if _, err := readBudget(bytes.NewReader(bytes.Join(parts, nil)), path, head); !errors.Is(err, ErrBudgetFile) {
			t.Errorf("%s: read (%v)", name, err)
		}
	}
	for i := range lines {
		refuse(fmt.Sprintf("line %d removed", i+1), slices.Delete(slices.Clone(lines), i, i+1)...)
		refuse(fmt.Sprintf("cut before line %d", i+1), lines[:i]...)
		refuse(fmt.Sprintf("line %d doubled", i+1), slices.Insert(slices.Clone(lines), i, lines[i])...)
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			refuse(fmt.Sprintf("lines %d and %d exchanged", i, i+1), swapped...)
		}
	}
	for i := range data[:len(data)-1] {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		refuse(fmt.Sprintf("byte %d changed", i), bad)
	}
	for cut := range len(data) - 1 {
		refuse(fmt.Sprintf("cut at %d", cut), data[:cut])
	}
	// A shortened budget cannot be opened for writing, and is left as it is.
	writeFile(t, path, data[:len(data)-100])
	if _, err := OpenBudget(t.Context(), path, nil); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("shortened: %v", err)
	}
	if !bytes.Equal(readFile(t, path), data[:len(data)-100]) {
		t.Error("a refused budget was changed")
	}
	// Without its head it is refused too; with a head of another budget as well.
	os.Remove(budgetHeadPath(path))
	if _, err := ReadBudget(path); !errors.Is(err, ErrBudgetFile) || !strings.Contains(err.Error(), ".head") {
		t.Errorf("without a head: %v", err)
	}
	other := mustBudget(t, BudgetTerms{Epsilon: 8, Delta: 1e-4})
	writeFile(t, budgetHeadPath(path), readFile(t, budgetHeadPath(other)))
	if _, err := ReadBudget(path); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("with another's head: %v", err)
	}
}

// A crash leaves any prefix of a line that FILE.head does not count yet: the torn line is
// listed and paid for nothing; one that is whole counts.
func TestBudgetTornLine(t *testing.T) {
	path, _ := usedBudget(t)
	data, head := readFile(t, path), readFile(t, budgetHeadPath(path))
	l := mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	full := readFile(t, path)
	for cut := len(data); cut <= len(full); cut += 23 {
		if cut+23 > len(full) {
			cut = len(full)
		}
		at := filepath.Join(t.TempDir(), "budget")
		writeFile(t, at, full[:cut])
		writeFile(t, budgetHeadPath(at), head)
		r := mustReadBudget(t, at)
		if whole := cut >= len(full)-1; len(r.Runs()) != 3 && !whole || len(r.Runs()) != 4 && whole {
			t.Fatalf("cut at %d: %d runs", cut, len(r.Runs()))
		}
		next := mustCreate(t, ledgerPath(t), drawingPlan(t, at, nil))
		for range 2 { // the second time it has it already
			if err := reserve(t, at, next); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		if again := mustReadBudget(t, at); len(again.Runs()) != len(r.Runs())+1 || len(again.tail) != 0 {
			t.Fatalf("cut at %d: %d runs after one more", cut, len(again.Runs()))
		}
	}
}

// A disk that takes no more: the ledger cannot charge, and the next process goes on.
func TestBudgetOnAFullDisk(t *testing.T) {
	path, _ := usedBudget(t)
	l := mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
	b, err := OpenBudget(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	read, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	locked := b.file
	b.file = read // writing to it fails
	if err := b.Reserve(l, "run"); err == nil {
		t.Fatal("reserved without writing")
	}
	if _, err := l.Charge(t.Context(), 1); !errors.Is(err, ErrMisuse) {
		t.Errorf("charged without a reservation: %v", err)
	}
	b.file = locked
	if err := b.Reserve(l, "run"); !errors.Is(err, ErrBudgetFile) {
		t.Errorf("a second try after a failed write: %v", err)
	}
	b.Close()
	if err := reserve(t, path, l); err != nil {
		t.Errorf("after there is room again: %v", err)
	}
	// No room for the head: the line is there, and counts, but nothing may be charged.
	other := mustCreate(t, ledgerPath(t), drawingPlan(t, path, nil))
	if b, err = OpenBudget(t.Context(), path, func(point string) {
		if point == PointBudgetAfterSync {
			os.Remove(budgetHeadPath(path))
			os.Mkdir(budgetHeadPath(path), 0o700) // renaming a file over it fails
		}
	}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Reserve(other, "run"); err == nil || other.reserved {
		t.Errorf("reserved without its head: %v", err)
	}
}

// Any history of runs, endings and crashes keeps what was really charged within the budget.
func TestBudgetNeverExceeded(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprintf("budget%d", n))
		if err := CreateBudget(path, BudgetTerms{Epsilon: 3, Delta: 1e-4}); err != nil {
			rt.Fatal(err)
		}
		var ledgers []string
		for range rapid.IntRange(1, 5).Draw(rt, "events") {
			n++
			ledger := filepath.Join(dir, fmt.Sprintf("ledger%d", n))
			p := drawingPlan(t, path, func(c *Config) {
				c.NoiseMultiplier, c.Steps = rapid.Float64Range(0.7, 2).Draw(rt, "sigma"), rapid.Int64Range(1, 6).Draw(rt, "steps")
			})
			l, err := CreateLedger(context.Background(), ledger, p, LedgerOptions{})
			if err != nil {
				rt.Fatal(err)
			}
			ledgers = append(ledgers, ledger)
			if err := reserve(t, path, l); err != nil && !errors.Is(err, ErrBudgetSpent) {
				rt.Fatal(err)
			}
			for i := range rapid.Int64Range(0, p.Steps()).Draw(rt, "charges") {
				if _, err := l.Charge(context.Background(), i+1); err != nil {
					break
				}
			}
			l.Close()
			if rapid.Bool().Draw(rt, "settle") && l.reserved {
				if err := settleRun(t, path, ledger); err != nil {
					rt.Fatal(err)
				}
			}
		}
		r := mustReadBudget(t, path)
		var really []BudgetEvent
		for _, ledger := range ledgers {
			rec, err := ReadLedger(ledger)
			if err != nil {
				rt.Fatal(err)
			}
			events, _ := budgetEvents(rec.plan.Composition(rec.Charges()))
			really = append(really, events...)
		}
		used, err := r.pricer.share(really)
		reserved, err2 := r.Share()
		if err != nil || err2 != nil || used > reserved*(1+1e-12) || reserved > 1 {
			rt.Fatalf("used %v, reserved %v, %v %v", used, reserved, err, err2)
		}
	})
}

// A ledger that a run holds cannot be settled from outside.
func TestHoldLedger(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, smallPlan(t, 3))
	if _, _, err := HoldLedger(path); !errors.Is(err, ErrLocked) {
		t.Errorf("held while the run goes on: %v", err)
	}
	l.Close()
	r, c, err := HoldLedger(path)
	if err != nil || r.Charged() != 0 {
		t.Fatal(err)
	}
	if _, err := OpenLedger(t.Context(), path, nil, LedgerOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("resumed while it is settled: %v", err)
	}
	c.Close()
	if _, _, err := HoldLedger(path + "x"); !errors.Is(err, ErrLedger) {
		t.Errorf("missing: %v", err)
	}
}

// The statements of a run and of its budget say what each promises.
func TestBudgetStatement(t *testing.T) {
	path, l := usedBudget(t)
	mustCharge(t, l, 1, 2)
	run := statementOf(t, l.path)
	if run.Budget == nil || run.Budget.Epsilon != 8 || *run.Epsilon >= 8 {
		t.Errorf("%+v", run.Budget)
	}
	text := strings.Join(strings.Fields(run.Text()), " ")
	for _, want := range []string{"epsilon = 8 at delta = 0.0001 for all its runs together", "Renyi filter at order", "do not draw on the budget"} {
		if !strings.Contains(text, want) {
			t.Errorf("the run's statement does not say %q:\n%s", want, run.Text())
		}
	}
	st, err := NewBudgetStatement(mustReadBudget(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if st.Overdrawn || len(st.Runs) != 3 || !st.Runs[1].Settled || st.Runs[1].Steps != 1 || st.Runs[2].Steps != 20 || st.Spent != nil {
		t.Errorf("%+v", st)
	}
	text = strings.Join(strings.Fields(st.Text()), " ")
	for _, want := range []string{"with epsilon = 8 at delta = 0.0001", "one record", "renyi-filter, order", "reserved in full", "settled by its ledger", "smaller epsilon"} {
		if !strings.Contains(text, want) {
			t.Errorf("the budget's statement does not say %q:\n%s", want, st.Text())
		}
	}
	data, err := st.JSON()
	var m map[string]any
	if err != nil || json.Unmarshal(data, &m) != nil || m["epsilon"] != 8.0 || m["mode"] != BudgetFilter {
		t.Errorf("%s", data)
	}
}

func FuzzParseBudget(f *testing.F) {
	path, _ := usedBudget(f)
	data := readFile(f, path)
	f.Add(data)
	f.Add(data[:len(data)-9])
	f.Add(append(bytes.Clone(data), `{"type":"res`...))
	search := mustBudget(f, BudgetTerms{Epsilon: 8, Delta: 1e-4})
	b, err := OpenBudget(f.Context(), search, nil)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := b.ReserveSearch(mustSearch(f, "", 1, 3, []BudgetEvent{{0.1, 5, 30, nil}}), "tuned"); err != nil {
		f.Fatal(err)
	}
	b.Close()
	f.Add(readFile(f, search))
	fixed := mustBudget(f, BudgetTerms{Epsilon: 8, Delta: 1e-4, Mode: BudgetFixed, Accountant: "rdp"})
	f.Add(readFile(f, fixed))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseBudget(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrBudgetFile) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if r.Head().Lines != int64(len(r.lines)) || r.bytes != int64(len(data)) {
			t.Fatalf("head %+v of %d lines, %d of %d bytes", r.Head(), len(r.lines), r.bytes, len(data))
		}
		searches := false // whose price takes a while
		for _, run := range r.Runs() {
			searches = searches || run.search() != nil
			if run.Charges.Steps < run.settled.Steps {
				t.Fatalf("%+v", run)
			}
		}
		if r.terms.Mode == BudgetFilter && len(r.runs) < 4 && !searches {
			if share, err := r.Share(); err != nil || !(share >= 0) {
				t.Fatalf("share %v, %v", share, err)
			}
		}
	})
}

// For a known sampling rate and number of steps the chosen order needs the least noise.
func TestChooseBudgetOrder(t *testing.T) {
	terms := BudgetTerms{Epsilon: 3, Delta: 1e-6}
	order, err := ChooseBudgetOrder(t.Context(), terms, 0.001, 10000)
	if err != nil {
		t.Fatal(err)
	}
	sigma := func(order float64) float64 {
		at := terms
		at.Order = order
		at, err := NewBudgetTerms(at)
		if err != nil {
			t.Fatal(err)
		}
		s, err := leastNoise(at.limit(), func(s float64) (float64, error) {
			return 10000 * logMoment(rdpKey{0.001, s, AddRemove}, order), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	best := sigma(order)
	for _, other := range []float64{5, 5.6, 6, 7, 8.9, 12} {
		if sigma(other) < best*0.998 {
			t.Errorf("order %v needs %v, the chosen %v needs %v", other, sigma(other), order, best)
		}
	}
	for _, bad := range []struct {
		q     float64
		steps int64
	}{{2, 1}, {math.NaN(), 1}, {0.1, -1}} {
		if _, err := ChooseBudgetOrder(t.Context(), terms, bad.q, bad.steps); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Branches of a copied run can take more than the budget has. Then it says so, and pays for
// nothing any more.
func TestOverdrawnBudget(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 1.5, Delta: 1e-4})
	a, b := ledgerPath(t), ledgerPath(t)
	l := mustCreate(t, a, drawingPlan(t, path, func(c *Config) { c.NoiseMultiplier, c.BudgetShare = 0, 0.9 }))
	if err := reserve(t, path, l); err != nil {
		t.Fatal(err)
	}
	l.Close()
	writeFile(t, b, readFile(t, a))
	for _, ledger := range []string{a, b} {
		l := mustOpen(t, ledger)
		if err := reserve(t, path, l); err != nil {
			t.Fatal(err)
		}
		for n := range int64(15) {
			mustCharge(t, l, n+1)
		}
		l.Close()
	}
	if err := settleRun(t, path, a, b); err != nil {
		t.Fatal(err)
	}
	st, err := NewBudgetStatement(mustReadBudget(t, path))
	if err != nil || !st.Overdrawn || st.Reserved < 1.3 || st.Runs[0].Steps != 30 {
		t.Fatalf("%+v, %v", st, err)
	}
	if text := st.Text(); !strings.Contains(text, "OVERDRAWN") || strings.Contains(text, "are differentially private") || !strings.Contains(text, "left 0.00 %") {
		t.Error(text)
	}
	small := drawingPlan(t, path, func(c *Config) { c.Steps, c.NoiseMultiplier = 1, 1000 })
	if err := mustReadBudget(t, path).Afford(small); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("an overdrawn budget pays: %v", err)
	}
}
