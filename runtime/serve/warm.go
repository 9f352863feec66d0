package serve

import (
	"context"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// warmLength is the extent of dimensions that are not fixed in the run that warms
// a model.
const warmLength = 8

// warm runs the model once on made-up inputs: ones where a mask may be asked for,
// zeros elsewhere.
func warm(ctx context.Context, i *instance) error {
	feeds := map[string]*ort.Tensor{}
	for _, in := range i.inputs {
		t, err := made(in)
		if err != nil {
			return err
		}
		feeds[in.Name] = t
	}
	_, err := i.model.Run(ctx, feeds, tensorNames(i.outputs)...)
	return err
}

// made makes an input: one row, warmLength along other dimensions that are not
// fixed, and no earlier tokens in a cache.
func made(in ort.Info) (*ort.Tensor, error) {
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
	if err == nil && strings.Contains(in.Name, "mask") && in.DType == ort.Int64 {
		ones, _ := ort.Data[int64](t)
		for i := range ones {
			ones[i] = 1
		}
	}
	return t, err
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
