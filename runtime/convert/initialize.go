package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// draw returns a parameter's initial elements, in the layout of the checkpoint.
// They depend on seed and name alone, so that a model is the same whatever order
// it is written in, and a fresh head is the same on every base.
func (p Parameter) draw(seed uint64, as ir.DType) ([]byte, error) {
	n, ok := p.elements()
	if !ok {
		return nil, bad("parameter %q: shape %v is out of range", p.Name, p.Shape)
	}
	values := make([]float32, n)
	if p.Init.Std == 0 {
		for i := range values {
			values[i] = p.Init.Constant
		}
		return encoded(values, as)
	}
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(p.Name+"\x00"), seed))
	rng := rand.New(rand.NewChaCha8(key))
	for i := range values {
		values[i] = float32(rng.NormFloat64() * p.Init.Std)
	}
	if row := p.Init.ZeroRow; row >= 0 && row < p.Shape[0] {
		width := n / p.Shape[0]
		clear(values[row*width : (row+1)*width])
	}
	return encoded(values, as)
}
