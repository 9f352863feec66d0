package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A SweepEvaluation is what a sweep evaluates every trained model on: the part `evaluate` of
// its file. Its figures stand in the results, so the data must be public.
type SweepEvaluation struct {
	Task       string   `yaml:"task"` // default: the run's
	Data       string   `yaml:"data"`
	Public     bool     `yaml:"public"` // the data are public, though those that are trained on are not
	Mismatched string   `yaml:"mismatched"`
	Split      string   `yaml:"split"`
	Sources    []string `yaml:"sources"`
	Exclude    []string `yaml:"exclude-sources"`
	MaxLength  int      `yaml:"max-length"`
	Batch      int      `yaml:"batch"`
	Limit      int      `yaml:"limit"`
	Perplexity bool     `yaml:"perplexity"`

	Beams        int `yaml:"beams"` // default 5, as PaperDecoding
	MaxNewTokens int `yaml:"max-new-tokens"`
}

func parseEvaluation(node *yaml.Node) (*SweepEvaluation, error) {
	data, err := yaml.Marshal(node)
	if err != nil {
		return nil, err
	}
	e := &SweepEvaluation{}
	if err := strictYAML(data, e); err != nil {
		return nil, err
	}
	for name, n := range map[string]int{"max-length": e.MaxLength, "batch": e.Batch, "limit": e.Limit, "beams": e.Beams, "max-new-tokens": e.MaxNewTokens} {
		if n < 0 {
			return nil, fmt.Errorf("%s %d must be positive", name, n)
		}
	}
	if e.Data == "" {
		return nil, errors.New("data, the evaluation file, is missing")
	}
	return e, nil
}

// validateEvaluated refuses to put figures of private data into the results.
func (c *SweepCell) validateEvaluated() error {
	switch {
	case c.Evaluate == nil:
		return nil
	case !c.Public && !c.Evaluate.Public:
		return usage("evaluate: its figures are compared and released, and no epsilon covers them: say public: true if the evaluation data are, or pay for validation data with dp-evaluate")
	}
	o, err := c.evaluateOptions("model")
	if err != nil {
		return err
	}
	return o.check()
}

// evaluateOptions are those of a cell's model in a directory.
func (c *SweepCell) evaluateOptions(dir string) (EvaluateOptions, error) {
	e, run := c.Evaluate, c.Options
	if err := run.takeRecipe(); err != nil {
		return EvaluateOptions{}, err
	}
	o := EvaluateOptions{
		Model: dir, Task: run.Task, Data: e.Data, Mismatched: e.Mismatched, Split: e.Split, Sources: e.Sources, ExcludeSources: e.Exclude,
		Output: run.Output, Head: run.Head, Mode: run.Mode, MaxLength: e.MaxLength, Batch: e.Batch, Limit: e.Limit, Perplexity: e.Perplexity,
		Library: run.Library, Device: run.Device, Threads: run.Threads,
	}
	if e.Task != "" {
		o.Task = e.Task
	}
	if e.Beams > 0 || e.MaxNewTokens > 0 {
		g := PaperDecoding()
		if e.Beams > 0 {
			g.Beams = e.Beams
		}
		if e.MaxNewTokens > 0 {
			g.MaxNewTokens = e.MaxNewTokens
		}
		o.Generate = &g
	}
	return o, nil
}

// evaluateCell evaluates the model that a cell trained and returns its figures by name. A call
// that was stopped goes on where it was, with the texts that it generated.
func (o *SweepOptions) evaluateCell(ctx context.Context, c *SweepCell, stop <-chan struct{}) (map[string]float64, error) {
	if c.Evaluate == nil {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	e, err := c.evaluateOptions(o.cellDir(c))
	if err != nil {
		return nil, err
	}
	if generates(tokenize.Task(e.Task)) {
		e.Outputs = o.cellDir(c) + ".outputs.tsv"
		if err := os.Remove(e.Outputs); err != nil && !errors.Is(err, os.ErrNotExist) { // of a call that was killed before its result was kept
			return nil, fmt.Errorf("cell %s: %w", c.Name, err)
		}
	}
	o.Progress.Message(fmt.Sprintf("cell %s: evaluating on %s", c.Name, e.Data))
	e.Message = o.Progress.Message
	result, err := Evaluate(ctx, e)
	if err != nil && stopped(stop) {
		return nil, fmt.Errorf("%w in the evaluation of cell %s; the same command goes on", ErrInterrupted, c.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("evaluating: %w", err)
	}
	return figuresOf(result)
}

// countsOfEvaluation are numbers of an evaluation that say how much was scored, not how well.
var countsOfEvaluation = []string{"records", "dropped", "tokens", "rows", "unanswered"}

// figuresOf are the numbers of an evaluation by name; those of MNLI's second file as
// mismatched_accuracy and the like.
func figuresOf(e *Evaluation) (map[string]float64, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	collectFigures(out, "", all)
	return out, nil
}

func collectFigures(out map[string]float64, prefix string, values map[string]any) {
	for name, v := range values {
		switch v := v.(type) {
		case float64:
			if !slices.Contains(countsOfEvaluation, name) && !math.IsNaN(v) {
				out[prefix+name] = v
			}
		case map[string]any:
			collectFigures(out, prefix+strings.TrimSuffix(name, "_")+"_", v)
		}
	}
}
