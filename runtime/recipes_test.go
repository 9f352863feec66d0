package runtime

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// TestRecipes: every recipe is a whole set of train's options, with its title, and one gives each task's defaults.
func TestRecipes(t *testing.T) {
	all, err := recipes()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range all {
		o := r.options
		if r.title == "" || !strings.HasSuffix(r.title, ".") || o.Epochs <= 0 || o.ExpectedBatch <= 0 || o.LearningRate <= 0 || o.MaxLength <= 0 ||
			o.Schedule == "" || o.Method == "" || r.about.RateOpen <= 0 {
			t.Errorf("%s: something is missing: %q %+v %+v", name, r.title, o, r.about)
		}
		if base, ok := all[o.Task]; !ok || base.options.Task != o.Task || base.options.Mode != "" {
			t.Errorf("%s: task %q has no recipe of its name", name, o.Task)
		}
		if slices.Contains(Tasks(), name) != (o.Task == name) {
			t.Errorf("%s: its name does not say whether it gives the defaults of task %q", name, o.Task)
		}
		// It is a configuration file: with the rest that a run needs it is a valid one.
		run, err := ParseOptions(append(slices.Clone(r.file[:strings.Index(string(r.file), "---")]), "model: m\ntrain: t\nout: o\ntarget-epsilon: 3\n"...))
		if err == nil {
			err = run.validate()
		}
		if err != nil {
			t.Errorf("%s as a configuration: %v", name, err)
		}
		if run, err = ParseOptions(r.file); err != nil || run.LearningRate != o.LearningRate {
			t.Errorf("%s: the second document is not left out: %v", name, err)
		}
		if mode := o.Mode; mode != "" { // the numbers of both modes are one set
			base := all[o.Task]
			o.Mode = ""
			if name != o.Task+"-"+mode || !reflect.DeepEqual(o, base.options) || !reflect.DeepEqual(r.about, base.about) {
				t.Errorf("%s differs from %s", name, base.name)
			}
		}
	}
	for _, task := range []string{"sst2", "qnli", "qqp", "mnli", "e2e", "dart", "webnlg", "persona", "lm", "mlm", "classify", "instruct"} {
		if !slices.Contains(Tasks(), task) {
			t.Errorf("no task %s", task)
		}
	}
	if _, err := RecipeText("nothing"); err == nil || !strings.Contains(err.Error(), `unknown recipe "nothing"; there are classify, dart`) {
		t.Errorf("error %v", err)
	}
}

// TestRecipeOrder: flags and files go over a recipe, a zero that was given too; without privacy nothing starts to be clipped.
func TestRecipeOrder(t *testing.T) {
	o, err := ParseOptions([]byte("recipe: e2e-sgd\nmodel: m\ntrain: t\nout: o\nnoise-multiplier: 1\nmomentum: 0\nclip-norm: 0.5\n"))
	if err != nil || o.validate() != nil {
		t.Fatal(err)
	}
	if o.Task != "e2e" || o.Optimizer != "sgd" || o.Momentum != 0 || o.ClipNorm != 0.5 || o.Method != "full" || o.LearningRate != 0 {
		t.Errorf("%+v", o)
	}
	var flags FinetuneOptions
	o = FinetuneOptions{Recipe: "e2e-sgd", Model: "m", Train: "t", Out: "o", NoPrivacy: true}
	o.Take("weight-decay", &flags)
	if err := o.validate(); err != nil || o.Momentum != 0.9 || o.ClipNorm != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	settled, origin, err := o.settle(42061, 1)
	if err != nil || origin != batchPublished || settled.ExpectedBatch != 1024 || settled.Epochs != 10 || settled.Schedule != "constant" {
		t.Errorf("%+v, %s, %v", settled, origin, err)
	}
	for _, c := range []struct {
		o    FinetuneOptions
		dim  int64
		want float64
	}{
		{FinetuneOptions{Task: "e2e", TargetEpsilon: 3}, 124e6, 2e-3},
		{FinetuneOptions{Task: "e2e", TargetEpsilon: 3}, 774e6, 2e-3}, // published for this size
		{FinetuneOptions{Task: "instruct", TargetEpsilon: 3}, 124e6, 2e-3},
		{FinetuneOptions{Task: "instruct", TargetEpsilon: 3}, 774e6, 5e-4},
		{FinetuneOptions{Task: "e2e", NoPrivacy: true}, 1, 5e-4},
		{FinetuneOptions{Task: "e2e", NoPrivacy: true, ClipNorm: 0.1}, 1, 2e-3}, // the authors' column without noise
		{FinetuneOptions{Task: "sst2", NoPrivacy: true}, 1, 5e-5},
		{FinetuneOptions{Task: "sst2", NoPrivacy: true, LearningRate: 1}, 1, 1},
	} {
		if settled, _, err := c.o.settle(5000, c.dim); err != nil || settled.LearningRate != c.want {
			t.Errorf("%s: learning rate %g, %v; want %g", c.o.Task, settled.LearningRate, err, c.want)
		}
	}
	for _, bad := range []FinetuneOptions{{Recipe: "e2e", Task: "dart"}, {Recipe: "none"}, {Task: "e2e-sgd"}} {
		bad.Model, bad.Train, bad.Out, bad.TargetEpsilon = "m", "t", "o", 3
		if err := bad.validate(); err == nil || ExitCode(err) != ExitUsage {
			t.Errorf("%s, %s: error %v", bad.Recipe, bad.Task, err)
		}
	}
}

