//go:build mpi

package mpi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// underMPI marks the processes that TestWorld starts.
const underMPI = "GHOSTWRITER_TEST_MPI"

// TestWorldRank is not a test: it is a rank of TestWorld.
func TestWorldRank(t *testing.T) {
	if os.Getenv(underMPI) == "" {
		t.Skip("a helper of the tests under mpirun")
	}
	w, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := Launched(); n != w.Size() {
		t.Errorf("the launcher started %d processes, MPI knows %d", n, w.Size())
	}
	for round := range 20 {
		if err := exercise(w, round); err != nil {
			t.Errorf("rank %d of %d, round %d: %v", w.Rank(), w.Size(), round, err)
			w.Abort(1)
		}
	}
	const n = 8 << 20 // several pieces
	sums, values, bounds := make([]int64, n), make([]float32, n), make([]int, w.Size()+1)
	for r := range bounds {
		bounds[r] = n * r / w.Size()
	}
	best := [2]time.Duration{time.Hour, time.Hour}
	for range 5 {
		begun := time.Now()
		if err := w.ReduceScatter(sums, bounds); err != nil {
			t.Error(err)
		}
		reduced := time.Now()
		if err := w.AllGather(values, bounds); err != nil {
			t.Error(err)
		}
		best[0], best[1] = min(best[0], reduced.Sub(begun)), min(best[1], time.Since(reduced))
	}
	if w.Rank() == 0 { // the rates of docs/distributed.md
		fmt.Printf("%d ranks: reduce-scatter %.2f GB/s, all-gather %.2f GB/s of the vector\n", w.Size(), 8*n/best[0].Seconds()/1e9, 4*n/best[1].Seconds()/1e9)
	}
	if err := w.AllGather(make([]float32, 3), []int{0, 4}); err == nil {
		t.Error("wrong bounds are not refused")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// The collectives do under mpirun what dpadam.Comm says.
func TestWorld(t *testing.T) {
	mpirun, err := exec.LookPath("mpirun")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no mpirun")
	}
	for _, size := range []int{1, 2, 3, 4} {
		c := exec.Command(mpirun, "--oversubscribe", "--allow-run-as-root", "-np", strconv.Itoa(size), os.Args[0], "-test.run=^TestWorldRank$", "-test.v")
		c.Env = append(os.Environ(), underMPI+"=1")
		out, err := c.CombinedOutput()
		if err != nil || strings.Count(string(out), "--- PASS: TestWorldRank") != size {
			t.Errorf("%d ranks: %v\n%s", size, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "reduce-scatter") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}
