package ort

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"
)

// Fetch asks a run for one output.
type Fetch struct {
	// Name is the output's name in the model.
	Name string
	// Into, if not nil, is the destination: the runtime writes the output to its memory, without a copy. Its element type
	// and shape must be those of the value. It may be an input of the same run only where the model's last use of that
	// input is elementwise, computing this output. Without it the output is a new tensor.
	Into *Tensor
	// Keep leaves the output in the runtime's memory instead of copying it into Go's: for large values that the next run
	// is fed again. Tensor.Release gives the memory back.
	Keep bool
}

// Outputs are fetches of the named outputs into new tensors.
func Outputs(names ...string) []Fetch {
	list := make([]Fetch, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// Run feeds tensors by input name, runs the model and returns the fetched outputs by name; with no fetches, every
// output. All inputs must be fed, overridable initializers may be. What is wrong with a feed or a fetch is said before
// the runtime is called.
//
// When ctx ends, the run stops after the operator it is in and the error wraps ctx.Err(). After any error the contents
// of Into tensors are undefined. Errors of the runtime can quote values of the inputs (see the package comment).
func (s *Session) Run(ctx context.Context, feeds map[string]*Tensor, fetches ...Fetch) (map[string]*Tensor, error) {
	c := new(call)
	bind := func() error {
		if err := s.bindInputs(c, feeds); err != nil {
			return err
		}
		return s.bindOutputs(c, fetches)
	}
	out, err := s.perform(ctx, c, bind, func() error { return s.execute(ctx, c) })
	runtime.KeepAlive(feeds) // kept tensors are freed when Go finds them unused
	return out, err
}

// perform is what every kind of run does around binding its arguments and making the call. What the arguments point to
// must stay alive until it returns.
func (s *Session) perform(ctx context.Context, c *call, bind, execute func() error) (map[string]*Tensor, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, s.fail(ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, s.fail(fmt.Errorf("run not begun: %w", err))
	}
	defer c.pins.Unpin()
	if err := bind(); err != nil {
		return nil, s.fail(err)
	}
	if err := execute(); err != nil {
		if stopped := ctx.Err(); stopped != nil {
			return nil, s.fail(fmt.Errorf("run stopped: %w", stopped))
		}
		return nil, s.fail(fmt.Errorf("run failed: %w", err))
	}
	out, err := s.collect(c)
	if s.trim {
		s.env.TrimPool()
	}
	return out, err
}

// call is one run's arguments. Everything Go allocated that they point to is pinned until the run is over.
type call struct {
	pins     runtime.Pinner
	inNames  []*C.char
	in       []C.gw_view
	outNames []*C.char
	out      []C.gw_view
	bound    []C.bool
	fetches  []Fetch
	values   []*C.OrtValue
}

// view describes a tensor's memory to C and pins it.
func (c *call) view(t *Tensor) C.gw_view {
	v := C.gw_view{bytes: C.size_t(t.n * t.dtype.Size()), rank: C.size_t(len(t.shape)), _type: C.gw_element_type(t.dtype)}
	if t.n > 0 {
		if t.kept == nil && !t.foreign {
			c.pins.Pin(t.data)
		}
		v.data = t.data
	}
	if len(t.shape) > 0 {
		c.pins.Pin(&t.shape[0])
		v.dims = (*C.int64_t)(unsafe.Pointer(&t.shape[0]))
	}
	return v
}

// bindInputs checks that all inputs are fed, and adds them to the call.
func (s *Session) bindInputs(c *call, feeds map[string]*Tensor) error {
	for i := range s.inputs {
		if _, ok := feeds[s.inputs[i].Name]; !ok {
			return fmt.Errorf("input %q is not fed: want %s", s.inputs[i].Name, s.inputs[i].Info)
		}
	}
	return s.feed(c, feeds)
}

// feed checks feeds against the declared inputs and adds them to the call.
func (s *Session) feed(c *call, feeds map[string]*Tensor) error {
	names := slices.AppendSeq(make([]string, 0, len(feeds)), maps.Keys(feeds))
	slices.Sort(names)
	c.inNames, c.in = slices.Grow(c.inNames, len(names)), slices.Grow(c.in, len(names))
	for _, name := range names {
		in, ok := s.feedable[name]
		if !ok {
			return fmt.Errorf("the model has no input %q: its inputs are %s", name, listNames(s.inputs))
		}
		if err := in.accepts(feeds[name]); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		if feeds[name].kept.gone() {
			return fmt.Errorf("input %q: the tensor was released", name)
		}
		c.inNames = append(c.inNames, in.cName)
		c.in = append(c.in, c.view(feeds[name]))
	}
	return nil
}

// bindOutputs checks the fetches against the outputs and adds them to the call. Declared shapes are not checked: real
// exports declare wrong ones, and the runtime compares a destination with the value it computed.
func (s *Session) bindOutputs(c *call, fetches []Fetch) error {
	if len(fetches) == 0 {
		for i := range s.outputs {
			fetches = append(fetches, Fetch{Name: s.outputs[i].Name})
		}
	}
	seen := make(map[string]bool, len(fetches))
	c.outNames, c.out, c.bound = slices.Grow(c.outNames, len(fetches)), slices.Grow(c.out, len(fetches)), slices.Grow(c.bound, len(fetches))
	for _, f := range fetches {
		out, ok := s.fetchable[f.Name]
		switch {
		case !ok:
			return fmt.Errorf("the model has no output %q: its outputs are %s", f.Name, listNames(s.outputs))
		case seen[f.Name]:
			return fmt.Errorf("output %q is fetched twice", f.Name)
		case out.Kind != "tensor":
			return fmt.Errorf("output %q is a %s; only tensors can be fetched", f.Name, out.Kind)
		case out.DType.Size() == 0:
			return fmt.Errorf("output %q holds elements of %s, which are not supported", f.Name, out.DType)
		case f.Into != nil && f.Into.dtype != out.DType:
			return fmt.Errorf("output %q: the destination is %s, the model gives %s", f.Name, f.Into, out.Info)
		}
		seen[f.Name] = true
		var v C.gw_view
		if f.Into != nil {
			v = c.view(f.Into)
		}
		c.outNames = append(c.outNames, out.cName)
		c.out = append(c.out, v)
		c.bound = append(c.bound, C.bool(f.Into != nil))
	}
	c.fetches = fetches
	return nil
}

// listNames lists the first names for a message.
func listNames(slots []slot) string {
	const most = 8
	names := make([]string, 0, most)
	for i := range slots[:min(len(slots), most)] {
		names = append(names, slots[i].Name)
	}
	if len(slots) > most {
		return fmt.Sprintf("%q and %d more", names, len(slots)-most)
	}
	return fmt.Sprintf("%q", names)
}

// shrinkKey asks for unused regions of the main memory's arena to be freed at the end of a run.
const shrinkKey, shrinkValue = "memory.enable_memory_arena_shrinkage", "cpu:0"

// execute makes the call and stops it when ctx ends.
func (s *Session) execute(ctx context.Context, c *call) error {
	c.values = make([]*C.OrtValue, len(c.in)+len(c.out)+1)
	return s.terminable(ctx, func(o *C.OrtRunOptions) error {
		return s.env.check(C.gw_run(s.env.api, s.ptr, o, s.env.memory,
			unsafe.SliceData(c.inNames), unsafe.SliceData(c.in), C.size_t(len(c.in)),
			unsafe.SliceData(c.outNames), unsafe.SliceData(c.out), unsafe.SliceData(c.bound), C.size_t(len(c.out)),
			&c.values[0]))
	})
}

// terminable gives run options to run, and has them stop it when ctx ends.
func (s *Session) terminable(ctx context.Context, run func(*C.OrtRunOptions) error) error {
	options, err := s.runOptions()
	if err != nil {
		return err
	}
	defer C.gw_run_options_release(s.env.api, options)
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		// The run ends by itself if the flag can't be set; then there is nobody to tell.
		_ = s.env.check(C.gw_terminate(s.env.api, options))
	})
	defer func() {
		if !stop() {
			<-terminated // the options must outlive the call above
		}
	}()
	return run(options)
}

