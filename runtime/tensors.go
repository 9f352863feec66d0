package runtime

import (
	"encoding/binary"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// WriteTensors writes float32 tensors by name as a .safetensors file, whole or
// not at all.
func WriteTensors(path string, values map[string][]float32, shapes map[string][]int64) error {
	var list []safetensors.Tensor
	for name, v := range values {
		list = append(list, safetensors.Tensor{Name: name, DType: "F32", Shape: shapes[name], Data: floatBytes(v)})
	}
	return safetensors.WriteFile(path, list, nil, nil)
}

func floatBytes(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}
