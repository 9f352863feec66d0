package convert

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// OpenWeights opens the checkpoint of a Hugging Face directory.
func OpenWeights(dir string) (Weights, func() error, error) {
	path := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, missingWeights(dir)
	}
	if err != nil {
		return nil, nil, bad("%w", err)
	}
	tensors, err := safetensors.Parse(data)
	if err != nil {
		return nil, nil, bad("%s: %w", path, err)
	}
	w := memoryWeights{}
	for _, t := range tensors {
		w[t.Name] = t
	}
	return w, func() error { return nil }, nil
}

// missingWeights says what to do about a directory without safetensors.
func missingWeights(dir string) error {
	if pickles, _ := filepath.Glob(filepath.Join(dir, "*.bin")); len(pickles) > 0 {
		return bad("%s holds %s and no safetensors; a pickle can run code when it is read and is refused. Save it again: "+
			"model.save_pretrained(DIR, safe_serialization=True) in transformers", dir, filepath.Base(pickles[0]))
	}
	return bad("%s holds no model.safetensors", dir)
}

type memoryWeights map[string]safetensors.Tensor

func (w memoryWeights) Names() []string { return slices.Sorted(maps.Keys(w)) }

func (w memoryWeights) Info(name string) (TensorInfo, bool) {
	t, ok := w[name]
	return TensorInfo{dtypes[t.DType], t.Shape}, ok
}

func (w memoryWeights) Bytes(name string) ([]byte, error) { return w[name].Data, nil }

// dtypes by the name of safetensors.
var dtypes = map[string]ir.DType{
	"F32": ir.Float32, "F16": ir.Float16, "BF16": ir.BFloat16, "F64": ir.Float64, "I64": ir.Int64, "I32": ir.Int32,
	"I8": ir.Int8, "U8": ir.Uint8, "BOOL": ir.Bool,
}
