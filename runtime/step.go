package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A step is a compiled program ready to run.
type step struct {
	program *ghost.Program
	session *ort.Session
	loaded  *ir.Graph // what the runtime made of the program's; nil unless it was asked for
}

// newStep opens a session on a program.
func newStep(env *ort.Env, program *ghost.Program, at workplace) (*step, error) {
	data, err := program.Graph.Marshal()
	if err != nil {
		return nil, err
	}
	return openStep(env, program, data, at, "")
}

// openStep opens a session on a program that is already serialized, and has the
// runtime write the graph that it runs to a file, unless the path is empty.
func openStep(env *ort.Env, program *ghost.Program, data []byte, at workplace, loaded string) (*step, error) {
	// By itself the runtime rounds activations to 8 bits before it multiplies them
	// with dequantised weights: a step function has no gradient.
	exact := map[string]string{"session.qdq_matmulnbits_accuracy_level": "1"}
	// A product with a transposed left side is slower than a copy and a plain product:
	// where a program holds a Transpose before a Gemm, it is meant (ghost's sums).
	apart := []string{"GemmTransposeFusion"}
	o := at.options("training step")
	o.Config, o.DisableOptimizers, o.LoadedPath = exact, apart, loaded
	s, err := env.NewSession(data, o)
	if err != nil {
		return nil, fmt.Errorf("the runtime refuses the training step: %w", err)
	}
	return &step{program: program, session: s}, nil
}

func (s *step) Close() error { return s.session.Close() }

// feeds checks a batch against the program and returns what a run is fed,
// without the weights.
func (s *step) feeds(b *Batch) (map[string]*ort.Tensor, int64, error) {
	feeds := map[string]*ort.Tensor{}
	extents := map[string]extentSource{}
	for _, group := range []struct {
		ports []*ir.ValueInfo
		from  map[string]*ort.Tensor
		kind  string
	}{{s.program.Data, b.Inputs, "input"}, {s.program.Labels, b.Loss, "loss tensor"}} {
		for _, port := range group.ports {
			t, ok := group.from[port.Name]
			if !ok {
				return nil, 0, usage("%s %q is missing; the batch has %v", group.kind, port.Name, slices.Sorted(maps.Keys(group.from)))
			}
			t, err := convert(t, ort.DType(port.DType))
			if err != nil {
				return nil, 0, usage("%s %q: %w", group.kind, port.Name, err)
			}
			if err := checkExtents(port, t.Shape(), extents); err != nil {
				return nil, 0, usage("%s %q: %w", group.kind, port.Name, err)
			}
			feeds[port.Name] = t
		}
	}
	for name, t := range b.Inputs {
		switch {
		case feeds[name] != nil:
		case !slices.Contains(s.program.Left, name):
			return nil, 0, usage("the model has no input %q; it has %v", name, portNames(s.program.Data))
		case !blank(t):
			return nil, 0, usage("input %q: a gradient needs the whole sequence in one pass: leave a cache out, or give it length 0, and its switch false", name)
		}
	}
	rows, err := batchRows(s.program, feeds)
	return feeds, rows, err
}

// blank reports a tensor without elements, or of nothing but false and 0.
func blank(t *ort.Tensor) bool {
	return !slices.ContainsFunc(t.Bytes(), func(b byte) bool { return b != 0 })
}

// batchRows is the number of records of a batch.
func batchRows(p *ghost.Program, feeds map[string]*ort.Tensor) (int64, error) {
	for _, port := range slices.Concat(p.Labels, p.Data) {
		if port.Name == "label_words" {
			continue
		}
		if shape := feeds[port.Name].Shape(); len(shape) > 0 {
			if shape[0] == 0 {
				return 0, usage("input %q holds no record", port.Name)
			}
			return shape[0], nil
		}
	}
	return 0, usage("the model has no input with a batch axis")
}

func portNames(ports []*ir.ValueInfo) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.Name
	}
	return out
}

// An extentSource remembers which input first gave a symbol its value.
type extentSource struct {
	input string
	value int64
}

// checkExtents holds a tensor to its declaration: constants must match, and one
// symbol must have one value over all inputs. The program's reasoning about
// shapes, the proof that records do not mix included, rests on it.
func checkExtents(port *ir.ValueInfo, shape []int64, seen map[string]extentSource) error {
	if len(shape) != len(port.Dims) {
		return fmt.Errorf("shape %v has rank %d, the model reads rank %d", shape, len(shape), len(port.Dims))
	}
	for i, d := range port.Dims {
		switch {
		case d.Param == "":
			if d.Value >= 0 && shape[i] != d.Value {
				return fmt.Errorf("shape %v: axis %d must be %d", shape, i, d.Value)
			}
		case seen[d.Param].input == "":
			seen[d.Param] = extentSource{port.Name, shape[i]}
		case seen[d.Param].value != shape[i]:
			return fmt.Errorf("shape %v: axis %d (%s) must be %d as in %q", shape, i, d.Param, seen[d.Param].value, seen[d.Param].input)
		}
	}
	return nil
}

// run runs the program on a checked batch with the given weights and options.
func (s *step) run(ctx context.Context, batch map[string]*ort.Tensor, w *Weights, options map[string]*ort.Tensor, fetches []ort.Fetch) (map[string]*ort.Tensor, error) {
	feeds := make(map[string]*ort.Tensor, len(s.program.Inputs)+len(batch))
	maps.Copy(feeds, batch)
	maps.Copy(feeds, options)
	there, err := w.current(ctx)
	if err != nil {
		return nil, err
	}
	if there == nil {
		w.feed(feeds)
	}
	for _, in := range s.program.Inputs { // an unused input is not an input of the session
		if _, ok := feeds[in.Name]; ok && !s.session.Reads(in.Name) {
			delete(feeds, in.Name)
		}
	}
	if there != nil {
		return s.session.RunBound(ctx, ort.Bound{Feeds: feeds, Device: s.read(there), Fetches: fetches})
	}
	return s.session.Run(ctx, feeds, fetches...)
}

// read are those of the weights on a device that the program reads.
func (s *step) read(there map[string]*ort.DeviceTensor) map[string]*ort.DeviceTensor {
	out := make(map[string]*ort.DeviceTensor, len(there))
	for name, t := range there {
		if s.session.Reads(name) {
			out[name] = t
		}
	}
	return out
}

// indexData returns the integer tensors of a batch as int64.
func indexData(feeds map[string]*ort.Tensor) map[string][]int64 {
	out := map[string][]int64{}
	for name, t := range feeds {
		wide, err := convert(t, ort.Int64)
		if err != nil {
			continue
		}
		if v, err := ort.Data[int64](wide); err == nil {
			out[name] = v
		}
	}
	return out
}
