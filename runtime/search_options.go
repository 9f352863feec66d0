package runtime

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// The modes of a search for hyperparameters.
const (
	// SearchComposition makes one run for every cell of the grid. All of them draw on a budget
	// file, and everything that they release may be looked at.
	SearchComposition = "composition"
	// SearchRandomStopping makes a secret random number of runs and releases the best one.
	SearchRandomStopping = "random-stopping"
)

// SearchOptions say what to search, and how.
type SearchOptions struct {
	Mode         string   // SearchComposition or SearchRandomStopping
	Distribution string   // of the number of runs (random stopping); default truncated-negative-binomial
	Shape        *float64 // eta of that; nil: 1, geometric
	MeanRuns     float64  // expected number of runs; default the number of cells
	Cells        []SearchCell
	Out          string

	DryRun   bool // say what the search costs and stop
	Stop     <-chan struct{}
	Progress Progress // of composition; random stopping tells nothing while it runs
}

// A SearchCell is one choice of settings.
type SearchCell struct {
	Settings map[string]any // of the names that have several values
	Options  FinetuneOptions
}

// searchSection is the part `search` of the file.
type searchSection struct {
	Mode         string   `yaml:"mode"`
	Distribution string   `yaml:"distribution"`
	Shape        *float64 `yaml:"shape"`
	MeanRuns     float64  `yaml:"mean-runs"`
}

// fixedInSearch are options that must be the same in every cell: what is protected and how,
// and what scores are compared by.
var fixedInSearch = []string{"out", "train", "valid", "task", "delta", "relation", "accountant", "unit-column", "records-per-unit", "records",
	"valid-records", "valid-public", "dp-evaluate", "evaluation", "evaluation-clip", "evaluation-noise", "budget", "ort-lib", "threads", "device",
	"debug", "seed", "no-privacy"}

// noiseInSearch are fixed in random stopping too: one noise multiplier is calibrated for all.
var noiseInSearch = []string{"target-epsilon", "noise-multiplier", "budget-share"}

// ParseSearch reads a search from YAML: train's names, of which some have a list of values
// where train takes one, and a section `search` with mode, and for random stopping
// distribution, shape and mean-runs. The grid is the product of the lists.
func ParseSearch(data []byte) (SearchOptions, error) {
	var o SearchOptions
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return o, usage("the search: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return o, usage("the search: must be a YAML mapping of train's names")
	}
	section := searchSection{}
	axes, base, err := splitSearch(doc.Content[0], &section)
	if err != nil {
		return o, err
	}
	o.Mode, o.Distribution, o.MeanRuns, o.Shape = section.Mode, section.Distribution, section.MeanRuns, section.Shape
	if o.Cells, err = gridOf(axes, base); err != nil {
		return o, err
	}
	o.Out = o.Cells[0].Options.Out
	if o.MeanRuns == 0 {
		o.MeanRuns = float64(max(2, len(o.Cells)))
	}
	return o, nil
}

// An axis is a name with several values.
type axis struct {
	name   string
	values []*yaml.Node
}

// splitSearch separates the names with lists from the others, in the order of the file.
func splitSearch(root *yaml.Node, section *searchSection) (axes []axis, base []*yaml.Node, err error) {
	var like FinetuneOptions
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		field := like.field(key.Value)
		switch {
		case key.Value == "search":
			data, err := yaml.Marshal(value)
			if err != nil {
				return nil, nil, usage("the search: %w", err)
			}
			if err := strictYAML(data, section); err != nil {
				return nil, nil, usage("the section search: %w", err)
			}
		case value.Kind != yaml.SequenceNode || field.IsValid() && field.Kind().String() == "slice":
			base = append(base, key, value)
		case slices.Contains(fixedInSearch, key.Value):
			return nil, nil, usage("the search: %s has a list of values; it must be the same in every run", key.Value)
		case len(value.Content) == 0:
			return nil, nil, usage("the search: %s has an empty list of values", key.Value)
		default:
			axes = append(axes, axis{key.Value, value.Content})
		}
	}
	return axes, base, nil
}

// maxGrid bounds the product of the lists.
const maxGrid = 10_000

// gridOf makes every combination of values.
func gridOf(axes []axis, base []*yaml.Node) ([]SearchCell, error) {
	total := 1
	for _, a := range axes {
		if total *= len(a.values); total > maxGrid {
			return nil, usage("the search: more than %d cells", maxGrid)
		}
	}
	cells := make([]SearchCell, total)
	for n := range cells {
		content, settings, rest := slices.Clone(base), map[string]any{}, n
		for i := len(axes) - 1; i >= 0; i-- { // the last name changes fastest
			a := axes[i]
			v := a.values[rest%len(a.values)]
			rest /= len(a.values)
			content = append(content, &yaml.Node{Kind: yaml.ScalarNode, Value: a.name}, v)
			var value any
			if err := v.Decode(&value); err != nil {
				return nil, usage("the search: %s: %w", a.name, err)
			}
			settings[a.name] = value
		}
		data, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: content})
		if err != nil {
			return nil, usage("the search: %w", err)
		}
		options, err := ParseOptions(data)
		if err != nil {
			return nil, err
		}
		cells[n] = SearchCell{settings, options}
	}
	return cells, nil
}

