package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/mpi"
)

// finetuneOn runs Finetune on every rank of a group; options makes each rank's, and may wrap its comm.
func finetuneOn(t *testing.T, size int, options func(c *mpi.Local) FinetuneOptions) ([]*FinetuneResult, []error) {
	t.Helper()
	results, errs := make([]*FinetuneResult, size), make([]error, size)
	var all sync.WaitGroup
	for r, c := range mpi.NewLocal(size) {
		all.Go(func() {
			o := options(c)
			if o.Ranks == nil {
				o.Ranks = c
			}
			if results[r], errs[r] = Finetune(t.Context(), o); errors.Is(errs[r], ErrRanks) {
				c.Abort()
			}
		})
	}
	all.Wait()
	return results, errs
}

// sharded are the options of a run whose steps have about two microbatches.
func sharded(dir, out string) FinetuneOptions {
	o := crashOptions(dir)
	o.TargetEpsilon, o.NoiseMultiplier, o.Accountant = 0, 1, "rdp"
	o.Out, o.Microbatch, o.CheckpointEvery = filepath.Join(dir, out), 4, 4
	return o
}

// A seeded run writes the same model, to the last bit, whatever the number of ranks, more than there are microbatches
// included, and the same in release/ and debug/.
func TestRanksTrainWhatOneDoes(t *testing.T) {
	dir := crashDir(t)
	writeUsers(t, dir)
	seed := uint64(77)
	for name, change := range map[string]func(o *FinetuneOptions){
		"plain":       func(o *FinetuneOptions) { o.Debug = true },
		"adaptive":    func(o *FinetuneOptions) { o.ClipQuantile, o.EMA, o.Optimizer = 0.5, 0.9, "sgd" },
		"two passes":  func(o *FinetuneOptions) { o.TwoPass, o.Clip, o.Optimizer, o.WeightDecay = true, "auto", "adamw", 0.1 },
		"users":       func(o *FinetuneOptions) { o.Train, o.UnitColumn = filepath.Join(dir, "users.jsonl"), "user" },
		"not private": func(o *FinetuneOptions) { o.NoiseMultiplier, o.NoPrivacy, o.Accountant = 0, true, "" },
		"evaluated": func(o *FinetuneOptions) {
			o.Valid, o.DPEvaluate, o.Keep = o.Train, 2, KeepBest
		},
	} {
		if testing.Short() && name != "plain" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			options := func(out string) FinetuneOptions {
				o := sharded(dir, name+out)
				o.Seed = &seed
				change(&o)
				return o
			}
			one := options("")
			want, err := Finetune(t.Context(), one)
			if err != nil {
				t.Fatal(err)
			}
			sizes := []int{2}
			if name == "plain" && !testing.Short() {
				sizes = []int{1, 2, 4}
			}
			for _, size := range sizes {
				several := options(fmt.Sprint(size))
				results, errs := finetuneOn(t, size, func(*mpi.Local) FinetuneOptions { return several })
				for r, err := range errs {
					if err != nil {
						t.Fatalf("rank %d of %d: %v", r, size, err)
					}
					got := *results[r]
					if got.Out = want.Out; fmt.Sprint(got) != fmt.Sprint(*want) {
						t.Errorf("rank %d of %d: %+v, want %+v", r, size, got, *want)
					}
				}
				compareRuns(t, one.Out, several.Out, one.NoPrivacy)
			}
		})
	}
}

// compareRuns holds a run's files to another's. Without noise float64 sums depend on the order of additions.
func compareRuns(t *testing.T, one, several string, open bool) {
	t.Helper()
	a, b := weightsOf(t, filepath.Join(one, "model.onnx")), weightsOf(t, filepath.Join(several, "model.onnx"))
	for name, v := range a {
		for i := range v {
			if v[i] != b[name][i] && !(open && math.Abs(float64(v[i]-b[name][i])) < 1e-6) {
				t.Fatalf("%s: %s[%d] is %g, of one process %g", several, name, i, b[name][i], v[i])
			}
		}
	}
	files := filesOf(t, one)
	if got := filesOf(t, several); !slices.Equal(files, got) {
		t.Errorf("%s holds %q, want %q", several, got, files)
	}
	for _, name := range files {
		if !strings.HasPrefix(name, "release/") && !strings.HasSuffix(name, "optimizer.safetensors") || strings.HasSuffix(name, "privacy.json") || open {
			continue
		}
		x, err := os.ReadFile(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(several, name))
		if err != nil {
			t.Fatal(err)
		}
		if withoutRun(x) != withoutRun(y) {
			t.Errorf("%s of %s differs:\n%.300s\n%.300s", name, several, x, y)
		}
	}
	if x, err := os.ReadFile(filepath.Join(one, "debug", "steps.jsonl")); err == nil {
		y, err := os.ReadFile(filepath.Join(several, "debug", "steps.jsonl"))
		if err != nil || strings.Count(string(x), "\n") != strings.Count(string(y), "\n") {
			t.Errorf("debug/steps.jsonl of %s: %v", several, err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(x)), "\n") {
			var p, q struct {
				Records int
				Loss    float64
				stepNumbers
			}
			other := strings.Split(string(y), "\n")[i]
			if err := errors.Join(json.Unmarshal([]byte(line), &p), json.Unmarshal([]byte(other), &q)); err != nil {
				t.Fatal(err)
			}
			if p.Records != q.Records || p.NotFinite != q.NotFinite || p.Dropped != q.Dropped || p.NormMax != q.NormMax || p.NormQuantiles != q.NormQuantiles || math.Abs(p.Loss-q.Loss) > 1e-9 || math.Abs(p.NormMean-q.NormMean) > 1e-9 || p.Clipped != q.Clipped {
				t.Errorf("debug/ of %s: %s, want %s", several, other, line)
			}
		}
	}
}