// TestBatchRule: near the published N the published batch; elsewhere the rule, within its bounds.
func TestBatchRule(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      FinetuneOptions
		n      int64
		batch  float64
		origin batchOrigin
	}{
		{"E2E", FinetuneOptions{Task: "e2e", TargetEpsilon: 3}, 42061, 1024, batchPublished},
		{"E2E without its longest", FinetuneOptions{Task: "e2e", TargetEpsilon: 8}, 40000, 1024, batchPublished},
		{"the later DART", FinetuneOptions{Task: "dart", TargetEpsilon: 8}, 93187, 1024, batchPublished},
		{"MNLI", FinetuneOptions{Task: "mnli", TargetEpsilon: 8}, 392702, 6000, batchPublished},
		{"top2", FinetuneOptions{Recipe: "e2e-top2", TargetEpsilon: 8}, 42061, 512, batchPublished},
		// The rule at the published N, for tasks without one, gives the published batch of E2E at 3.
		{"as E2E", FinetuneOptions{Task: "lm", TargetEpsilon: 3}, 42061, 1024, batchByRule},
		{"a looser target, the fewest updates", FinetuneOptions{Task: "lm", TargetEpsilon: 8}, 42061, 2103, batchByRule},
		{"a tight target, the most updates", FinetuneOptions{Task: "lm", TargetEpsilon: 0.5}, 42061, 512, batchByRule},
		{"as SST-2", FinetuneOptions{Task: "classify", TargetEpsilon: 3}, 67349, 1010, batchByRule},
		{"few records", FinetuneOptions{Task: "lm", TargetEpsilon: 3}, 1000, 64, batchByRule},
		{"very few", FinetuneOptions{Task: "lm", TargetEpsilon: 3}, 64, 8, batchByRule},
		{"one", FinetuneOptions{Task: "lm", TargetEpsilon: 3}, 1, 1, batchByRule},
		{"steps are given", FinetuneOptions{Task: "lm", TargetEpsilon: 3, Steps: 50}, 42061, 1024, batchBounded},
		{"noise is given", FinetuneOptions{Task: "lm", NoiseMultiplier: 1}, 4000, 500, batchBounded},
		{"without privacy", FinetuneOptions{Task: "sst2", NoPrivacy: true}, 80, 10, batchBounded},
		{"given", FinetuneOptions{Task: "e2e", TargetEpsilon: 3, ExpectedBatch: 7}, 42061, 7, batchGiven},
		{"users", FinetuneOptions{Task: "e2e", TargetEpsilon: 3, UnitColumn: "mr"}, 42061, 1024, batchByRule},
	} {
		settled, origin, err := c.o.settle(c.n, 1)
		if err != nil || settled.ExpectedBatch != c.batch || origin != c.origin {
			t.Errorf("%s: batch %g (%s), %v; want %g (%s)", c.name, settled.ExpectedBatch, origin, err, c.batch, c.origin)
		}
		again, _, err := settled.settle(c.n, 1)
		if err != nil || !reflect.DeepEqual(again, settled) {
			t.Errorf("%s: what is settled does not stay: %+v, %v", c.name, again, err)
		}
	}
	for _, n := range []int64{3, 500, 777, 12345, 1e6, 1e9} { // the bounds
		for _, epsilon := range []float64{0.2, 50} {
			o := FinetuneOptions{Task: "lm", TargetEpsilon: epsilon, Epochs: 5}
			settled, _, err := o.settle(n, 1)
			if err != nil {
				t.Fatal(err)
			}
			b, updates := settled.ExpectedBatch, 5*float64(n)/settled.ExpectedBatch
			if small := min(64, math.Ceil(float64(n)/8)); b < small || b > small && (b > float64(n)/8 || updates < fewestUpdates || updates > 2*mostUpdates) {
				t.Errorf("N = %d, epsilon %g: batch %g, %g updates", n, epsilon, b, updates)
			}
		}
	}
}

// TestBatchTable: σ/q falls with the batch, and one row is the chosen one, whatever it is.
func TestBatchTable(t *testing.T) {
	for chosen, rows := range map[float64]int{1024: 9, 1000: 10, 1: 5, 42061: 6} {
		o := FinetuneOptions{Task: "e2e", TargetEpsilon: 3, Epochs: 10}
		r, err := o.recipe()
		if err != nil {
			t.Fatal(err)
		}
		table, err := o.batchRule(r, 42061).table(chosen)
		if err != nil || len(table) != rows {
			t.Errorf("%g: %d rows, %v; want %d", chosen, len(table), err, rows)
		}
		marked := 0
		for i, row := range table {
			if i > 0 && (row.Batch <= table[i-1].Batch || row.Effective >= table[i-1].Effective) {
				t.Errorf("%g: %+v after %+v", chosen, row, table[i-1])
			}
			if row.Chosen {
				marked++
			}
			if row.Batch == 1024 && (row.Steps != 411 || math.Abs(row.NoiseMultiplier-1.0753) > 1e-3 || math.Abs(row.Effective-row.NoiseMultiplier*42061/1024) > 1e-9) {
				t.Errorf("%+v", row)
			}
		}
		if marked != 1 {
			t.Errorf("%g: %d rows are marked", chosen, marked)
		}
	}
}

