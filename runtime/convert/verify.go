package convert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// How far the outputs of a model and of what was recovered from it may lie apart,
// relative to the largest: rounding of a graph in float32, in half precision, and
// where parameters were paired by order alone.
const (
	closeFloat32 = 1e-4
	closeHalf    = 3e-2
	closeOrder   = 2e-5
)

// A Comparison is what running a model beside another gave.
type Comparison struct {
	Output        string  `json:"output"`
	MaxDifference float64 `json:"max_difference"`
	MaxValue      float64 `json:"max_value"` // the largest output, by magnitude
}

// errNotComparable is wrapped where two models could not be run on the same batch.
var errNotComparable = errors.New("not comparable")

// compare runs the models of a directory and the graph g on one seeded batch. An
// error that wraps errNotComparable says why it could not.
func compare(ctx context.Context, library string, models []*ir.Model, g *ir.Graph, c *Config) (*Comparison, error) {
	env, err := ort.Load(library)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNotComparable, err)
	}
	tmp, err := os.MkdirTemp("", "ghostwriter-compare-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, "model.onnx")
	if err := g.SaveAs(path, ir.SaveOptions{}); err != nil {
		return nil, err
	}
	p := newProbe(c, 2, 9, 1)
	if !slices.ContainsFunc(models, func(m *ir.Model) bool { return m.Graph().Input("token_type_ids") != nil }) {
		clear(p.made["token_type_ids"]) // what a model takes that is told no types
	}
	ours, err := p.runFiles(ctx, env, path)
	if err != nil {
		return nil, err
	}
	theirs, err := p.runModels(ctx, env, models)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNotComparable, err)
	}
	name, want, ok := mainOutput(theirs)
	_, got, also := mainOutput(ours)
	if !ok || !also {
		return nil, fmt.Errorf("%w: the model has outputs %v, none of them logits or last_hidden_state", errNotComparable, sortedKeys(theirs))
	}
	if !slices.Equal(want.shape, got.shape) {
		return nil, bad("the model's output %q is %v, that of what config.json describes %v", name, want.shape, got.shape)
	}
	d := &Comparison{Output: name}
	d.MaxDifference, d.MaxValue = difference(want.values, got.values)
	return d, nil
}

func (p *probe) runFiles(ctx context.Context, env *ort.Env, paths ...string) (map[string]floatTensor, error) {
	var sessions []*ort.Session
	defer func() {
		for _, s := range sessions {
			s.Close()
		}
	}()
	for _, path := range paths {
		s, err := env.NewSessionFromFile(path, ort.Options{Name: path})
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, s)
	}
	return p.run(ctx, sessions...)
}

// runModels runs files as they are, and in their canonical form where the runtime
// does not take them: it lacks operators that its own optimizer writes for other
// devices.
func (p *probe) runModels(ctx context.Context, env *ort.Env, models []*ir.Model) (map[string]floatTensor, error) {
	paths := make([]string, len(models))
	for i, m := range models {
		paths[i] = m.Path
	}
	out, err := p.runFiles(ctx, env, paths...)
	if err == nil {
		return out, nil
	}
	var sessions []*ort.Session
	defer func() {
		for _, s := range sessions {
			s.Close()
		}
	}()
	for _, m := range models {
		c, cerr := canon.Canonical(m.Graph())
		if cerr != nil {
			return nil, err
		}
		data, cerr := canon.Encode(c.Graph)
		if cerr != nil {
			return nil, err
		}
		s, cerr := env.NewSession(data, ort.Options{Name: m.Path})
		if cerr != nil {
			return nil, err
		}
		sessions = append(sessions, s)
	}
	return p.run(ctx, sessions...)
}