func (s *Session) runOptions() (*C.OrtRunOptions, error) {
	var options *C.OrtRunOptions
	if !s.shrink {
		return options, s.env.check(C.gw_run_options(s.env.api, nil, nil, 0, &options))
	}
	key, value := C.CString(shrinkKey), C.CString(shrinkValue)
	defer C.free(unsafe.Pointer(key))
	defer C.free(unsafe.Pointer(value))
	keys, values := []*C.char{key}, []*C.char{value}
	return options, s.env.check(C.gw_run_options(s.env.api, &keys[0], &values[0], 1, &options))
}

// collect copies the outputs that the runtime allocated into Go memory and gives the runtime its memory back.
func (s *Session) collect(c *call) (map[string]*Tensor, error) {
	results := make(map[string]*Tensor, len(c.fetches))
	var failed error
	for i, f := range c.fetches {
		if f.Into != nil {
			normalise(f.Into)
			results[f.Name] = f.Into
			continue
		}
		v := c.values[len(c.in)+i]
		t, err := s.env.result(v, f.Keep)
		if err != nil && failed == nil {
			failed = s.fail(fmt.Errorf("output %q: %w", f.Name, err))
		}
		results[f.Name] = t
	}
	if failed != nil {
		return nil, failed
	}
	return results, nil
}

