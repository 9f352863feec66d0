package serve

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// warmLength is the extent of dimensions that are not fixed in the run that warms
// a model.
const warmLength = 8

// warm runs the model once on made-up inputs, past the queue and its counts.
func warm(ctx context.Context, i *instance) error {
	feeds := map[string]*ort.Tensor{}
	for _, in := range i.inputs {
		t, err := made(in, 0)
		if err != nil {
			return err
		}
		feeds[in.Name] = t
	}
	_, err := i.model.RunDirect(ctx, feeds, tensorNames(i.outputs))
	return err
}

// made makes an input: one row, warmLength along other dimensions that are not
// fixed, and no earlier tokens in a cache. Numbers are small, integers 0 and 1,
// for they may be indices; they depend on seed. Masks are ones.
func made(in ort.Info, seed int) (*ort.Tensor, error) {
	shape := make([]int64, len(in.Dims))
	for axis, d := range in.Dims {
		switch {
		case d >= 0:
			shape[axis] = d
		case axis == 0:
			shape[axis] = 1
		case strings.Contains(in.Name, "past"):
			shape[axis] = 0
		default:
			shape[axis] = warmLength
		}
	}
	t, err := ort.NewZeros(in.DType, shape)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(7, uint64(seed)))
	mask := strings.Contains(in.Name, "mask")
	switch in.DType {
	case ort.Int64, ort.Int32:
		values := make([]int64, t.Len())
		for k := range values {
			values[k] = random.Int64N(2)
			if mask {
				values[k] = 1
			}
		}
		return integers(in.DType, shape, values), nil
	case ort.Float32:
		values, _ := ort.Data[float32](t)
		for k := range values {
			values[k] = random.Float32()
			if mask {
				values[k] = 1
			}
		}
	}
	return t, nil
}

// tensorNames are the names of what can be fetched.
func tensorNames(infos []ort.Info) []string {
	var names []string
	for _, o := range infos {
		if o.Kind == "tensor" && o.DType.Size() > 0 {
			names = append(names, o.Name)
		}
	}
	return names
}
