package runtime

import (
	"bytes"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// HalfData returns the elements of a float16 or bfloat16 tensor as float32.
func HalfData(t *ort.Tensor) ([]float32, error) {
	raw, format := t.Bytes(), floatfmt.F16
	if t.DType() == ort.BFloat16 {
		format = floatfmt.BF16
	}
	out := make([]float32, len(raw)/format.Size)
	return out, format.Read(bytes.NewReader(raw), out)
}
