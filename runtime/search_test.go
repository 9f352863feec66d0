package runtime

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// searchYAML is the search of these tests over the crash tests' model and data: four cells of
// two costs.
func searchYAML(dir, more string) string {
	return fmt.Sprintf(`model: %[1]s/model
task: classify
train: %[1]s/train.jsonl
valid: %[1]s/train.jsonl
valid-public: true
out: %[1]s/out
records: 48
expected-batch: 8
max-length: 16
microbatch: 8
threads: 1
delta: 0.001
lr: [0.001, 0.01]
steps: [2, 3]
`, dir) + more
}

func parseSearch(t *testing.T, text string) SearchOptions {
	t.Helper()
	o, err := ParseSearch([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestParseSearch(t *testing.T) {
	o := parseSearch(t, searchYAML("/d", "target-epsilon: 4\ntrainable: [\"*a*\", \"*b*\"]\nsearch: {mode: random-stopping, mean-runs: 6, shape: 0}\n"))
	if o.Mode != SearchRandomStopping || o.MeanRuns != 6 || o.Shape == nil || o.shape() != 0 || len(o.Cells) != 4 || o.Out != "/d/out" {
		t.Errorf("%+v", o)
	}
	var seen []string
	for _, c := range o.Cells {
		seen = append(seen, fmt.Sprintf("%v %v", c.Options.LearningRate, c.Options.Steps))
		if c.Settings["lr"] != c.Options.LearningRate || c.Settings["steps"] != int(c.Options.Steps) || len(c.Options.Trainable) != 2 || c.Options.Records != 48 {
			t.Errorf("%+v", c)
		}
	}
	if !slices.Equal(seen, []string{"0.001 2", "0.001 3", "0.01 2", "0.01 3"}) {
		t.Errorf("%q", seen)
	}
	for name, text := range map[string]string{
		"no mapping": "- a", "unknown name": "model: x\nclipping: [1, 2]\n", "unknown section": "search: {eta: 1}", "bad value": "lr: [fast]", "empty list": "lr: []",
		"a list of outs": "out: [a, b]", "a list of deltas": "delta: [0.1, 0.2]", "zero": "lr: [0.1, 0]", "too many": "lr: [" + strings.Repeat("1,", 101) + "1]\nsteps: [" + strings.Repeat("1,", 101) + "1]\n",
		"not YAML": "a: [",
	} {
		if _, err := ParseSearch([]byte(text)); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSearchOptionsAreRefused(t *testing.T) {
	dir := crashDir(t)
	random := "search: {mode: random-stopping}\n"
	for name, c := range map[string]struct{ text, says string }{
		"no mode":              {searchYAML(dir, "target-epsilon: 4\n"), "mode"},
		"no budget":            {searchYAML(dir, "target-epsilon: 4\nsearch: {mode: composition}\n"), "--budget"},
		"shape of no draw":     {searchYAML(dir, "budget: b\nbudget-share: 0.1\nsearch: {mode: composition, shape: 0}\n"), "shape"},
		"random with a share":  {searchYAML(dir, "budget: b\nbudget-share: 0.1\n"+random), "budget-share"},
		"random with debug":    {searchYAML(dir, "target-epsilon: 4\ndebug: true\n"+random), "debug"},
		"no records":           {strings.Replace(searchYAML(dir, "target-epsilon: 4\n"+random), "records: 48\n", "", 1), "records"},
		"no score":             {strings.Replace(searchYAML(dir, "target-epsilon: 4\n"+random), "valid-public: true\n", "", 1), "score"},
		"no guarantee":         {searchYAML(dir, random), "exactly one"},
		"noise that varies":    {searchYAML(dir, "noise-multiplier: [1, 2]\n"+random), "same noise"},
		"one run":              {searchYAML(dir, "target-epsilon: 4\nsearch: {mode: random-stopping, mean-runs: 1}\n"), "mean-runs"},
		"without privacy":      {searchYAML(dir, "no-privacy: true\n"+random), "no-privacy"},
		"another accountant":   {searchYAML(dir, "target-epsilon: 4\naccountant: pld\n"+random), "rdp"},
		"unknown distribution": {searchYAML(dir, "target-epsilon: 4\nsearch: {mode: random-stopping, distribution: uniform}\n"), "uniform"},
	} {
		_, err := Search(t.Context(), parseSearch(t, c.text))
		if err == nil || ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if exists(filepath.Join(dir, "out")) {
			t.Fatalf("%s: something was written", name)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("left behind: %v", names)
	}
}

// loaded draws what a test says.
type loaded struct {
	n     int64
	cells []int
	drawn int
}

func (l *loaded) runs(*dpadam.SearchSpec) (int64, error) { return l.n, nil }
func (l *loaded) cell(*dpadam.SearchSpec) (int, error) {
	l.drawn++
	return l.cells[l.drawn-1], nil
}

// The chosen run alone is left, in its place; its statement has the price of the search, which
// is within the target; nothing tells how many runs there were.
func TestRandomStopping(t *testing.T) {
	dir := crashDir(t)
	o := parseSearch(t, searchYAML(dir, "target-epsilon: 4\nsearch: {mode: random-stopping, mean-runs: 3}\n"))
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	o.Progress = silent{}
	r, err := o.randomStopping(t.Context(), &loaded{n: 3, cells: []int{3, 0, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Best == nil || r.Best.Score == nil || r.Best.Out != o.Out || !slices.Contains([]int{1, 3, 4}, r.Best.Cell) || !(r.Epsilon <= 4 && r.Epsilon > 3.99) {
		t.Errorf("%+v, %+v", r, r.Best)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if said.Search == nil || said.Search.Grid != 4 || *said.Epsilon != r.Epsilon || math.Abs(said.Search.MeanRuns-3) > 1e-6 || said.NoiseMultiplier != r.NoiseMultiplier {
		t.Errorf("%+v, %+v", said.Search, *said.Epsilon)
	}
	for _, name := range filesOf(t, o.Out) {
		if strings.HasSuffix(name, configFile) {
			t.Errorf("%s tells how to go on with a run of the search", name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // model, data, out
		t.Errorf("left beside the chosen run: %v", entries)
	}
	var times []int64
	err = filepath.Walk(o.Out, func(_ string, info os.FileInfo, err error) error {
		times = append(times, info.ModTime().UnixNano())
		return err
	})
	if err != nil || slices.Max(times) != slices.Min(times) && slices.Max(times)-slices.Min(times) > 1e9 {
		t.Errorf("the files tell when they were written: %v", times)
	}
	m, err := Open(o.Out, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := Search(t.Context(), o); !errors.Is(err, ErrUsage) {
		t.Errorf("over an existing directory: %v", err)
	}
}

// While runs go on, only their owner can read them, and the best so far is kept by its score.
func TestRandomStoppingKeepsTheBest(t *testing.T) {
	dir := crashDir(t)
	o := parseSearch(t, searchYAML(dir, "noise-multiplier: 3\nsearch: {mode: random-stopping, mean-runs: 3, distribution: poisson}\n"))
	scores := map[int]float64{}
	for i := range o.Cells { // what each cell would score is random; look at it where it lies
		o.Cells[i].Options.Hook = func(point string) {
			if point != dpadam.PointUpdateAfter {
				return
			}
			entries, _ := filepath.Glob(filepath.Join(dir, ".out.search-*"))
			if len(entries) != 1 {
				t.Errorf("%q", entries)
				return
			}
			if info, err := os.Stat(entries[0]); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			var m []metric
			if path := filepath.Join(entries[0], "best", "release", "metrics.jsonl"); exists(path) {
				m = metricsOf(t, path)
				scores[len(scores)] = *m[len(m)-1].ValidAccuracy
			}
		}
	}
	o.Progress = silent{}
	r, err := o.randomStopping(t.Context(), &loaded{n: 4, cells: []int{0, 1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	final := metricsOf(t, filepath.Join(o.Out, "release", "metrics.jsonl"))
	if last := *final[len(final)-1].ValidAccuracy; last != *r.Best.Score {
		t.Errorf("the written run has %v, reported %v", last, *r.Best.Score)
	}
	for i := range len(scores) - 1 {
		if scores[i+1] < scores[i] {
			t.Errorf("the kept score fell: %v", scores)
		}
	}
	if len(scores) == 0 || *r.Best.Score < scores[len(scores)-1] {
		t.Errorf("scores %v, best %v", scores, *r.Best.Score)
	}
}

// A draw of no run releases nothing; a stopped search and one whose run fails neither.
func TestRandomStoppingReleasesNothing(t *testing.T) {
	dir := crashDir(t)
	o := parseSearch(t, searchYAML(dir, "noise-multiplier: 3\nsearch: {mode: random-stopping, mean-runs: 3}\n"))
	o.Progress = silent{}
	if _, err := o.randomStopping(t.Context(), &loaded{}); !errors.Is(err, ErrNoRun) {
		t.Errorf("no run: %v", err)
	}
	stop := make(chan struct{})
	close(stop)
	stopped := o
	stopped.Stop = stop
	if _, err := stopped.randomStopping(t.Context(), &loaded{n: 2, cells: []int{0, 0}}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("stopped: %v", err)
	}
	failing := o
	failing.Cells = slices.Clone(o.Cells)
	failing.Cells[1].Options.Train += ".gone"
	if _, err := failing.randomStopping(t.Context(), &loaded{n: 2, cells: []int{0, 1}}); err == nil || !strings.Contains(err.Error(), "nothing is released") {
		t.Errorf("a run that fails: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

// Noised evaluations are part of what a run of the search costs.
func TestRandomStoppingByNoisedScore(t *testing.T) {
	dir := crashDir(t)
	text := strings.Replace(searchYAML(dir, "target-epsilon: 4\ndp-evaluate: 2\nevaluation-noise: 20\nkeep: best\nsearch: {mode: random-stopping, mean-runs: 2}\n"), "valid-public: true\n", "", 1)
	o := parseSearch(t, text)
	o.Progress = silent{}
	r, err := o.randomStopping(t.Context(), &loaded{n: 2, cells: []int{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Epsilon > 4 || r.Epsilon < 3.99 || r.Best.Score == nil {
		t.Errorf("%+v", r)
	}
	record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
	if err != nil || record.Charges().Evaluations != 2 {
		t.Errorf("%+v, %v", record.Charges(), err)
	}
	for _, cell := range r.Search.Cells {
		if len(cell) != 2 || cell[1] != (dpadam.BudgetEvent{SampleRate: 1, NoiseMultiplier: 20, Count: 2}) {
			t.Errorf("%+v", cell)
		}
	}
	dry := parseSearch(t, strings.Replace(text, dir+"/out", dir+"/dry", 1))
	dry.DryRun = true
	d, err := Search(t.Context(), dry)
	if err != nil || d.Epsilon != r.Epsilon || d.NoiseMultiplier != r.NoiseMultiplier || exists(filepath.Join(dir, "dry")) {
		t.Errorf("dry run %+v, %v", d, err)
	}
}

// Every cell is a run of the budget; a search that was stopped goes on; what the budget does
// not pay for is not run.
func TestSearchByComposition(t *testing.T) {
	dir := crashDir(t)
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 6, Delta: 1e-3})
	text := searchYAML(dir, "budget-share: 0.3\nsearch: {mode: composition}\nbudget: "+path+"\n")
	dry := parseSearch(t, text)
	dry.DryRun = true
	d, err := Search(t.Context(), dry)
	if err != nil || len(d.Runs) != 4 || !(d.Reserved > 1.19 && d.Reserved <= 1.2) || exists(dry.Out) {
		t.Fatalf("dry run: %+v, %v", d, err)
	}
	stop := make(chan struct{})
	o := parseSearch(t, text)
	o.Stop = stop
	o.Cells[1].Options.Hook = func(point string) {
		if point == dpadam.PointUpdateAfter {
			select {
			case <-stop:
			default:
				close(stop)
			}
		}
	}
	r, err := Search(t.Context(), o)
	if !errors.Is(err, ErrInterrupted) || r == nil || len(r.Runs) != 1 {
		t.Fatalf("stopped: %+v, %v", r, err)
	}
	r, err = Search(t.Context(), parseSearch(t, text))
	if !errors.Is(err, dpadam.ErrBudgetSpent) || ExitCode(err) != ExitBudget || len(r.Runs) != 3 || r.Best == nil || r.Reserved > 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if st := budgetOf(t, path); len(st.Runs) != 3 || st.Runs[1].Steps != 3 || !st.Runs[1].Settled || st.Runs[1].Name != "cell-002" {
		t.Errorf("%+v", st.Runs)
	}
	for _, run := range r.Runs {
		if run.Score == nil || *run.Score > *r.Best.Score || run.Epsilon == nil || !exists(filepath.Join(o.Out, run.Out, "model.onnx")) {
			t.Errorf("%+v", run)
		}
	}
	if exists(o.cellOut(3)) {
		t.Error("the run that the budget does not pay for left its directory")
	}
	other := parseSearch(t, strings.Replace(text, "0.001, 0.01", "0.002, 0.01", 1))
	if _, err := Search(t.Context(), other); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "another search") {
		t.Errorf("another search in the same directory: %v", err)
	}
}

// A search by random stopping draws on a budget as one event, whatever number of runs it makes.
func TestRandomStoppingOnABudget(t *testing.T) {
	dir := crashDir(t)
	path := testBudget(t, dpadam.BudgetTerms{Epsilon: 6, Delta: 1e-3})
	o := parseSearch(t, searchYAML(dir, "noise-multiplier: 4\nbudget: "+path+"\nsearch: {mode: random-stopping, mean-runs: 3}\n"))
	o.Progress = silent{}
	r, err := o.randomStopping(t.Context(), &loaded{n: 2, cells: []int{3, 0}})
	if err != nil {
		t.Fatal(err)
	}
	st := budgetOf(t, path)
	if len(st.Runs) != 1 || st.Runs[0].Search == nil || st.Runs[0].Name != "out" || st.Reserved <= 0 || st.Reserved > 1 {
		t.Errorf("%+v", st)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if said.Search == nil || said.Budget == nil || said.Budget.ID != st.Budget || *said.Epsilon != r.Epsilon {
		t.Errorf("%+v, %+v", said.Search, said.Budget)
	}
	dear := parseSearch(t, searchYAML(dir, "noise-multiplier: 0.7\nbudget: "+path+"\nsearch: {mode: random-stopping, mean-runs: 3}\n"))
	dear.Out, dear.Progress = dir+"/dear", silent{}
	if _, err := dear.randomStopping(t.Context(), &loaded{n: 1, cells: []int{0}}); ExitCode(err) != ExitBudget {
		t.Errorf("a search that the budget does not pay for: %v", err)
	}
	if after := budgetOf(t, path); len(after.Runs) != 1 || exists(dear.Out) {
		t.Errorf("it left something: %+v", after.Runs)
	}
}
