package runtime

import (
	"encoding/binary"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// HalfData returns the elements of a float16 or bfloat16 tensor as float32.
func HalfData(t *ort.Tensor) ([]float32, error) {
	raw := t.Bytes()
	out := make([]float32, len(raw)/2)
	for i := range out {
		bits := binary.NativeEndian.Uint16(raw[2*i:])
		if t.DType() == ort.BFloat16 {
			out[i] = math.Float32frombits(uint32(bits) << 16)
		} else {
			out[i] = ir.HalfToFloat32(bits)
		}
	}
	return out, nil
}
