package runtime

import "github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"

// WriteTensors writes float32 tensors by name as a .safetensors file, whole or
// not at all.
func WriteTensors(path string, values map[string][]float32, shapes map[string][]int64) error {
	var list []safetensors.Tensor
	for name, v := range values {
		list = append(list, safetensors.Tensor{Name: name, DType: "F32", Shape: shapes[name], Floats: v})
	}
	return safetensors.WriteFile(path, list, nil, nil)
}