// writeUsers writes the records again, with the column of a user.
func writeUsers(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "train.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	k := 0
	for line := range strings.Lines(string(data)) {
		fmt.Fprintf(&out, "{\"user\": \"u%d\", %s", k*k%17, line[1:])
		k++
	}
	if err := os.WriteFile(filepath.Join(dir, "users.jsonl"), []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A leavingRank is a comm that is lost after some collectives.
type leavingRank struct {
	*mpi.Local
	left int
}

func (l *leavingRank) gone() bool {
	if l.left--; l.left == 0 {
		l.Abort()
	}
	return l.left <= 0
}

func (l *leavingRank) Broadcast(data []byte) error {
	if l.gone() {
		return mpi.ErrAborted
	}
	return l.Local.Broadcast(data)
}

func (l *leavingRank) Exchange(mine []byte) ([][]byte, error) {
	if l.gone() {
		return nil, mpi.ErrAborted
	}
	return l.Local.Exchange(mine)
}

func (l *leavingRank) ReduceScatter(sums []int64, bounds []int) error {
	if l.gone() {
		return mpi.ErrAborted
	}
	return l.Local.ReduceScatter(sums, bounds)
}

func (l *leavingRank) AllGather(values []float32, bounds []int) error {
	if l.gone() {
		return mpi.ErrAborted
	}
	return l.Local.AllGather(values, bounds)
}

// Whenever a rank is lost, all ranks end, what was charged stays charged and every checkpoint loads; the run goes on
// with another number of ranks, and its statement covers every noise that was drawn.
func TestLostRank(t *testing.T) {
	lost := []int{45, 73, 91}
	if testing.Short() {
		lost = lost[1:2]
	}
	for _, after := range lost {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			v := &victim{dir: crashDir(t)}
			var lock sync.Mutex
			noises := map[int64]bool{} // charges whose noise some rank drew
			options := func(resume bool) FinetuneOptions {
				o := sharded(v.dir, "out")
				o.Resume = resume
				o.Hook = func(point string) {
					if point == dpadam.PointNoiseBefore {
						lock.Lock()
						defer lock.Unlock()
						if record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger")); err == nil {
							noises[record.Charged()] = true
						} else {
							t.Error(err)
						}
					}
				}
				return o
			}
			_, errs := finetuneOn(t, 3, func(c *mpi.Local) FinetuneOptions {
				o := options(false)
				if o.Ranks = c; c.Rank() == 1 {
					o.Ranks = &leavingRank{c, after}
				}
				return o
			})
			for r, err := range errs {
				if !errors.Is(err, ErrRanks) {
					t.Fatalf("rank %d: %v", r, err)
				}
			}
			v.spent = int64(len(noises))
			v.check(t, "a rank lost")
			t.Logf("%d steps drew noise", v.spent)
			if _, errs = finetuneOn(t, 2, func(*mpi.Local) FinetuneOptions { return options(true) }); errors.Join(errs...) != nil && !errors.Is(errs[0], dpadam.ErrBudgetSpent) {
				t.Fatal(errs)
			}
			v.spent = int64(len(noises))
			v.check(t, "resumed by two ranks")
			record, err := dpadam.ReadLedger(filepath.Join(v.dir, "out", "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			if said, err := dpadam.NewStatement(record); err != nil || record.Charged() < v.spent || record.Charged() > crashSteps || said.Epsilon == nil {
				t.Errorf("charged %d of %d noises, %v", record.Charged(), v.spent, err)
			}
		})
	}
}

// A request to stop that reaches one rank stops all, with a checkpoint; one process goes on with it.
func TestRanksStopTogether(t *testing.T) {
	dir := crashDir(t)
	asked := make(chan struct{})
	close(asked)
	_, errs := finetuneOn(t, 3, func(c *mpi.Local) FinetuneOptions {
		o := sharded(dir, "out")
		o.CheckpointEvery = 100
		if c.Rank() == 2 {
			o.Stop = asked
		}
		return o
	})
	for r, err := range errs {
		if !errors.Is(err, ErrInterrupted) {
			t.Errorf("rank %d: %v", r, err)
		}
	}
	points, err := outputDir{path: filepath.Join(dir, "out")}.checkpoints()
	if err != nil || len(points) != 1 || points[0].Step != 1 {
		t.Fatalf("%d checkpoints, %v", len(points), err)
	}
	o := sharded(dir, "out")
	o.Resume = true
	if r, err := Finetune(t.Context(), o); err != nil || r.Steps != crashSteps {
		t.Errorf("resumed by one process: %+v, %v", r, err)
	}
}

