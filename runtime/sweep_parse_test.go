package runtime

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const sweepHead = "model: m\ntask: classify\ntrain: private.jsonl\nrecords: 100\nexpected-batch: 10\ntarget-epsilon: 3\nepochs: 2\nout: swept\n"

func TestParseSweep(t *testing.T) {
	for name, c := range map[string]struct {
		more  string
		cells []string
		axes  []string
		check func(cells []SweepCell) bool
	}{
		"a grid": {"budget: b\ngrid:\n  expected-batch: [8, 16]\n  lr: [1e-3, 0.01]\n",
			[]string{"expected-batch-8_lr-1e-3", "expected-batch-8_lr-0.01", "expected-batch-16_lr-1e-3", "expected-batch-16_lr-0.01"}, []string{"expected-batch", "lr"},
			func(c []SweepCell) bool {
				return c[2].Options.ExpectedBatch == 16 && c[2].Options.LearningRate == 1e-3 && c[2].Options.Budget == "b" && !c[2].Public && c[0].Options.Out == ""
			}},
		"alternatives give way": {"public-data: true\ngrid: {no-privacy: [true, false]}\ncells: [{name: a, steps: 5}]\n", []string{"a_no-privacy-true", "a_no-privacy-false"}, []string{"no-privacy"},
			func(c []SweepCell) bool {
				return c[0].Options.TargetEpsilon == 0 && c[0].Options.NoPrivacy && c[0].Options.Steps == 5 && c[0].Options.Epochs == 0 && c[1].Options.TargetEpsilon == 3
			}},
		"sampling rate": {"budget: b\ngrid: {sample-rate: [0.5]}\n", []string{"sample-rate-0.5"}, []string{"sample-rate"},
			func(c []SweepCell) bool { return c[0].Options.ExpectedBatch == 0 && c[0].Options.SampleRate == 0.5 }},
		"cells by the grid by repeats": {"budget: b\nrepeats: 2\ngrid: {clip-norm: [0.1]}\ncells: [{name: full}, {name: few, method: bias-only, repeats: 1, grid: {}}]\n",
			[]string{"full_clip-norm-0.1_repeat-1", "full_clip-norm-0.1_repeat-2", "few"}, []string{"clip-norm"},
			func(c []SweepCell) bool {
				return c[1].Settings[settingRepeat] == 2 && c[2].Options.Method == "bias-only" && c[2].Options.ClipNorm == 0 && c[2].Settings[settingCell] == "few"
			}},
		"public beside private": {"budget: b\ncells: [{name: pre, no-privacy: true, public-data: true, train: public.jsonl}, {name: tuned, model: \"@pre\"}]\n", []string{"pre", "tuned"}, nil,
			func(c []SweepCell) bool {
				return c[0].Public && c[0].Options.Budget == "" && !c[1].Public && c[1].Options.Budget == "b" && c[1].from == "pre"
			}},
		"paths, lists and odd characters": {"budget: b\ngrid: {model: [one/m, two/m, \"a b/ü?\"], trainable: [x, [kind:bias, layers:1]]}\n",
			[]string{"model-m_trainable-x", "model-m_trainable-kind-bias+layers-1", "model-m_trainable-x.2", "model-m_trainable-kind-bias+layers-1.2", "model-none_trainable-x", "model-none_trainable-kind-bias+layers-1"},
			[]string{"model", "trainable"}, func(c []SweepCell) bool {
				return c[2].Options.Model == "two/m" && slices.Equal(c[1].Options.Trainable, []string{"kind:bias", "layers:1"})
			}},
		"anchors and merges": {"budget: b\ngrid: {lr: &rates [1e-3, 1e-2]}\ncells:\n- &full {name: full, clip-norm: 0.5, steps: 3}\n- {<<: *full, name: few, steps: 7}\n- {<<: [{clip-norm: 2}, *full], name: both, grid: {clip-norm: *rates}}\n",
			[]string{"full_lr-1e-3", "full_lr-1e-2", "few_lr-1e-3", "few_lr-1e-2", "both_clip-norm-1e-3", "both_clip-norm-1e-2"}, []string{"lr", "clip-norm"},
			func(c []SweepCell) bool {
				return c[2].Options.Steps == 7 && c[2].Options.ClipNorm == 0.5 && c[4].Options.Steps == 3 && c[4].Options.ClipNorm == 1e-3
			}},
		"seeds":   {"public-data: true\ngrid: {seed: [0, 7]}\n", []string{"seed-0", "seed-7"}, []string{"seed"}, func(c []SweepCell) bool { return *c[1].Options.Seed == 7 }},
		"one run": {"public-data: true\n", []string{"run"}, nil, func(c []SweepCell) bool { return len(c[0].Settings) == 0 }},
	} {
		o, err := ParseSweep([]byte(sweepHead + c.more))
		if err == nil {
			err = o.validate()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, cell := range o.Cells {
			names = append(names, cell.Name)
		}
		if !slices.Equal(names, c.cells) || !slices.Equal(o.Axes, c.axes) || o.Out != "swept" {
			t.Errorf("%s: cells %q, axes %q, out %q", name, names, o.Axes, o.Out)
			continue
		}
		if !c.check(o.Cells) {
			t.Errorf("%s: %+v", name, o.Cells)
		}
	}
}

func TestParseSweepRefuses(t *testing.T) {
	for name, c := range map[string]struct{ more, says string }{
		"neither budget nor public":    {"grid: {lr: [1e-3]}\n", "public-data: true"},
		"both":                         {"budget: b\npublic-data: true\n", "declared public"},
		"unprivate runs on a budget":   {"budget: b\ngrid: {no-privacy: [true]}\n", "--budget pays for private runs only"},
		"seeds on a budget":            {"budget: b\ngrid: {seed: [1]}\n", "--budget pays for private runs only"},
		"a private score":              {"budget: b\nvalid: v.jsonl\n", "dp-evaluate"},
		"public and private at once":   {"budget: b\ncells: [{name: a}, {name: b, public-data: true}]\n", "private.jsonl is declared public, but cell a"},
		"an unknown name":              {"budget: b\nlearning-rat: 3\n", "learning-rat"},
		"an unknown name in the grid":  {"budget: b\ngrid: {learning-rat: [3]}\n", "learning-rat"},
		"no list":                      {"budget: b\ngrid: {lr: 3}\n", "lr must have a list"},
		"an empty list":                {"budget: b\ngrid: {lr: []}\n", "lr must have a list"},
		"a value twice":                {"budget: b\ngrid: {lr: [1, 1]}\n", "1 twice"},
		"a name twice":                 {"budget: b\nlr: 1\nlr: 2\n", "given twice"},
		"out in the grid":              {"budget: b\ngrid: {out: [a, b]}\n", "out can't vary"},
		"a budget of a cell":           {"cells: [{name: a, budget: b}]\n", "budget belongs to the whole sweep"},
		"cells that are none":          {"budget: b\ncells: {a: {}}\n", "list of cells"},
		"a cell without a name":        {"budget: b\ncells: [{lr: 1}]\n", "no name"},
		"a cell's name that climbs":    {"budget: b\ncells: [{name: ../../x}]\n", "folder"},
		"two cells of one name":        {"budget: b\ncells: [{name: a}, {name: a}]\n", "two cells"},
		"a model of no cell":           {"budget: b\ncells: [{name: a, model: \"@c\"}]\n", `no cell "c"`},
		"models in a circle":           {"budget: b\ncells: [{name: a, model: \"@b\"}, {name: b, model: \"@a\"}]\n", "each other's"},
		"a model of itself":            {"budget: b\ncells: [{name: a, model: \"@a\"}]\n", "each other's"},
		"a model of a repeated cell":   {"budget: b\ncells: [{name: a, repeats: 2}, {name: b, model: \"@a\"}]\n", `no cell "a"`},
		"repeats of a seed":            {"public-data: true\nseed: 1\nrepeats: 2\n", "seeds in the grid"},
		"no repeats":                   {"budget: b\nrepeats: 0\n", "at least 1"},
		"too many":                     {"budget: b\nrepeats: 20000\n", "more than 10000"},
		"a number that is not one":     {"budget: b\ngrid: {lr: [0]}\n", "--lr 0 must be positive"},
		"steps and epochs in one cell": {"budget: b\ncells: [{name: a, steps: 3, epochs: 1}]\n", "not both"},
		"an anchor in itself":          {"budget: b\ncells: &a [{name: x, trainable: *a}]\n", "contains itself"},
		"anchors without end":          {"budget: b\ngrid: {lr: &a [1], b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a], c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b], d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c], e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d], f: [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]}\n", "more than 100000 values"},
		"a merge of a number":          {"budget: b\ncells: [{name: x, <<: 3}]\n", "takes a mapping"},
		"not a mapping":                {"- a\n", "mapping"},
	} {
		head := sweepHead
		if strings.HasPrefix(c.more, "- ") {
			head = ""
		}
		o, err := ParseSweep([]byte(head + c.more))
		if err == nil {
			err = o.validate()
		}
		if err == nil || ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseSweep(nil); ExitCode(err) != ExitUsage {
		t.Errorf("an empty file: %v", err)
	}
}

// FuzzParseSweep: whatever a file says, it is an error or cells that can be run.
func FuzzParseSweep(f *testing.F) {
	f.Add([]byte(sweepHead + "budget: b\ngrid: {lr: [1, 2]}\nrepeats: 2\ncells: [{name: a}]\n"))
	f.Add([]byte("cells: [{name: a, grid: {x: [[1]]}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseSweep(data)
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, c := range o.Cells {
			if strings.ContainsAny(c.Name, "/\\\x00") || c.Name == "" || c.Name == "." || c.Name == ".." || len(c.Name) > 220 {
				t.Errorf("the cell %q has no folder's name", c.Name)
			}
			names[c.Name] = true
		}
		if len(names) != len(o.Cells) {
			t.Errorf("%v for %d cells", slices.Sorted(maps.Keys(names)), len(o.Cells))
		}
	})
}
