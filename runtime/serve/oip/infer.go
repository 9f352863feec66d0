package oip

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// A request is an inference request of either form.
type request struct {
	model, version, id string
	inputs             []input
	outputs            []wanted // empty: all
	allBinary          bool     // of all, where none is named
}

// An input is a tensor of a request.
type input struct {
	name   string
	tensor *ort.Tensor
}

// A wanted output is one that a request asks for.
type wanted struct {
	name   string
	binary bool // REST: as bytes behind the JSON
}

// A response is what both forms write.
type response struct {
	model, version, id string
	outputs            []output
}

type output struct {
	wanted
	tensor *ort.Tensor
}

// infer answers a request.
func infer(ctx context.Context, s *serve.Server, q *request) (*response, error) {
	l, err := acquire(ctx, s, q.model, q.version)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	feeds, err := bind(l, q.inputs, s.Limits().Inputs)
	if err != nil {
		return nil, err
	}
	outputs, err := choose(l, q.outputs)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(outputs))
	for i, o := range outputs {
		names[i] = o.name
		outputs[i].binary = o.binary || q.allBinary
	}
	got, err := l.Run(ctx, feeds, names...)
	if err != nil {
		return nil, refused(err)
	}
	r := &response{model: l.Name(), version: l.Version(), id: q.id, outputs: make([]output, len(outputs))}
	for i, o := range outputs {
		r.outputs[i] = output{o, got[o.name]}
	}
	return r, nil
}

// acquire leases a model and notes it for the log.
func acquire(ctx context.Context, s *serve.Server, model, version string) (*serve.Lease, error) {
	l, err := s.Repository().Acquire(model, version)
	if err != nil {
		return nil, err
	}
	i := serve.InfoOf(ctx)
	i.Model, i.Version = l.Name(), l.Version()
	return l, nil
}

// bind checks a request's inputs against the model's.
func bind(l *serve.Lease, inputs []input, most int) (map[string]*ort.Tensor, error) {
	feeds := map[string]*ort.Tensor{}
	for _, in := range inputs {
		k := slices.IndexFunc(l.Inputs(), func(i ort.Info) bool { return i.Name == in.name })
		switch {
		case k < 0:
			return nil, serve.BadRequest("inputs", "model %s has no input %q; it has %s", l.Name(), in.name, names(l.Inputs()))
		case feeds[in.name] != nil:
			return nil, serve.BadRequest("inputs", "input %q is there twice", in.name)
		}
		if err := fits(l.Inputs()[k], in.tensor); err != nil {
			return nil, serve.BadRequest("inputs", "input %q: %v", in.name, err)
		}
		if shape := in.tensor.Shape(); l.Rows() && shape[0] > int64(most) {
			return nil, serve.BadRequest("inputs", "input %q has %d rows; at most %d are taken in one request (--max-inputs)", in.name, shape[0], most)
		}
		feeds[in.name] = in.tensor
	}
	for _, in := range l.Inputs() {
		if feeds[in.Name] == nil {
			return nil, serve.BadRequest("inputs", "input %q is missing; model %s reads %s", in.Name, l.Name(), names(l.Inputs()))
		}
	}
	return feeds, nil
}

// fits compares a tensor with what the model declares, in the protocol's words.
func fits(want ort.Info, got *ort.Tensor) error {
	if got.DType() != want.DType {
		return fmt.Errorf("its datatype is %s; the model reads %s", nameOf(got.DType()), nameOf(want.DType))
	}
	if !want.HasShape {
		return nil
	}
	shape := got.Shape()
	same := len(shape) == len(want.Dims)
	for axis := 0; same && axis < len(shape); axis++ {
		same = want.Dims[axis] < 0 || shape[axis] == want.Dims[axis]
	}
	if !same {
		return fmt.Errorf("its shape %v does not fit %v, where -1 is any extent", shape, want.Dims)
	}
	return nil
}

// choose lists the outputs that a request asks for, or all.
func choose(l *serve.Lease, asked []wanted) ([]wanted, error) {
	available := []wanted{}
	for _, o := range l.Outputs() {
		if o.Kind == "tensor" && o.DType.Size() > 0 {
			available = append(available, wanted{name: o.Name})
		}
	}
	if len(asked) == 0 {
		return available, nil
	}
	for i, o := range asked {
		k := slices.IndexFunc(l.Outputs(), func(i ort.Info) bool { return i.Name == o.name })
		switch {
		case k < 0:
			return nil, serve.BadRequest("outputs", "model %s has no output %q; it has %s", l.Name(), o.name, names(l.Outputs()))
		case !slices.ContainsFunc(available, func(w wanted) bool { return w.name == o.name }):
			return nil, serve.BadRequest("outputs", "output %q is of a kind that is not served", o.name)
		case slices.ContainsFunc(asked[:i], func(w wanted) bool { return w.name == o.name }):
			return nil, serve.BadRequest("outputs", "output %q is asked for twice", o.name)
		}
	}
	return asked, nil
}

func names(infos []ort.Info) string {
	list := make([]string, len(infos))
	for i, in := range infos {
		list[i] = fmt.Sprintf("%q", in.Name)
	}
	return strings.Join(list, ", ")
}

// A node of a model that has run before refuses values that it can't take, such as
// an id beyond its table, in these words; then the request is at fault, unless
// memory ran out.
const (
	nodeRefused = "Non-zero status code returned while running"
	noMemory    = "Failed to allocate memory"
)

// refused sorts the error of a run.
func refused(err error) error {
	var known *serve.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if text := err.Error(); strings.Contains(text, nodeRefused) && !strings.Contains(text, noMemory) {
		_, text, _ = strings.Cut(text, nodeRefused)
		return &serve.Error{Status: http.StatusBadRequest, Code: "inference_refused", Param: "inputs", Message: "the model can't be run on these inputs:" + text}
	}
	return err
}
