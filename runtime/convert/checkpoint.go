package convert

import (
	"errors"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// OpenWeights opens the checkpoint of a Hugging Face directory, of one file or
// several. The function closes it.
func OpenWeights(dir string) (Weights, func() error, error) {
	d, err := safetensors.OpenDir(dir)
	switch {
	case errors.Is(err, safetensors.ErrPickle), errors.Is(err, safetensors.ErrFormat):
		return nil, nil, bad("%w", err)
	case err != nil:
		return nil, nil, bad("the checkpoint: %w", err)
	}
	return checkpoint{d}, d.Close, nil
}

// A checkpoint is a safetensors.Dir with the types of ONNX.
type checkpoint struct{ *safetensors.Dir }

func (c checkpoint) Info(name string) (TensorInfo, bool) {
	info, ok := c.Dir.Info(name)
	return TensorInfo{dtypes[info.DType], info.Shape}, ok
}

// dtypes by the name of safetensors.
var dtypes = map[string]ir.DType{
	"F32": ir.Float32, "F16": ir.Float16, "BF16": ir.BFloat16, "F64": ir.Float64, "I64": ir.Int64, "I32": ir.Int32,
	"I8": ir.Int8, "U8": ir.Uint8, "BOOL": ir.Bool,
}
