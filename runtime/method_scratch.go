package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	checkpoints "github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

// fromScratch trains a model of the same architecture from fresh random weights, drawn as
// transformers draws them; the file's are not used.
type fromScratch struct {
	seed uint64
	rule string // whose
}

func newFromScratch(o MethodOptions) (method, error) { return &fromScratch{seed: o.Seed}, nil }

// prepare replaces every parameter. Where the model is one of an architecture that
// convert knows, each gets the distribution that transformers gives it; else all get
// what nearly all architectures have.
func (s *fromScratch) prepare(ctx context.Context, m *Model, p *ghost.Prepared) (*ghost.Prepared, error) {
	if len(p.Quantised) > 0 {
		return nil, usage("--method scratch: %q is quantised and can't be trained; export the model in floating point", p.Quantised[0].Name)
	}
	fresh, err := s.byArchitecture(ctx, m, p)
	if err != nil {
		return nil, err
	}
	std, err := initializerRange(m.Dir())
	if err != nil {
		return nil, err
	}
	return p.Rewritten(func(g *canon.Graph) ([]string, error) {
		for _, q := range p.Parameters {
			values, ok := fresh[q.Name]
			if !ok {
				values = plainInit(q, std, s.source(q.Name).NormFloat64)
			}
			t, err := replaced(g.Inits[q.Name], values)
			if err != nil {
				return nil, err
			}
			g.Inits[q.Name] = t
		}
		return nil, nil
	})
}

// source draws the numbers of one parameter.
func (s *fromScratch) source(name string) *rand.Rand {
	return publicSource("scratch", name, s.seed)
}

// byArchitecture draws the parameters that are found in the model by their names in
// transformers; none where the architecture is not known.
func (s *fromScratch) byArchitecture(ctx context.Context, m *Model, p *ghost.Prepared) (map[string][]float32, error) {
	out := map[string][]float32{}
	s.rule = "weights and tables normal, scales 1, biases 0"
	l, err := checkpoints.Locate(ctx, m.file.Path, checkpoints.BackOptions{Library: m.options.Library})
	if errors.Is(err, checkpoints.ErrInput) || errors.Is(err, ir.ErrUnsupported) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	draw, err := l.Fresh(s.seed)
	if err != nil {
		return out, nil // an architecture known from a checkpoint only
	}
	for _, found := range l.Parameters {
		root, values, err := s.placed(p, found, draw, out)
		if err != nil {
			return nil, fmt.Errorf("--method scratch: %w", err)
		}
		if values != nil {
			out[root] = values
		}
	}
	s.rule = "initialised as transformers' " + l.Class
	return out, nil
}

// placed draws a parameter for the initializer of the canonical graph that holds it; of one
// that holds several, the columns are filled in one by one.
func (s *fromScratch) placed(p *ghost.Prepared, found checkpoints.Located, draw func(checkpoints.Located) ([]float32, error), out map[string][]float32) (string, []float32, error) {
	root := found.Initializer
	for _, a := range p.Graph.Aliases {
		if a.Name == root {
			root, found.Transposed = a.Root, found.Transposed != a.Transposed
		}
	}
	t := p.Graph.Inits[root]
	if t == nil || out[root] != nil && found.To == 0 {
		return root, nil, nil
	}
	values, err := draw(found)
	if err != nil || found.To == 0 {
		return root, values, err
	}
	whole := out[root]
	if whole == nil {
		whole = make([]float32, t.Len())
	}
	columns, width := t.Dims[len(t.Dims)-1], found.To-found.From
	for i := range int64(len(values)) / width {
		copy(whole[i*columns+found.From:i*columns+found.To], values[i*width:(i+1)*width])
	}
	return root, whole, nil
}

func (s *fromScratch) trainable(*ghost.Prepared) []string { return nil }

func (s *fromScratch) describe() string {
	return fmt.Sprintf("from scratch, seed %d, %s", s.seed, s.rule)
}

// save writes every parameter: also those that were frozen are new.
func (s *fromScratch) save(m *Model, dir string, w *Weights, metadata map[string]string) error {
	values := map[string][]float32{}
	for _, param := range slices.Concat(w.Trained.Params(), w.Frozen.Params()) {
		values[param.Name] = w.of(param.Name)
	}
	return writeBack(m, dir, values, metadata)
}

// initializerRange is the standard deviation of initial weights that config.json names.
func initializerRange(dir string) (float64, error) {
	const usual = 0.02
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return usual, nil
	}
	if err != nil {
		return 0, usage("config.json: %w", err)
	}
	var c struct {
		Range  float64 `json:"initializer_range"`
		InitSD float64 `json:"init_std"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return 0, usage("config.json: %w", err)
	}
	for _, v := range slices.Concat([]float64{c.Range, c.InitSD}) {
		if v > 0 {
			return v, nil
		}
	}
	return usual, nil
}
