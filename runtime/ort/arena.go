package ort

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// Param is one named float32 tensor of an Arena.
type Param struct {
	Name  string
	Shape []int64
}

// Arena is one block of float32 memory that holds named parameters one after the other. It is how weights, gradients
// and optimizer state are kept: the runtime reads and writes the parameters in place as tensors, while an update or the
// noise goes over Data in one loop.
//
// There is no padding between parameters, so that every element of Data is a coordinate of exactly one parameter and
// what is computed over Data (a norm, noise for each coordinate) needs no exceptions. The runtime accepts tensors at
// any multiple of 4 bytes; only the beginning is aligned, to a cache line.
type Arena struct {
	params []Param
	data   []float32
	offset map[string]int
	index  map[string]int

	foreign bool // data is not Go's memory

	made    sync.Once
	tensors []*Tensor // of the parameters, made when first asked for
}

// cacheLine is the alignment of an arena's beginning in bytes.
const cacheLine = 64

// NewArena makes an arena of zeros with room for params in their order. Names must differ; a parameter may be empty.
func NewArena(params []Param) (*Arena, error) {
	a := &Arena{params: make([]Param, len(params)), offset: make(map[string]int, len(params)), index: make(map[string]int, len(params))}
	total := 0
	for i, p := range params {
		if _, ok := a.index[p.Name]; ok {
			return nil, fmt.Errorf("parameter %q is in the arena twice", p.Name)
		}
		n, err := elements(p.Shape, Float32.Size())
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", p.Name, err)
		}
		if _, err := elements([]int64{int64(total) + int64(n)}, Float32.Size()); err != nil {
			return nil, fmt.Errorf("parameter %q: the arena needs more bytes than can be addressed", p.Name)
		}
		a.params[i] = Param{Name: p.Name, Shape: slices.Clone(p.Shape)}
		a.offset[p.Name], a.index[p.Name] = total, i
		total += n
	}
	a.data = alignedFloats(total)
	return a, nil
}

// alignedFloats allocates n zeros that begin at a cache line.
func alignedFloats(n int) []float32 {
	const spare = cacheLine/4 - 1
	block := make([]float32, n+spare)
	skip := 0
	if rest := uintptr(unsafe.Pointer(&block[0])) % cacheLine; rest != 0 {
		skip = int(cacheLine-rest) / 4
	}
	return block[skip : skip+n : skip+n]
}

// Data is all parameters, one after the other in the order of Params: the flat vector of coordinates. It is shared.
func (a *Arena) Data() []float32 { return a.data }

// Params lists the parameters in order.
func (a *Arena) Params() []Param {
	list := make([]Param, len(a.params))
	for i, p := range a.params {
		list[i] = Param{Name: p.Name, Shape: slices.Clone(p.Shape)}
	}
	return list
}

// Has reports whether the arena has a parameter of that name.
func (a *Arena) Has(name string) bool { _, ok := a.index[name]; return ok }

// Slice is the part of Data that holds a parameter, row-major, shared. It is nil for an unknown name.
func (a *Arena) Slice(name string) []float32 {
	i, ok := a.index[name]
	if !ok {
		return nil
	}
	n, _ := elements(a.params[i].Shape, Float32.Size()) // checked by NewArena
	begin := a.offset[name]
	return a.data[begin : begin+n : begin+n]
}

// Offset is where a parameter begins in Data; ok is false for an unknown name.
func (a *Arena) Offset(name string) (offset int, ok bool) {
	offset, ok = a.offset[name]
	return offset, ok
}

// Tensor is a parameter as a tensor over the arena's memory, always the same one.
func (a *Arena) Tensor(name string) (*Tensor, error) {
	i, ok := a.index[name]
	if !ok {
		return nil, fmt.Errorf("the arena has no parameter %q", name)
	}
	return a.all()[i], nil
}

// Tensors are all parameters by name, as Session.Run takes feeds.
func (a *Arena) Tensors() map[string]*Tensor {
	all := make(map[string]*Tensor, len(a.params))
	a.Feed(all)
	return all
}

// Feed adds all parameters to the feeds of a run.
func (a *Arena) Feed(feeds map[string]*Tensor) {
	for i, t := range a.all() {
		feeds[a.params[i].Name] = t
	}
}

// all makes the tensors once: a run that is fed hundreds of parameters makes no garbage of them.
func (a *Arena) all() []*Tensor {
	a.made.Do(func() {
		a.tensors = make([]*Tensor, len(a.params))
		for i, p := range a.params {
			part := a.Slice(p.Name)
			t := &Tensor{dtype: Float32, shape: slices.Clone(p.Shape), n: len(part), foreign: a.foreign}
			if len(part) > 0 {
				t.data = unsafe.Pointer(unsafe.SliceData(part))
			}
			a.tensors[i] = t
		}
	})
	return a.tensors
}

// Like makes an arena of zeros with the same layout: for gradients, or an optimizer's moments.
func (a *Arena) Like() *Arena {
	return &Arena{params: a.params, offset: a.offset, index: a.index, data: alignedFloats(len(a.data))}
}

// LikeIn is Like with the numbers in main memory that a device copies to and from fastest (DeviceMemory.HostFloats):
// they must not be used once that is closed.
func (a *Arena) LikeIn(m *DeviceMemory) *Arena {
	like := &Arena{params: a.params, offset: a.offset, index: a.index}
	like.data, like.foreign = m.HostFloats(len(a.data))
	return like
}

// Discard makes all numbers 0 and gives their memory back to the system until they are written to again, where the
// system can: for a vector that is needed seldom. An arena in a device's host memory keeps it.
func (a *Arena) Discard() {
	if a.foreign || !discard(a.data) {
		clear(a.data)
	}
}
