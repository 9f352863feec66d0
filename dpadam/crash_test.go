//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dpadam

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The crash tests run the test binary again as a training process, kill it with SIGKILL and
// look at what is left. The child reports every release on its standard output after it
// happened; that count is the observer outside the process.
const crashVariable = "DPADAM_CRASH_CHILD" // path|fault point or ""|occurrence

func TestMain(m *testing.M) {
	if spec := os.Getenv(crashVariable); spec != "" {
		if err := crashChild(strings.Split(spec, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if spec := os.Getenv(budgetVariable); spec != "" {
		if err := budgetChild(strings.Split(spec, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashChild trains until it is done or kills itself at the given occurrence of a point.
func crashChild(spec []string) error {
	path, point := spec[0], spec[1]
	left, err := strconv.Atoi(spec[2])
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
	ctx := context.Background()
	l, err := OpenLedger(ctx, path, nil, LedgerOptions{Hook: hook})
	if errors.Is(err, os.ErrNotExist) {
		var p *Plan
		if p, err = NewPlan(Config{Records: 100, ExpectedBatch: 10, Steps: 1 << 40, NoiseMultiplier: 1, ClipNorm: 0.5, Dim: 300,
			Microbatch: 4, Delta: 1e-4, Optimizer: Adam(1e-3)}); err != nil {
			return err
		}
		l, err = CreateLedger(ctx, path, p, LedgerOptions{Hook: hook})
	}
	if err != nil {
		return err
	}
	s, err := NewStepper(l, 0, StepperOptions{Hook: hook})
	if err != nil {
		return err
	}
	o, err := NewOptimizer(l.Plan(), nil)
	if err != nil {
		return err
	}
	params, grad := make([]float32, 300), make([]float32, 300)
	for n := int64(1); n <= 200; n++ {
		st, err := s.Begin(ctx, n)
		if err != nil {
			return err
		}
		if err := st.Release(ctx, grad); err != nil {
			return err
		}
		fmt.Println("released", st.Index())
		hook(PointUpdateBefore)
		if err := o.Update(params, grad, 1e-3); err != nil {
			return err
		}
		hook(PointUpdateAfter)
	}
	return l.Close()
}

// runChild runs the child, kills it after the delay (0: it kills itself or ends) and returns
// the number of releases seen and the largest charge index among them.
func runChild(t *testing.T, path, point string, occurrence int, delay time.Duration) (released int, last int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d", crashVariable, path, point, occurrence))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if delay > 0 {
		timer := time.AfterFunc(delay, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		var index int64
		if _, err := fmt.Sscanf(sc.Text(), "released %d", &index); err == nil {
			if index <= last {
				t.Errorf("charge %d after %d", index, last)
			}
			released, last = released+1, index
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 0) {
		t.Fatalf("child at %s: %v", point, err)
	}
	return released, last
}

// Killed at every fault point, and resumed after each, one ledger counts every release that
// was seen outside, its lock is free again, and no charge number is used twice.
func TestKilledAtEveryPoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	seen, before := int64(0), int64(0)
	for _, point := range []string{PointLedgerBeforeWrite, PointLedgerAfterWrite, PointLedgerBeforeSync, PointLedgerAfterSync,
		PointNoiseBefore, PointNoiseAfter, PointUpdateBefore, PointUpdateAfter} {
		for _, occurrence := range []int{1, 4} {
			released, last := runChild(t, path, point, occurrence, 0)
			if released > occurrence {
				t.Fatalf("%s: %d releases before occurrence %d", point, released, occurrence)
			}
			seen += int64(released)
			r, err := ReadLedger(path)
			if errors.Is(err, os.ErrNotExist) && seen == 0 {
				continue // killed while the ledger was being created
			}
			if err != nil {
				t.Fatalf("%s: %v", point, err)
			}
			if r.Charged() < seen || r.Charged() < last || r.Charged() < before {
				t.Errorf("%s: charged %d (before: %d), released %d, last charge seen %d", point, r.Charged(), before, seen, last)
			}
			before = r.Charged()
		}
	}
	if seen < 10 {
		t.Errorf("only %d releases were seen", seen)
	}
}

// The same at random moments.
func TestKilledAtRandom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	seen := int64(0)
	for range 12 {
		released, _ := runChild(t, path, "", 0, time.Duration(15+rand.IntN(60))*time.Millisecond)
		seen += int64(released)
		r, err := ReadLedger(path)
		if errors.Is(err, os.ErrNotExist) && seen == 0 {
			continue
		}
		if err != nil || r.Charged() < seen {
			t.Fatalf("%v; released %d", err, seen)
		}
	}
	t.Logf("%d releases seen", seen)
	mustOpen(t, path).Close()
}

// A second process is kept out while the first lives, and let in when it is killed.
func TestLockOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	runChild(t, path, PointUpdateAfter, 1, 0)
	l := mustOpen(t, path)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s||0", crashVariable, path))
	msg, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(msg), "lock on "+path) {
		t.Errorf("a second process got in: %s", msg)
	}
	if n := l.Charged(); n != 1 {
		t.Errorf("%d charges", n)
	}
}