// validate refuses what can be refused before anything is read.
func (o *SearchOptions) validate() error {
	if len(o.Cells) == 0 {
		return usage("the search has no cells")
	}
	first := &o.Cells[0].Options
	switch {
	case o.Mode != SearchComposition && o.Mode != SearchRandomStopping:
		return usage("the search: mode %q: there are %s (every run is charged to a budget) and %s (a secret number of runs, the best one released)",
			o.Mode, SearchComposition, SearchRandomStopping)
	case o.Out == "":
		return usage("--out is missing")
	case first.NoPrivacy || first.Seed != nil:
		return usage("the search: no-privacy and seed make runs without a guarantee; there is nothing to account")
	case o.Mode == SearchComposition && first.Budget == "":
		return usage("the search: composition charges every run to a budget; give --budget FILE (ghostwriter budget create)")
	case o.Mode == SearchComposition && (o.Distribution != "" || o.Shape != nil):
		return usage("the search: distribution and shape belong to %s", SearchRandomStopping)
	}
	if o.Mode == SearchRandomStopping {
		if err := o.validateRandom(first); err != nil {
			return err
		}
	}
	for i := range o.Cells {
		if err := o.Cells[i].Options.takeRecipe(); err != nil {
			return err
		}
		run := o.Cells[i].Options
		run.Out = o.Out
		if err := run.validate(); err != nil {
			return err
		}
	}
	return nil
}

// validateRandom holds a search by random stopping to what its proof needs.
func (o *SearchOptions) validateRandom(first *FinetuneOptions) error {
	for _, c := range o.Cells {
		for _, name := range noiseInSearch {
			if _, varies := c.Settings[name]; varies {
				return usage("the search: %s has a list of values; in random stopping all runs have the same noise", name)
			}
		}
	}
	switch {
	case first.BudgetShare != 0:
		return usage("the search: budget-share does not go with random stopping; give target-epsilon or noise-multiplier beside budget")
	case first.Accountant != "" && first.Accountant != "rdp":
		return usage("the search: accountant %q: random stopping is proven for Renyi divergences alone; leave it out, or say rdp", first.Accountant)
	case first.Debug:
		return usage("the search: debug output of runs that are not chosen must stay secret; leave out debug")
	case first.Records == 0 && (first.SampleRate == 0 || first.ExpectedBatch == 0):
		return usage("the search: give records, the public number of records: what runs cost must be known before the first")
	case !(first.DPEvaluate > 0) && !(first.Valid != "" && first.ValidPublic):
		return usage("the search: runs are compared by a score; give valid with valid-public, or with dp-evaluate, which every run pays for")
	case math.IsNaN(o.MeanRuns) || o.MeanRuns <= 1:
		return usage("the search: mean-runs %g must be above 1", o.MeanRuns)
	}
	return nil
}

// shape is eta.
func (o *SearchOptions) shape() float64 {
	switch {
	case o.Shape != nil:
		return *o.Shape
	case o.Distribution == dpadam.SearchPoisson:
		return 0
	}
	return 1
}

// cost is what a run with these options costs at a noise multiplier.
func (c *SearchCell) cost(sigma float64) (cell []dpadam.BudgetEvent, relation dpadam.Relation, delta float64, err error) {
	config, err := c.config()
	if err != nil {
		return nil, "", 0, err
	}
	return dpadam.CellOf(config, sigma)
}

// config is the cell's configuration without what only the model and the data say, none of
// which changes what a run costs.
func (c *SearchCell) config() (dpadam.Config, error) {
	facts := planFacts{dim: 1, microbatch: 1, buckets: 1}
	if n := c.Options.DPEvaluate; n > 0 {
		noise := c.Options.EvaluationNoise
		if noise == 0 {
			noise = defaultEvaluationNoise
		}
		facts.evaluation = &dpadam.EvaluationSpec{Count: n, Kind: dpadam.EvaluateAccuracy, NoiseMultiplier: noise, Records: 1}
	}
	out, err := c.Options.config(facts)
	out.Clipping = dpadam.Clipping{} // how a sum is clipped is in its noise multiplier already
	return out, err
}

// cellName is the folder of a cell's run.
func cellName(n int) string { return fmt.Sprintf("cell-%03d", n+1) }

// cellOut is where a cell's run of a search by composition is written.
func (o *SearchOptions) cellOut(n int) string { return filepath.Join(o.Out, cellName(n)) }
