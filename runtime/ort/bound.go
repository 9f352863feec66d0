package ort

// #include "bridge_device.h"
import "C"

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"
)

// Bound are the arguments of RunBound. Every input is in Feeds or in Device, every output wanted in Fetches or in Into.
type Bound struct {
	Feeds   map[string]*Tensor       // inputs in main memory; what operators of a device read is copied there
	Device  map[string]*DeviceTensor // inputs that lie on the session's device
	Fetches []Fetch                  // outputs into main memory, as Run's
	Into    map[string]*DeviceTensor // outputs written to the device's memory, of the value's type and shape
}

// RunBound is Run with inputs and outputs that stay on the session's device. It returns the Fetches. An output in Into
// may be an input of the same run only where Run's may (see Fetch.Into).
func (s *Session) RunBound(ctx context.Context, b Bound) (map[string]*Tensor, error) {
	memory, err := b.memory()
	if err != nil {
		return nil, s.fail(err)
	}
	if memory != nil {
		memory.mu.RLock()
		defer memory.mu.RUnlock()
	}
	c := new(boundCall)
	out, err := s.perform(ctx, &c.call, func() error { return s.place(c, b) }, func() error {
		return s.terminable(ctx, func(o *C.OrtRunOptions) error { return s.runBound(c, o) })
	})
	runtime.KeepAlive(b)
	return out, err
}

// memory is the one that all device tensors of a run lie in.
func (b Bound) memory() (*DeviceMemory, error) {
	var memory *DeviceMemory
	for _, list := range []map[string]*DeviceTensor{b.Device, b.Into} {
		for name, t := range list {
			switch {
			case t == nil:
				return nil, fmt.Errorf("%q: got no tensor (nil)", name)
			case memory == nil:
				memory = t.memory
			case memory != t.memory:
				return nil, fmt.Errorf("%q lies in another device memory (%s) than other tensors of the run (%s)", name, t.memory.device, memory.device)
			}
		}
	}
	return memory, nil
}

// A boundCall is one bound run's arguments.
type boundCall struct {
	call
	inputs, outputs []C.gw_place
}

// place checks inputs and outputs against the model and says where each lies.
func (s *Session) place(c *boundCall, b Bound) error {
	for i := range s.inputs {
		name := s.inputs[i].Name
		if b.Feeds[name] == nil && b.Device[name] == nil {
			return fmt.Errorf("input %q is not fed: want %s", name, s.inputs[i].Info)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Device)) {
		in, ok := s.feedable[name]
		if !ok {
			return fmt.Errorf("the model has no input %q: its inputs are %s", name, listNames(s.inputs))
		}
		if b.Feeds[name] != nil {
			return fmt.Errorf("input %q is fed from main memory and from the device", name)
		}
		if err := b.Device[name].usable(in.Info); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		c.inputs = append(c.inputs, C.gw_place{name: in.cName, value: b.Device[name].value, bound: true})
	}
	if err := s.feed(&c.call, b.Feeds); err != nil {
		return err
	}
	for i, name := range c.inNames {
		c.inputs = append(c.inputs, C.gw_place{name: name, view: c.in[i], bound: true})
	}
	return s.placeOutputs(c, b)
}

func (s *Session) placeOutputs(c *boundCall, b Bound) error {
	if len(b.Fetches) > 0 || len(b.Into) == 0 {
		if err := s.bindOutputs(&c.call, b.Fetches); err != nil {
			return err
		}
	}
	for i, name := range c.outNames {
		c.outputs = append(c.outputs, C.gw_place{name: name, view: c.out[i], bound: c.bound[i]})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Into)) {
		out, ok := s.fetchable[name]
		switch {
		case !ok:
			return fmt.Errorf("the model has no output %q: its outputs are %s", name, listNames(s.outputs))
		case slices.ContainsFunc(b.Fetches, func(f Fetch) bool { return f.Name == name }):
			return fmt.Errorf("output %q is fetched twice", name)
		}
		t := b.Into[name]
		if t.like.dtype != out.DType {
			return fmt.Errorf("output %q: the destination is %s, the model gives %s", name, t, out.Info)
		}
		if err := t.usable(Info{Kind: "tensor", DType: t.like.dtype}); err != nil {
			return fmt.Errorf("output %q: %w", name, err)
		}
		c.outputs = append(c.outputs, C.gw_place{name: out.cName, value: t.value, bound: true})
	}
	return nil
}

// usable checks a tensor against a declared input. The memory's lock is held.
func (t *DeviceTensor) usable(declared Info) error {
	if t.value == nil {
		return fmt.Errorf("the tensor was released")
	}
	return declared.accepts(&t.like)
}

// runBound makes the call. What the places point to is pinned or the runtime's.
func (s *Session) runBound(c *boundCall, o *C.OrtRunOptions) error {
	values := make([]*C.OrtValue, len(c.outputs)+1)
	err := s.env.check(C.gw_run_bound(s.env.api, s.ptr, o, s.env.memory,
		unsafe.SliceData(c.inputs), C.size_t(len(c.inputs)), unsafe.SliceData(c.outputs), C.size_t(len(c.outputs)), &values[0]))
	// As after Run: the values of outputs follow those of inputs.
	c.values = append(make([]*C.OrtValue, len(c.in)), values...)
	return err
}