// Ranks that don't have the same data, model or options are refused before anything is written.
func TestRanksMustAgree(t *testing.T) {
	dir := crashDir(t)
	data, err := os.ReadFile(filepath.Join(dir, "train.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	other := filepath.Join(dir, "other.jsonl")
	if err := os.WriteFile(other, []byte(rest+first+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(o *FinetuneOptions){
		"data set":        func(o *FinetuneOptions) { o.Train = other },
		"list of options": func(o *FinetuneOptions) { o.CheckpointEvery = 3 },
		"exactly one of":  func(o *FinetuneOptions) { o.NoiseMultiplier = 0 },
		"no such file":    func(o *FinetuneOptions) { o.Train = filepath.Join(dir, "missing.jsonl") },
	} {
		t.Run(want, func(t *testing.T) {
			_, errs := finetuneOn(t, 3, func(c *mpi.Local) FinetuneOptions {
				o := sharded(dir, "out")
				if c.Rank() == 1 {
					change(&o)
				}
				return o
			})
			for r, err := range errs {
				if ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), want) {
					t.Errorf("rank %d: %v", r, err)
				}
			}
			if exists(filepath.Join(dir, "out")) {
				t.Error("the output directory was made")
			}
		})
	}
	o := sharded(dir, "out")
	o.Ranks, o.planted = mpi.NewLocal(1)[0], &plantedGradients{}
	if _, err := Finetune(t.Context(), o); ExitCode(err) != ExitUsage {
		t.Errorf("an audit by several ranks: %v", err)
	}
}

// Ranks draw on a budget once, and all hear when it does not pay for them.
func TestRanksDrawOnABudget(t *testing.T) {
	dir := crashDir(t)
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 4, Delta: 1e-3})
	for k, code := range []int{0, ExitBudget} {
		_, errs := finetuneOn(t, 2, func(*mpi.Local) FinetuneOptions {
			o := sharded(dir, fmt.Sprint(k))
			o.NoiseMultiplier, o.Budget, o.BudgetShare = 0, path, 0.6
			return o
		})
		for r, err := range errs {
			if ExitCode(err) != code {
				t.Errorf("run %d, rank %d: %v", k, r, err)
			}
		}
	}
}

// Each processor is divided among the ranks that may use it.
func TestShareOf(t *testing.T) {
	at := func(machine byte, cpus ...int) []byte {
		p := make([]byte, 32+cpuSetBytes)
		p[0] = machine
		for _, c := range cpus {
			p[32+c/8] |= 1 << (c % 8)
		}
		return p
	}
	for name, c := range map[string]struct {
		all             [][]byte
		nearby, threads []int
	}{
		"alone":      {[][]byte{at(0, 0, 1, 2, 9)}, []int{1}, []int{4}},
		"not bound":  {[][]byte{at(0, 0, 1, 2, 3), at(0, 0, 1, 2, 3)}, []int{2, 2}, []int{2, 2}},
		"bound":      {[][]byte{at(0, 0, 1), at(0, 2, 3, 1000)}, []int{2, 2}, []int{2, 3}},
		"crowded":    {[][]byte{at(0, 0), at(0, 0), at(0, 0)}, []int{3, 3, 3}, []int{1, 1, 1}},
		"overlap":    {[][]byte{at(0, 0, 1, 2), at(0, 2)}, []int{2, 2}, []int{2, 1}},
		"machines":   {[][]byte{at(0, 0, 1), at(1, 0, 1), at(1, 0, 1)}, []int{1, 2, 2}, []int{2, 1, 1}},
		"not stated": {[][]byte{at(0), at(0)}, []int{2, 2}, []int{0, 0}},
	} {
		for r := range c.all {
			if local, nearby, threads := shareOf(c.all, r); local < 0 || local >= nearby || nearby != c.nearby[r] || threads != c.threads[r] {
				t.Errorf("%s, rank %d: %d ranks nearby, %d threads; want %d, %d", name, r, nearby, threads, c.nearby[r], c.threads[r])
			}
		}
	}
	all := [][]byte{at(0, 1), at(1, 1), at(0, 1), at(0, 1)}
	for r, want := range []int{0, 0, 1, 2} {
		if local, _, _ := shareOf(all, r); local != want {
			t.Errorf("rank %d is number %d on its machine, want %d", r, local, want)
		}
	}
	if len(placement()) != 32+cpuSetBytes {
		t.Errorf("placement of %d bytes", len(placement()))
	}
}
