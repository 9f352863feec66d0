package convert

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Location says where the parameters of transformers' class lie in a model.
type Location struct {
	ModelType string
	Class     string
	Head      Head
	// Base is the prefix of the base model's parameters within the class.
	Base       string
	Parameters []Located

	config *Config
}

// A Located parameter.
type Located struct {
	Name  string  // in the state_dict of the class
	Shape []int64 // there
	// Initializer of the model's file holds it; Transposed as its transpose.
	Initializer string
	Transposed  bool
	// From and To cut the columns of an initializer that holds several parameters;
	// To is 0 for the whole.
	From, To int64
	// Offset is what the checkpoint's numbers have above the initializer's.
	Offset float32
}

// Locate finds the parameters of the model at src as ToHF does, and refuses what that
// refuses.
func Locate(ctx context.Context, src string, o BackOptions) (*Location, error) {
	b, err := openBack(src, o)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.recover(ctx); err != nil {
		return nil, err
	}
	l := b.r.located(FromLike, ByAbsence)
	l.config = b.final
	return l, nil
}

// LocateNamed finds those parameters of the model at src that the exporter has left a
// name or a module path, whatever became of the others: initial values that are
// equal, zero biases above all, exporters merge.
func LocateNamed(src string) (*Location, error) {
	b, err := openBack(src, BackOptions{})
	if err != nil {
		return nil, err
	}
	defer b.close()
	classes, err := b.classes()
	if err != nil {
		return nil, err
	}
	r := newRecovery(classes[0], b.uses, nil)
	if err := r.run(); err != nil {
		return nil, err
	}
	return r.located(FromLike, ByAbsence, ByOrder, ByContent), nil
}

// located lists what was found, but for what rests on some evidence.
func (r *recovery) located(but ...Evidence) *Location {
	l := &Location{ModelType: r.class.config.ModelType, Class: r.class.class, Head: r.class.head, Base: r.class.arch.Base}
	for _, p := range r.class.parameters {
		m, ok := r.found[p.name]
		if !ok || slices.Contains(but, m.evidence) {
			continue
		}
		l.Parameters = append(l.Parameters, Located{
			Name: p.name, Shape: slices.Clone(p.shape), Initializer: m.use.tensor.Name, Transposed: p.flipped(m.use),
			From: m.use.from, To: m.use.to, Offset: m.use.offset - p.offset,
		})
	}
	return l
}

// Fresh draws the initial numbers of a located parameter, as transformers would from a
// seed of our own, in the layout of the parameter in its initializer.
func (l *Location) Fresh(seed uint64) (func(Located) ([]float32, error), error) {
	g, _, _, err := Build(l.config, nil, Options{Head: l.Head, Seed: seed})
	if err != nil {
		return nil, err
	}
	record, _, err := ReadRecord(g.Metadata)
	if err != nil {
		return nil, err
	}
	return func(p Located) ([]float32, error) {
		t := g.Inits[p.Name]
		if t == nil {
			return nil, fmt.Errorf("the graph of a %s has no parameter %q", l.ModelType, p.Name)
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		if slices.Contains(record.Transposed, p.Name) != p.Transposed {
			raw = transpose(raw, t.Dims[0], t.Dims[1], int64(formats[t.DType].Size))
		}
		if raw, err = converted(raw, t.DType, ir.Float32); err != nil {
			return nil, err
		}
		v := make([]float32, len(raw)/4)
		if err := formats[ir.Float32].Read(bytes.NewReader(raw), v); err != nil {
			return nil, err
		}
		for i := range v {
			v[i] -= p.Offset
		}
		return v, nil
	}, nil
}
