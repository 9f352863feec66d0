package ort

import (
	"context"
	"fmt"
	"slices"
)

// DType returns the element type.
func (t *DeviceTensor) DType() DType { return t.like.dtype }

// Shape returns a copy of the dimensions.
func (t *DeviceTensor) Shape() []int64 { return t.like.Shape() }

// Len returns the number of elements.
func (t *DeviceTensor) Len() int { return t.like.n }

// String describes the tensor, as "float32[2 3] on cuda:0".
func (t *DeviceTensor) String() string {
	return fmt.Sprintf("%s on %s", &t.like, t.memory.device)
}

// Release gives the memory back, after the runs under way that use it. A second time it does nothing.
func (t *DeviceTensor) Release() {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	if t.value != nil {
		t.memory.free(t)
	}
}

// Upload copies a tensor of the same type and shape to the device, and returns when it is there.
func (t *DeviceTensor) Upload(ctx context.Context, from *Tensor) error {
	if err := t.matches(from); err != nil {
		return err
	}
	copier, err := t.memory.copier(t.like.dtype)
	if err != nil || t.like.n == 0 {
		return err
	}
	_, err = copier.RunBound(ctx, Bound{Feeds: map[string]*Tensor{"x": from}, Into: map[string]*DeviceTensor{"y": t}})
	return err
}

// Download copies the tensor from the device into one of the same type and shape.
func (t *DeviceTensor) Download(ctx context.Context, to *Tensor) error {
	if err := t.matches(to); err != nil {
		return err
	}
	copier, err := t.memory.copier(t.like.dtype)
	if err != nil || t.like.n == 0 {
		return err
	}
	_, err = copier.RunBound(ctx, Bound{Device: map[string]*DeviceTensor{"x": t}, Fetches: []Fetch{{Name: "y", Into: to}}})
	return err
}

func (t *DeviceTensor) matches(x *Tensor) error {
	if x == nil || x.dtype != t.like.dtype || !slices.Equal(x.shape, t.like.shape) {
		return fmt.Errorf("can't copy between %v and %s", x, t)
	}
	return nil
}

// copier returns the session that copies tensors of a type.
func (m *DeviceMemory) copier(dtype DType) (*Session, error) {
	m.copying.Lock()
	defer m.copying.Unlock()
	if s := m.copiers[dtype]; s != nil {
		return s, nil
	}
	s, err := m.env.newCopier(m.device, dtype, 0)
	if err == nil {
		m.copiers[dtype] = s
	}
	return s, err
}
