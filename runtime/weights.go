package runtime

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// Weights holds a model's parameters: those that are trained in one arena, in
// the order of the program, so that an update is one loop, and the frozen ones
// in another.
type Weights struct {
	Trained *ort.Arena
	Frozen  *ort.Arena

	resident *resident // their copy on a device; nil without
}

// loadWeights reads the parameters from the model file into arenas.
func loadWeights(p *ghost.Prepared, trained, frozen []ghost.Parameter) (*Weights, error) {
	t, err := loadArena(p, trained)
	if err != nil {
		return nil, err
	}
	f, err := loadArena(p, frozen)
	if err != nil {
		return nil, err
	}
	return &Weights{Trained: t, Frozen: f}, nil
}

func loadArena(p *ghost.Prepared, params []ghost.Parameter) (*ort.Arena, error) {
	list := make([]ort.Param, len(params))
	for i, param := range params {
		list[i] = ort.Param{Name: param.Name, Shape: param.Shape}
	}
	a, err := ort.NewArena(list)
	if err != nil {
		return nil, err
	}
	for _, param := range params {
		if err := p.Graph.Inits[param.Name].ReadFloat32(a.Slice(param.Name)); err != nil {
			return nil, fmt.Errorf("parameter %q: %w", param.Name, err)
		}
	}
	return a, nil
}

// feed adds all parameters to a run's feeds.
func (w *Weights) feed(feeds map[string]*ort.Tensor) {
	w.Trained.Feed(feeds)
	w.Frozen.Feed(feeds)
}

// Patch returns the trained values for every place of the model file that holds
// them: the parameter itself and its aliases, transposed where they are.
func (w *Weights) Patch(p *ghost.Prepared, metadata map[string]string) ir.Patch {
	values := map[string][]float32{}
	for _, param := range w.Trained.Params() {
		values[param.Name] = w.Trained.Slice(param.Name)
	}
	return patchOf(p, values, metadata)
}

// of returns a parameter's numbers, nil where there is no such parameter.
func (w *Weights) of(name string) []float32 {
	if w.Trained.Has(name) {
		return w.Trained.Slice(name)
	}
	if w.Frozen.Has(name) {
		return w.Frozen.Slice(name)
	}
	return nil
}

// patchOf adds to parameters' numbers those of their aliases.
func patchOf(p *ghost.Prepared, values map[string][]float32, metadata map[string]string) ir.Patch {
	patch := ir.Patch{Weights: values, Metadata: metadata}
	for _, a := range p.Graph.Aliases {
		values, ok := patch.Weights[a.Root]
		if !ok {
			continue
		}
		if a.Transposed {
			values = transposed(values, p.Graph.Inits[a.Root].Dims)
		}
		patch.Weights[a.Name] = values
	}
	return patch
}

func transposed(v []float32, dims []int64) []float32 {
	rows, cols := int(dims[0]), int(dims[1])
	out := make([]float32, len(v))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = v[i*cols+j]
		}
	}
	return out
}