// TestGuidance: each warning comes with its cause alone.
func TestGuidance(t *testing.T) {
	r, err := recipeNamed("sst2")
	if err != nil {
		t.Fatal(err)
	}
	plain := func() guided {
		return guided{recipe: r, origin: batchGiven, mode: ModeInfill, clips: true, masks: true, spec: dpadam.Spec{
			Records: 67349, ExpectedBatch: 1000, SampleRate: 1000.0 / 67349, NoiseMultiplier: 1, ClipNorm: 0.1, Optimizer: dpadam.Adam(5e-4)}}
	}
	for name, c := range map[string]struct {
		change func(*guided)
		want   string
	}{
		"as published":        {func(*guided) {}, ""},
		"a small batch":       {func(g *guided) { g.spec.ExpectedBatch, g.spec.SampleRate = 32, 0.0005 }, "expected batch of 32 is small"},
		"by rule":             {func(g *guided) { g.spec.ExpectedBatch, g.spec.SampleRate, g.origin = 32, 0.0005, batchByRule }, ""},
		"few records":         {func(g *guided) { g.spec.ExpectedBatch, g.spec.Records = 32, 400 }, ""},
		"a large C":           {func(g *guided) { g.spec.ClipNorm = 1 }, "clipping norm of 1 is large"},
		"automatic clipping":  {func(g *guided) { g.spec.ClipNorm, g.clips = 1, false }, ""},
		"a small rate":        {func(g *guided) { g.spec.Optimizer.LearningRate = 5e-5 }, "learning rate of 5e-05 is small for a batch of 1000"},
		"a small rate of SGD": {func(g *guided) { g.spec.Optimizer = dpadam.SGD(5e-5, 0) }, ""},
		"a small rate at a small share": {func(g *guided) {
			g.spec.Optimizer.LearningRate, g.spec.ExpectedBatch, g.spec.SampleRate = 5e-5, 200, 0.003
		}, ""},
		"a decay":         {func(g *guided) { g.spec.Optimizer = dpadam.AdamW(5e-4, 0.01) }, "weight decay of 0.01"},
		"a warm-up":       {func(g *guided) { g.spec.Schedule.Warmup = 10 }, "warm-up of 10 steps"},
		"a head":          {func(g *guided) { g.mode = ModeHead }, "--mode infill"},
		"no mask":         {func(g *guided) { g.mode, g.masks = ModeHead, false }, ""},
		"without privacy": {func(g *guided) { g.mode, g.spec.ClipNorm, g.spec.NoiseMultiplier = ModeHead, 5, 0 }, ""},
	} {
		g := plain()
		c.change(&g)
		got := strings.Join(g.guidance(), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Count(got, "\n") > 0 {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A messages is a Progress that keeps what is said before the first step.
type messages struct {
	silent
	said  []string
	steps int
}

func (m *messages) Message(text string) {
	if m.steps == 0 {
		m.said = append(m.said, text)
	}
}
func (m *messages) Step(StepReport) { m.steps++ }

// TestRecipeOfARun: a run says where its hyperparameters come from and what goes against the guidance before its first
// step, saves what was settled, goes on with that, and counts what it dropped in debug/ alone.
func TestRecipeOfARun(t *testing.T) {
	o := crashOptions(crashDir(t))
	watch := &messages{}
	o.Out, o.Recipe, o.Task, o.Steps, o.ExpectedBatch, o.LearningRate, o.ClipNorm = filepath.Join(t.TempDir(), "out"), "classify", "", 0, 0, 0, 2
	o.Epochs, o.Debug, o.Progress = 0.125, true, watch
	r, err := Finetune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(watch.said, "\n")
	if !strings.Contains(said, "recipe classify; expected batch") || !strings.Contains(said, "clipping norm of 2 is large") {
		t.Errorf("said %q", said)
	}
	saved, err := SavedOptions(o.Out)
	if err != nil || saved.ExpectedBatch != math.Ceil(float64(crashRecords)/8) || saved.LearningRate != 5e-4 || saved.Epochs != 0.125 || saved.Schedule != "linear" || saved.Recipe != "classify" {
		t.Errorf("saved %+v, %v", saved, err)
	}
	var dropped struct {
		Train struct {
			Records int
			Dropped map[string]int
		}
	}
	data, err := os.ReadFile(filepath.Join(o.Out, "debug", droppedFile))
	if err == nil {
		err = json.Unmarshal(data, &dropped)
	}
	if err != nil || dropped.Train.Records != crashRecords || len(dropped.Train.Dropped) != 0 {
		t.Errorf("%s: %+v, %v", droppedFile, dropped, err)
	}
	if r.Planned != 1 {
		t.Errorf("%d steps planned", r.Planned)
	}
}
