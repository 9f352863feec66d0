package ort

// #include <stdlib.h>
// #include "bridge_device.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// DeviceMemory is where tensors that stay on a device lie: a model's weights, which every run reads and which change
// once a step. On the processor it is memory of the runtime.
//
// It owns its tensors: Close releases those that are left. A run holds all of them until it is over, and Close and
// Release wait for it. All methods are safe for concurrent use.
type DeviceMemory struct {
	env       *Env
	device    Device
	allocator *C.OrtAllocator
	anchor    *Session // the session whose allocator it is; copies float32

	mu      sync.RWMutex // held for reading by runs, for writing by what releases memory
	closed  bool
	tensors map[*DeviceTensor]bool
	host    []*C.OrtValue // of HostFloats
	pinned  *C.OrtAllocator

	copying sync.Mutex
	copiers map[DType]*Session
}

// DeviceTensor is a dense row-major tensor in the memory of a device, which belongs to a DeviceMemory. Its contents are
// undefined until they are uploaded or a run writes them. Like a Tensor it may be fed to concurrent runs, and writing to
// it (Upload, or as an output) while another run uses it is a data race.
type DeviceTensor struct {
	memory *DeviceMemory
	like   Tensor // type and shape; no data
	value  *C.OrtValue
}

// NewDeviceMemory opens a device's memory; limit bounds in bytes what of it is taken, 0 sets no bound. Before it returns,
// numbers have been copied there and back. Where the device can't be used the error is a *DeviceError.
func (e *Env) NewDeviceMemory(d Device, limit int64) (*DeviceMemory, error) {
	if err := e.CheckDevice(d); err != nil {
		return nil, err
	}
	m := &DeviceMemory{env: e, device: d, tensors: map[*DeviceTensor]bool{}, copiers: map[DType]*Session{}}
	anchor, err := e.newCopier(d, Float32, limit)
	if err != nil {
		return nil, err
	}
	m.anchor, m.copiers[Float32] = anchor, anchor
	if m.allocator, err = m.open(d.memoryName(), C.gw_memory_type(0)); err != nil {
		return nil, errors.Join(fmt.Errorf("device %s: no allocator for its memory: %w", d, err), anchor.Close())
	}
	// Without page-locked memory copies are slower, no more.
	m.pinned, _ = m.open(d.pinnedMemory())
	if err := m.tryOut(); err != nil {
		return nil, errors.Join(fmt.Errorf("device %s: %w", d, err), m.Close())
	}
	return m, nil
}

// newCopier opens a session that copies tensors of a type, whatever their shape.
func (e *Env) newCopier(d Device, dtype DType, limit int64) (*Session, error) {
	declared := func(name string) []*onnxpb.ValueInfoProto {
		return []*onnxpb.ValueInfoProto{{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
			TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(dtype))},
		}}}}
	}
	model, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("copy"), Input: declared("x"), Output: declared("y"),
			Node: []*onnxpb.NodeProto{{Name: proto.String("copy"), OpType: proto.String("Identity"), Input: []string{"x"}, Output: []string{"y"}}},
		},
	})
	if err != nil {
		return nil, err
	}
	return e.NewSession(model, Options{Name: "copy to " + d.String(), Device: d, DeviceMemory: limit, Threads: 1, exact: true})
}

// open makes an allocator of the anchor's session.
func (m *DeviceMemory) open(name string, kind C.gw_memory_type) (*C.OrtAllocator, error) {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	var info *C.OrtMemoryInfo
	if err := m.env.check(C.gw_memory(m.env.api, cName, C.int(m.device.index), kind, &info)); err != nil {
		return nil, err
	}
	defer C.gw_memory_release(m.env.api, info)
	var allocator *C.OrtAllocator
	return allocator, m.env.check(C.gw_allocator(m.env.api, m.anchor.ptr, info, &allocator))
}

// tryOut copies a few numbers to the device and back: a device that is listed and does not work is found here.
func (m *DeviceMemory) tryOut() error {
	there, err := m.NewTensor(Float32, []int64{3})
	if err != nil {
		return err
	}
	defer there.Release()
	in, out := []float32{1, -2.5, 3e30}, make([]float32, 3)
	from, _ := NewTensor([]int64{3}, in)
	to, _ := NewTensor([]int64{3}, out)
	if err := there.Upload(context.Background(), from); err != nil {
		return err
	}
	if err := there.Download(context.Background(), to); err != nil {
		return err
	}
	if !slices.Equal(in, out) {
		return fmt.Errorf("numbers that were copied there came back changed: the device does not work")
	}
	return nil
}

// Device is where the memory is.
func (m *DeviceMemory) Device() Device { return m.device }

// NewTensor makes a tensor of undefined contents in the device's memory.
func (m *DeviceMemory) NewTensor(dtype DType, shape []int64) (*DeviceTensor, error) {
	if dtype.Size() == 0 {
		return nil, fmt.Errorf("can't make a tensor of %s", dtype)
	}
	n, err := elements(shape, dtype.Size())
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("the memory of device %s is closed", m.device)
	}
	t := &DeviceTensor{memory: m, like: Tensor{dtype: dtype, shape: slices.Clone(shape), n: n}}
	var data unsafe.Pointer
	if t.value, err = m.allocate(m.allocator, dtype, t.like.shape, &data); err != nil {
		return nil, fmt.Errorf("%s in the memory of device %s: %w", &t.like, m.device, err)
	}
	m.tensors[t] = true
	return t, nil
}

func (m *DeviceMemory) allocate(a *C.OrtAllocator, dtype DType, shape []int64, data *unsafe.Pointer) (*C.OrtValue, error) {
	dims := make([]C.int64_t, len(shape)+1)
	for i, d := range shape {
		dims[i] = C.int64_t(d)
	}
	var value *C.OrtValue
	return value, m.env.check(C.gw_new_tensor(m.env.api, a, &dims[0], C.size_t(len(shape)), C.gw_element_type(dtype), &value, data))
}

// HostFloats returns n zeros in main memory that copies to and from the device take the shortest way to: page-locked
// memory where the runtime gives some, and ordinary memory otherwise. They must not be used after Close.
//
// foreign reports that it is not Go's.
func (m *DeviceMemory) HostFloats(n int) (floats []float32, foreign bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pinned == nil || m.closed || n == 0 {
		return alignedFloats(n), false
	}
	var data unsafe.Pointer
	value, err := m.allocate(m.pinned, Float32, []int64{int64(n)}, &data)
	if err != nil { // page-locked memory is scarce
		return alignedFloats(n), false
	}
	m.host = append(m.host, value)
	floats = unsafe.Slice((*float32)(data), n)
	clear(floats)
	return floats, true
}

// Close releases the tensors that are left, waiting for runs that use them, and everything else. Closing again does
// nothing.
func (m *DeviceMemory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	for t := range m.tensors {
		m.free(t)
	}
	for _, v := range m.host {
		C.gw_value_release(m.env.api, v)
	}
	for _, a := range []*C.OrtAllocator{m.allocator, m.pinned} {
		if a != nil {
			C.gw_allocator_release(m.env.api, a)
		}
	}
	var errs []error
	m.copying.Lock()
	defer m.copying.Unlock()
	for _, s := range m.copiers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// free gives a tensor's memory back; mu is held for writing.
func (m *DeviceMemory) free(t *DeviceTensor) {
	C.gw_value_release(m.env.api, t.value)
	t.value = nil
	delete(m.tensors, t)
}
