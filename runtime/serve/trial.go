package serve

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// The trial's sequences: long enough to leave a model's special cases, short
// enough for every position table.
const (
	trialShort = 5
	trialLong  = 9
	trialIDs   = 8 // ids below it; every vocabulary has them
)

// trialTolerance is how far a number may move, relative to the output's largest:
// float32 sums in another order, and what a finite mask leaves of a padding.
const (
	trialTolerance     = 1e-4
	trialToleranceHalf = 1e-2
)

// tryRows runs a row alone and beside another one of the same shape. It is a second
// look after the proof: some exports can't be run on two rows at all. Inputs that
// are made up may not suit a model; where a row alone fails nothing is learnt.
func (p *plan) tryRows(ctx context.Context, i *instance) error {
	jobs := make([]*job, 2)
	for k := range jobs {
		jobs[k] = &job{feeds: map[string]*ort.Tensor{}, outputs: slices.Sorted(maps.Keys(p.rows)), rows: 1, length: 1}
		for _, in := range i.inputs {
			t, err := made(in, k)
			if err != nil {
				return nil
			}
			jobs[k].feeds[in.Name] = t
		}
	}
	alone, err := i.model.RunDirect(ctx, jobs[0].feeds, jobs[0].outputs)
	if err != nil {
		return nil
	}
	return p.compare(ctx, i, alone, jobs[1], jobs[0])
}

// tryLengths is tryRows for a short sequence beside a longer one.
func (p *plan) tryLengths(ctx context.Context, i *instance) error {
	short, long := p.trialJob(i, trialShort), p.trialJob(i, trialLong)
	alone, err := i.model.RunDirect(ctx, short.feeds, short.outputs)
	if err != nil {
		return fmt.Errorf("a trial of %d tokens failed: %w", trialShort, err)
	}
	return p.compare(ctx, i, alone, long, short)
}

// compare runs two jobs together and holds the second against what it gave alone.
func (p *plan) compare(ctx context.Context, i *instance, alone map[string]*ort.Tensor, first, second *job) error {
	joined, err := p.runJoined(ctx, i.model, []*job{first, second})
	if err != nil {
		return fmt.Errorf("a trial of two rows failed: %w", err)
	}
	for _, name := range second.outputs {
		if err := near(alone[name], joined[1][name]); err != nil {
			return fmt.Errorf("output %q of a row changes beside another: %w", name, err)
		}
	}
	return nil
}

// trialJob makes a sequence of n tokens, none of them the padding.
func (p *plan) trialJob(i *instance, n int64) *job {
	j := &job{feeds: map[string]*ort.Tensor{}, outputs: slices.Sorted(maps.Keys(p.rows)), rows: 1, length: n}
	for _, in := range i.inputs {
		values := make([]int64, n)
		for k := range values {
			switch in.Name {
			case "input_ids":
				values[k] = 1 + int64(k*3)%(trialIDs-1)
				if values[k] == p.fill[in.Name] {
					values[k] = trialIDs
				}
			case "position_ids":
				values[k] = int64(k)
			case "attention_mask", "input_mask":
				values[k] = 1
			}
		}
		j.feeds[in.Name] = integers(in.DType, []int64{1, n}, values)
	}
	return j
}

// integers makes an int64 or int32 tensor.
func integers(d ort.DType, shape, values []int64) *ort.Tensor {
	t, err := ort.NewTensor(shape, values)
	if d == ort.Int32 {
		narrow := make([]int32, len(values))
		for i, v := range values {
			narrow[i] = int32(v)
		}
		t, err = ort.NewTensor(shape, narrow)
	}
	if err != nil {
		panic(err) // the caller's shape is not that of its values
	}
	return t
}

// near compares two outputs.
func near(a, b *ort.Tensor) error {
	if a.DType() != b.DType() || !slices.Equal(a.Shape(), b.Shape()) {
		return fmt.Errorf("%v against %v", a, b)
	}
	x, errX := floats(a)
	y, errY := floats(b)
	if errX != nil || errY != nil {
		if slices.Equal(a.Bytes(), b.Bytes()) {
			return nil
		}
		return fmt.Errorf("its integers differ")
	}
	scale, tolerance := 0.0, trialTolerance
	if a.DType() == ort.Float16 || a.DType() == ort.BFloat16 {
		tolerance = trialToleranceHalf
	}
	for _, v := range x {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			scale = max(scale, math.Abs(v))
		}
	}
	for k := range x {
		same := x[k] == y[k] || math.IsNaN(x[k]) && math.IsNaN(y[k])
		if !same && !(math.Abs(x[k]-y[k]) <= tolerance*scale) {
			return fmt.Errorf("%g becomes %g", x[k], y[k])
		}
	}
	return nil
}

// floats reads a floating tensor.
func floats(t *ort.Tensor) ([]float64, error) {
	switch t.DType() {
	case ort.Float64:
		return ort.Data[float64](t)
	case ort.Float32, ort.Float16, ort.BFloat16:
		narrow, err := ort.Data[float32](t)
		if t.DType() != ort.Float32 {
			narrow, err = runtime.HalfData(t)
		}
		out := make([]float64, len(narrow))
		for i, v := range narrow {
			out[i] = float64(v)
		}
		return out, err
	}
	return nil, ort.ErrType
}