// result makes a tensor of a value of the runtime, whose memory it keeps or copies and gives back.
func (e *Env) result(v *C.OrtValue, keep bool) (*Tensor, error) {
	if v == nil {
		return nil, fmt.Errorf("the run gave no value")
	}
	t, err := e.look(v)
	if err == nil && keep {
		t.keep(e, v)
		normalise(t)
		return t, nil
	}
	defer C.gw_value_release(e.api, v)
	if err != nil {
		return nil, err
	}
	copied, err := NewZeros(t.dtype, t.shape)
	if err != nil {
		return nil, err
	}
	copy(copied.Bytes(), t.Bytes())
	normalise(copied)
	return copied, nil
}

// look describes a value as a tensor over its memory.
func (e *Env) look(v *C.OrtValue) (*Tensor, error) {
	var kind C.gw_onnx_type
	var dtype C.gw_element_type
	var rank C.size_t
	var data unsafe.Pointer
	if err := e.check(C.gw_value(e.api, v, &kind, &dtype, &rank, &data)); err != nil {
		return nil, err
	}
	if kindName(kind) != "tensor" {
		return nil, fmt.Errorf("it is a %s; only tensors can be fetched", kindName(kind))
	}
	shape := make([]int64, int(rank)+1)[:rank]
	if err := e.check(C.gw_value_dims(e.api, v, (*C.int64_t)(unsafe.Pointer(unsafe.SliceData(shape))), rank)); err != nil {
		return nil, err
	}
	d := DType(dtype)
	if d.Size() == 0 {
		return nil, fmt.Errorf("it holds elements of %s, which are not supported", d)
	}
	n, err := elements(shape, d.Size())
	if err != nil {
		return nil, err
	}
	t := &Tensor{dtype: d, shape: shape, n: n}
	if n > 0 {
		t.data = data
	}
	return t, nil
}

// normalise makes every true of a boolean tensor the one byte that Go's bool may hold: the runtime passes on what bytes
// a model file stored.
func normalise(t *Tensor) {
	if t.dtype != Bool {
		return
	}
	for i, b := range t.Bytes() {
		if b > 1 {
			t.Bytes()[i] = 1
		}
	}
}
