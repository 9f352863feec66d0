package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// writeBack steps along the summed gradient both ways, writes both models into dir and
// runs the written files: between them the summed loss must move by ⟨gradient,
// difference of the written weights⟩. A tied copy that was not written, or was
// written in the wrong layout, moves it otherwise. The weights are read back from
// the files, for half precision rounds steps away.
func (s *subject) writeBack(ctx context.Context, c *caseFile, dir string) error {
	b, err := c.batch()
	if err != nil {
		return err
	}
	// No record is clipped, so that the sum is the gradient of the summed loss.
	g, err := s.model.GradNorms(ctx, b, runtime.GradNormsOptions{Loss: s.loss, ClipNorm: 1e30, Clip: "auto", ClipGamma: 1e30, Sum: true, Freeze: s.freeze})
	if err != nil {
		return fmt.Errorf("sum: %w", err)
	}
	// Far enough for the loss to move above rounding, near enough for a straight line.
	distances, tolerance := []float64{0.002, 0.0005}, 0.02
	if c.Half {
		distances, tolerance = []float64{0.005}, 0.1
	}
	w := &written{subject: s, batch: b, file: c, gradient: g.Sum, path: filepath.Join(dir, "written.onnx")}
	for _, distance := range distances {
		if err = w.slope(ctx, distance/math.Sqrt(dot(g.Sum, g.Sum)), tolerance); !errors.Is(err, errSlope) {
			return err
		}
	}
	return err
}

// errSlope is wrapped where the loss of the written file moves otherwise than the
// gradient says.
var errSlope = errors.New("written back")

// slope compares both at one distance: from one side to the other, or, where the
// loss has a kink here (a unit of LongT5's ReLU at 0 for padding), from the middle
// to either.
func (w *written) slope(ctx context.Context, step, tolerance float64) error {
	var loss, along [3]float64
	for i, s := range []float64{-step, 0, step} {
		var err error
		if loss[i], along[i], err = w.after(ctx, s); err != nil {
			return err
		}
	}
	for _, ends := range [][2]int{{0, 2}, {0, 1}, {1, 2}} {
		if from, to := ends[0], ends[1]; within(loss[to]-loss[from], along[to]-along[from], tolerance, 0) {
			return nil
		}
	}
	return fmt.Errorf("%w: the loss of the written file moves by %g, the gradient says %g", errSlope, loss[2]-loss[0], along[2]-along[0])
}

// dot is the inner product of two sets of tensors.
func dot(a, b map[string][]float32) float64 {
	sum := 0.0
	for name, v := range a {
		for k, x := range v {
			sum += float64(x) * float64(b[name][k])
		}
	}
	return sum
}

// A written is a model file with changed weights.
type written struct {
	*subject
	batch    *runtime.Batch
	file     *caseFile
	gradient map[string][]float32
	path     string
}

// after writes the model with weights + step·gradient and returns the summed loss
// of the written file and ⟨gradient, its weights⟩.
func (w *written) after(ctx context.Context, step float64) (loss, along float64, err error) {
	patch, err := w.patch(w.gradient, step)
	if err != nil {
		return 0, 0, err
	}
	if err := w.model.File().WriteBack(w.path, patch); err != nil {
		return 0, 0, fmt.Errorf("write back: %w", err)
	}
	m, err := runtime.Open(w.path, runtime.Options{Threads: 1, Output: w.file.Output})
	if err != nil {
		return 0, 0, fmt.Errorf("written file: %w", err)
	}
	defer m.Close()
	if loss, err = w.lossOf(ctx, m); err != nil {
		return 0, 0, err
	}
	weights, err := readWeights(m, w.gradient)
	if err != nil {
		return 0, 0, err
	}
	return loss, dot(w.gradient, weights), nil
}

// lossOf is the summed loss of the written file: by running the file, or, where the
// exported one doesn't run either, or rounds activations for its quantised weights,
// by Ghostwriter's graph of it.
func (w *written) lossOf(ctx context.Context, m *runtime.Model) (float64, error) {
	if w.file.Forward == "" && len(w.file.Golden.Norm) > 0 {
		return forwardLoss(ctx, m, w.batch, w.file)
	}
	s := &subject{model: m, loss: w.loss, freeze: w.freeze}
	g, err := s.gradNorms(ctx, w.batch, "ghost")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, l := range g.Loss {
		sum += l
	}
	return sum, nil
}

// readWeights reads the parameters that like names.
func readWeights(m *runtime.Model, like map[string][]float32) (map[string][]float32, error) {
	p, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	out := map[string][]float32{}
	for name, v := range like {
		init := p.Graph.Inits[name]
		if init == nil || init.Len() != int64(len(v)) {
			return nil, fmt.Errorf("the file holds no parameter %s of %d numbers", name, len(v))
		}
		out[name] = make([]float32, len(v))
		if err := init.ReadFloat32(out[name]); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	return out, nil
}

// patch holds weights + step·gradient under every name that the file has for them.
func (s *subject) patch(gradient map[string][]float32, step float64) (ir.Patch, error) {
	weights, err := readWeights(s.model, gradient)
	if err != nil {
		return ir.Patch{}, err
	}
	p, err := s.model.Prepared()
	if err != nil {
		return ir.Patch{}, err
	}
	for name, g := range gradient {
		for k, x := range g {
			weights[name][k] += float32(step * float64(x))
		}
	}
	patch := ir.Patch{Weights: weights}
	for _, a := range p.Graph.Aliases {
		v, ok := weights[a.Root]
		if ok && a.Transposed {
			v = transposed(v, p.Graph.Inits[a.Root].Dims)
		}
		if ok {
			patch.Weights[a.Name] = v
		}
	}
	return patch, nil
}

func transposed(v []float32, dims []int64) []float32 {
	rows, columns := int(dims[0]), int(dims[1])
	out := make([]float32, len(v))
	for i := range rows {
		for j := range columns {
			out[j*rows+i] = v[i*columns+j]
		}
	}
	return out
}
