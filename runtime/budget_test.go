package runtime

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

func testBudget(t *testing.T, terms dpadam.BudgetTerms) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "patients.budget")
	if err := dpadam.CreateBudget(path, terms); err != nil {
		t.Fatal(err)
	}
	return path
}

func budgetOf(t *testing.T, path string) *dpadam.BudgetStatement {
	t.Helper()
	r, err := dpadam.ReadBudget(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := dpadam.NewBudgetStatement(r)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// Runs draw on one budget until it is spent; the one that does not fit is refused with exit
// code 4 and leaves nothing behind.
func TestRunsDrawOnABudget(t *testing.T) {
	dir := crashDir(t)
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 4, Delta: 1e-3})
	for _, name := range []string{"one", "two", "three"} {
		o := crashOptions(dir)
		o.Out, o.TargetEpsilon, o.Budget, o.BudgetShare = filepath.Join(dir, name), 0, path, 0.45
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Finetune(t.Context(), o)
		if name != "three" {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, dpadam.ErrBudgetSpent) || ExitCode(err) != ExitBudget {
			t.Errorf("a third run of 45 %%: %v", err)
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(before, after) || exists(o.Out) {
			t.Errorf("the refused run left something (%v)", err)
		}
	}
	st := budgetOf(t, path)
	if len(st.Runs) != 2 || st.Runs[0].Name != "one" || !st.Runs[1].Settled || st.Runs[1].Steps != crashSteps || st.Reserved > 0.9 || st.Reserved < 0.89 {
		t.Errorf("%+v", st)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(dir, "one", "release", "privacy.json"), &said)
	if said.Budget == nil || said.Budget.Epsilon != 4 || said.Budget.Share != 0.45 || said.Budget.ID != st.Budget {
		t.Errorf("the run's statement: %+v", said.Budget)
	}
}

// A stopped run keeps its reservation, does not reserve again when it goes on, and is
// settled by its ledger when it ends.
func TestResumedRunReservesOnce(t *testing.T) {
	dir := crashDir(t)
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 30, Delta: 1e-3})
	o := crashOptions(dir)
	stop := make(chan struct{})
	close(stop)
	o.Budget, o.Stop = path, stop
	if _, err := Finetune(t.Context(), o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if st := budgetOf(t, path); len(st.Runs) != 1 || st.Runs[0].Settled || st.Runs[0].Steps != crashSteps {
		t.Fatalf("%+v", st.Runs)
	}
	saved, err := SavedOptions(o.Out)
	if err != nil || saved.Budget != path {
		t.Fatalf("%q, %v", saved.Budget, err)
	}
	saved.Resume, saved.Out = true, o.Out
	if _, err := Finetune(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if st := budgetOf(t, path); len(st.Runs) != 1 || !st.Runs[0].Settled || st.Runs[0].Steps != crashSteps {
		t.Errorf("%+v", st.Runs)
	}
}

// Killed at any point of reserving, charging or noising: the budget covers what the ledger
// charges, the ledger what was drawn, and the run ends as one run of the budget.
func TestKilledWithABudget(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, point := range []string{dpadam.PointBudgetBeforeWrite, dpadam.PointBudgetAfterWrite, dpadam.PointBudgetAfterSync, dpadam.PointBudgetAfterHead,
		dpadam.PointLedgerAfterWrite, dpadam.PointNoiseBefore, dpadam.PointUpdateAfter} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			v := &victim{dir: crashDir(t), variant: withBudget}
			path := filepath.Join(v.dir, "budget")
			if err := dpadam.CreateBudget(path, dpadam.BudgetTerms{Epsilon: 30, Delta: 1e-3}); err != nil {
				t.Fatal(err)
			}
			count := 1
			if point == dpadam.PointLedgerAfterWrite || point == dpadam.PointNoiseBefore {
				count = 3
			}
			if code, text := v.start(t, point, count, 0); code != -1 {
				t.Fatalf("the child ended with %d instead of being killed: %s", code, text)
			}
			v.check(t, "killed")
			record, err := dpadam.ReadLedger(filepath.Join(v.dir, "out", "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			if st := budgetOf(t, path); record.Charged() > 0 && (len(st.Runs) != 1 || st.Runs[0].Steps < record.Charged()) {
				t.Errorf("%d steps charged, %+v reserved", record.Charged(), st.Runs)
			}
			v.finish(t, "killed at "+point)
			record, err = dpadam.ReadLedger(filepath.Join(v.dir, "out", "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			if st := budgetOf(t, path); len(st.Runs) != 1 || st.Runs[0].Charges != record.Charges() || !st.Runs[0].Settled {
				t.Errorf("at last %+v charged, %+v in the budget", record.Charges(), st.Runs)
			}
		})
	}
}

func TestBudgetOptionsAreRefused(t *testing.T) {
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 4, Delta: 1e-3})
	seed := uint64(1)
	for name, c := range map[string]struct {
		change func(*FinetuneOptions)
		says   string
	}{
		"no way to choose the noise": {func(o *FinetuneOptions) { o.TargetEpsilon = 0 }, "--budget-share"},
		"two of them":                {func(o *FinetuneOptions) { o.BudgetShare = 0.5 }, "exactly one"},
		"a share of nothing":         {func(o *FinetuneOptions) { o.Budget, o.TargetEpsilon, o.BudgetShare = "", 0, 0.5 }, "--budget-share"},
		"more than all":              {func(o *FinetuneOptions) { o.TargetEpsilon, o.BudgetShare = 0, 1.5 }, "1.5"},
		"seeded":                     {func(o *FinetuneOptions) { o.Seed = &seed }, "--seed"},
		"no privacy":                 {func(o *FinetuneOptions) { o.TargetEpsilon, o.NoPrivacy = 0, true }, "--no-privacy"},
		"missing file":               {func(o *FinetuneOptions) { o.Budget += "x" }, "budget create"},
		"another relation":           {func(o *FinetuneOptions) { o.Relation = "replace-one" }, "add-remove"},
		"another unit":               {func(o *FinetuneOptions) { o.UnitColumn = "text" }, "one record"},
	} {
		o := crashOptions(crashDir(t))
		o.Budget = path
		c.change(&o)
		_, err := Finetune(t.Context(), o)
		if err == nil || ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if exists(o.Out) {
			t.Errorf("%s: the output directory was created", name)
		}
	}
}

// told collects messages.
type told struct {
	silent
	lines []string
}

func (p *told) Message(text string) { p.lines = append(p.lines, text) }

// A budget that cannot be settled when the run ends keeps the reservation; the model is
// written all the same, and the run says what to do.
func TestBudgetThatCannotBeSettled(t *testing.T) {
	dir := crashDir(t)
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 30, Delta: 1e-3})
	o := crashOptions(dir)
	said := &told{}
	o.Budget, o.Progress = path, said
	o.Hook = func(point string) {
		if point == dpadam.PointNoiseBefore && exists(path) {
			if err := os.Rename(path, path+".moved"); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(o.Out, "model.onnx")) || !strings.Contains(strings.Join(said.lines, "\n"), "budget settle") {
		t.Errorf("%q", said.lines)
	}
	if err := os.Rename(path+".moved", path); err != nil {
		t.Fatal(err)
	}
	if st := budgetOf(t, path); len(st.Runs) != 1 || st.Runs[0].Settled || st.Runs[0].Steps != crashSteps {
		t.Errorf("%+v", st.Runs)
	}
}
