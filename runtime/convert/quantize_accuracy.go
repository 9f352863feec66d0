package convert

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// An Accuracy compares the outputs of a quantised model with those of the original.
type Accuracy struct {
	Output         string  `json:"output"`
	Rows           int64   `json:"rows"` // predictions that were compared
	MaxDifference  float64 `json:"max_difference"`
	MeanDifference float64 `json:"mean_difference"`
	MeanValue      float64 `json:"mean_value"` // mean magnitude of the original's outputs
	// Top1 is the share of predictions whose largest logit is the same.
	Top1 float64 `json:"top1_agreement"`
}

// configOrNone reads a directory's config.json; nil where there is none that says
// how long the vocabulary is.
func configOrNone(dir string) *Config {
	c, err := readConfig(filepath.Join(dir, "config.json"))
	if err != nil || !c.Has("vocab_size") {
		return nil
	}
	return c
}

// measure runs both models on a seeded batch of random token ids.
func measure(ctx context.Context, library string, m *ir.Model, path string, c *Config) (*Accuracy, error) {
	env, err := ort.Load(library)
	if err != nil {
		return nil, err
	}
	if c == nil {
		if c, err = configFromGraph(m.Graph()); err != nil {
			return nil, err
		}
	}
	p := newProbe(c, 4, 64, 1)
	want, err := p.runFiles(ctx, env, m.Path)
	if err != nil {
		return nil, bad("the accuracy of a quantised model is measured, but the model can't be run on token ids: %w", err)
	}
	got, err := p.runFiles(ctx, env, path)
	if err != nil {
		return nil, err
	}
	name, a, ok := mainOutput(want)
	if !ok {
		return nil, bad("the model has outputs %v, none of them logits or last_hidden_state", sortedKeys(want))
	}
	return accuracyOf(name, a, got[name]), nil
}

// accuracyOf compares outputs row by row along the last axis.
func accuracyOf(name string, want, got floatTensor) *Accuracy {
	r := &Accuracy{Output: name}
	width := max(1, want.shape[len(want.shape)-1])
	r.Rows = int64(len(want.values)) / width
	same := int64(0)
	for i := range r.Rows {
		a, b := want.values[i*width:(i+1)*width], got.values[i*width:(i+1)*width]
		if largest(a) == largest(b) {
			same++
		}
		for k := range a {
			d := math.Abs(float64(a[k]) - float64(b[k]))
			r.MaxDifference = max(r.MaxDifference, d)
			r.MeanDifference += d / float64(len(want.values))
			r.MeanValue += math.Abs(float64(a[k])) / float64(len(want.values))
		}
	}
	r.Top1 = float64(same) / float64(max(1, r.Rows))
	return r
}

func largest(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// configFromGraph finds the vocabulary of a model without config.json: the rows of
// the table that input_ids look up.
func configFromGraph(g *ir.Graph) (*Config, error) {
	for _, n := range g.Nodes {
		if t, ok := g.Inits[n.Input(0)]; ok && n.Is("Gather") && n.Input(1) == "input_ids" && len(t.Dims) == 2 {
			return ParseConfig(fmt.Appendf(nil, `{"model_type": "unknown", "vocab_size": %d}`, t.Dims[0]))
		}
	}
	return nil, bad("the accuracy of a quantised model is measured on token ids, but neither config.json nor the graph says how many there are")
}
