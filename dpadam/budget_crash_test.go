//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dpadam

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The tests below run the test binary again as processes that draw on one budget.
const budgetVariable = "DPADAM_BUDGET_CHILD" // budget|directory of ledgers|runs|fault point or ""|occurrence

// budgetChild makes so many runs of three steps, one after the other, until the budget is
// spent, or kills itself. It reports every release after it happened.
func budgetChild(spec []string) error {
	path, dir, point := spec[0], spec[1], spec[3]
	runs, err := strconv.Atoi(spec[2])
	if err != nil {
		return err
	}
	left, err := strconv.Atoi(spec[4])
	if err != nil {
		return err
	}
	hook := func(p string) {
		if p == point {
			if left--; left == 0 {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
	for i := range runs {
		err := budgetRun(path, filepath.Join(dir, fmt.Sprintf("%d-%d", os.Getpid(), i)), hook)
		if errors.Is(err, ErrBudgetSpent) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func budgetRun(path, ledger string, hook func(string)) error {
	ctx := context.Background()
	b, err := OpenBudget(ctx, path, hook)
	if err != nil {
		return err
	}
	defer b.Close()
	p, err := NewPlan(Config{Records: 100, ExpectedBatch: 10, Steps: 3, NoiseMultiplier: 2, ClipNorm: 0.5, Dim: 8,
		Microbatch: 4, Delta: 1e-4, Accountant: "rdp", Optimizer: Adam(1e-3), Budget: b.Record().Ref(path)})
	if err != nil {
		return err
	}
	if err := b.Record().Afford(p); err != nil {
		return err
	}
	l, err := CreateLedger(ctx, ledger, p, LedgerOptions{Hook: hook})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := b.Reserve(l, filepath.Base(ledger)); err != nil {
		return err
	}
	b.Close()
	s, err := NewStepper(l, 0, StepperOptions{Hook: hook})
	if err != nil {
		return err
	}
	grad := make([]float32, 8)
	for n := int64(1); n <= 3; n++ {
		st, err := s.Begin(ctx, n)
		if err != nil {
			return err
		}
		if err := st.Release(ctx, grad); err != nil {
			return err
		}
		fmt.Println("released")
	}
	return nil
}

func startBudgetChild(t *testing.T, path, dir string, runs int, point string, occurrence int) (released int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d|%s|%d", budgetVariable, path, dir, runs, point, occurrence))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return 0
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return 0
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "released") {
			released++
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 0) {
		t.Errorf("child at %q: %v", point, err)
	}
	return released
}

// Two processes draw on one budget at once until it is spent: together they reserve what
// one alone could, never more.
func TestTwoProcessesOneBudget(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 2, Delta: 1e-4})
	dir := t.TempDir()
	var wait sync.WaitGroup
	released := make([]int, 2)
	for i := range released {
		wait.Go(func() { released[i] = startBudgetChild(t, path, dir, 1000, "", 0) })
	}
	wait.Wait()
	r := mustReadBudget(t, path)
	share, err := r.Share()
	if err != nil {
		t.Fatal(err)
	}
	one := share / float64(len(r.Runs()))
	if share > 1 || share+one <= 1 || len(r.Runs()) < 10 {
		t.Errorf("%d runs take %v, one takes %v", len(r.Runs()), share, one)
	}
	if n := released[0] + released[1]; n != 3*len(r.Runs()) {
		t.Errorf("%d releases of %d runs", n, len(r.Runs()))
	}
	t.Logf("%d and %d releases", released[0], released[1])
}

// Killed at every fault point, no release is missing from the ledgers, and no ledger has
// charged what the budget has not reserved.
func TestBudgetKilledAtEveryPoint(t *testing.T) {
	path := mustBudget(t, BudgetTerms{Epsilon: 20, Delta: 1e-4})
	dir := t.TempDir()
	seen := 0
	for _, point := range []string{PointBudgetBeforeWrite, PointBudgetAfterWrite, PointBudgetAfterSync, PointBudgetAfterHead,
		PointLedgerBeforeWrite, PointLedgerAfterWrite, PointLedgerAfterSync, PointNoiseBefore, PointNoiseAfter} {
		for _, occurrence := range []int{1, 3} {
			seen += startBudgetChild(t, path, dir, 4, point, occurrence)
			checkBudgetRuns(t, point, path, dir, seen)
		}
	}
	if seen < 20 {
		t.Errorf("only %d releases were seen", seen)
	}
}

// checkBudgetRuns holds every ledger in dir to the budget and all to the releases seen.
func checkBudgetRuns(t *testing.T, point, path, dir string, seen int) {
	t.Helper()
	r := mustReadBudget(t, path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	charged := int64(0)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		l, err := ReadLedger(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatalf("%s: %v", point, err)
		}
		charged += l.Charged()
		run := r.run(l.run)
		if l.Charged() > 0 && (run == nil || run.Charges.Steps < l.Charged()) {
			t.Errorf("%s: a ledger charges %d steps, the budget has %+v", point, l.Charged(), run)
		}
	}
	if charged < int64(seen) {
		t.Errorf("%s: %d charged, %d seen", point, charged, seen)
	}
}
