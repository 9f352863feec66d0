package ort

// #include "bridge.h"
import "C"

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// Info describes an input, an output or an overridable initializer as the model declares it.
type Info struct {
	Name string
	// Kind is "tensor", or for what this package can't carry "sequence", "map", "optional", "sparse tensor" or "opaque".
	Kind string
	// DType is the element type of a tensor.
	DType DType
	// HasShape is false where the model declares no shape at all; Dims is then nil and any rank is accepted.
	HasShape bool
	// Dims are the declared dimensions, -1 for one that is not fixed. An empty list is rank 0.
	Dims []int64
	// Symbols has the name of each dimension ("batch"), "" where it is fixed or has none.
	Symbols []string
}

// String is the form used in messages: "int64[batch 128 ?]", "float32[...]" for a tensor of no declared shape.
func (i Info) String() string {
	switch {
	case i.Kind != "tensor":
		return i.Kind
	case !i.HasShape:
		return i.DType.String() + "[...]"
	}
	parts := make([]string, len(i.Dims))
	for axis, d := range i.Dims {
		switch {
		case d >= 0:
			parts[axis] = strconv.FormatInt(d, 10)
		case i.Symbols[axis] != "":
			parts[axis] = i.Symbols[axis]
		default:
			parts[axis] = "?"
		}
	}
	return i.DType.String() + "[" + strings.Join(parts, " ") + "]"
}

func (i Info) clone() Info {
	i.Dims, i.Symbols = slices.Clone(i.Dims), slices.Clone(i.Symbols)
	return i
}

// accepts checks a tensor against the declared type, dimension by dimension.
func (i Info) accepts(t *Tensor) error {
	if i.Kind != "tensor" {
		return fmt.Errorf("it is a %s; only tensors can be fed", i.Kind)
	}
	if t == nil {
		return fmt.Errorf("got no tensor (nil), want %s", i)
	}
	if t.dtype != i.DType {
		return fmt.Errorf("got %s, want %s", t, i)
	}
	if !i.HasShape {
		return nil
	}
	if len(t.shape) != len(i.Dims) {
		return fmt.Errorf("got rank %d (%s), want rank %d (%s)", len(t.shape), t, len(i.Dims), i)
	}
	for axis, d := range i.Dims {
		if d >= 0 && t.shape[axis] != d {
			return fmt.Errorf("got size %d on axis %d (%s), want %d (%s)", t.shape[axis], axis, t, d, i)
		}
	}
	return nil
}

// kinds names the values of ONNXType.
var kinds = [...]string{"unknown", "tensor", "sequence", "map", "opaque", "sparse tensor", "optional"}

func kindName(kind C.gw_onnx_type) string {
	if int(kind) < len(kinds) {
		return kinds[kind]
	}
	return "value of kind " + strconv.Itoa(int(kind))
}

// describe reads one of the three lists of a session: C.gw_inputs, C.gw_outputs or C.gw_overridable.
func (e *Env) describe(s *C.OrtSession, list C.int) ([]Info, error) {
	var n C.size_t
	if err := e.check(C.gw_count(e.api, s, list, &n)); err != nil {
		return nil, err
	}
	infos := make([]Info, int(n))
	for i := range infos {
		var raw C.gw_info
		err := e.check(C.gw_describe(e.api, s, list, C.size_t(i), &raw))
		if err == nil {
			infos[i] = newInfo(&raw)
		}
		C.gw_info_release(&raw)
		if err != nil {
			return nil, err
		}
	}
	return infos, nil
}

func newInfo(raw *C.gw_info) Info {
	info := Info{
		Name: C.GoString(raw.name), Kind: kindName(raw.kind), DType: DType(raw._type), HasShape: bool(raw.has_shape),
	}
	if !info.HasShape {
		return info
	}
	rank := int(raw.rank)
	info.Dims, info.Symbols = make([]int64, rank), make([]string, rank)
	for axis, d := range unsafe.Slice(raw.dims, rank) {
		info.Dims[axis] = max(int64(d), -1)
	}
	for axis, symbol := range unsafe.Slice(raw.symbols, rank) {
		info.Symbols[axis] = C.GoString(symbol)
	}
	return info
}
