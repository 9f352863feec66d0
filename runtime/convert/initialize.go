package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
)

// draw writes a parameter's initial elements, in the layout of the checkpoint.
// They depend on seed and name alone, so that a model is the same whatever order
// it is written in, and a fresh head is the same on every base.
func (p Parameter) draw(w io.Writer, seed uint64, as ir.DType) error {
	n, ok := p.elements()
	if !ok {
		return bad("parameter %q: shape %v is out of range", p.Name, p.Shape)
	}
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(p.Name+"\x00"), seed))
	rng := rand.New(rand.NewChaCha8(key))
	width := n / p.Shape[0]
	zero, behind := p.Init.ZeroRow*width, (p.Init.ZeroRow+1)*width
	values := make([]float32, min(n, floatfmt.Chunk))
	for at := int64(0); at < n; {
		values = values[:min(int64(len(values)), n-at)]
		for i := range values {
			values[i] = p.Init.Constant
			if p.Init.Std != 0 {
				values[i] = float32(rng.NormFloat64() * p.Init.Std)
			}
			if p.Init.Sinusoid {
				values[i] = sinusoid(at/width, at%width, width)
			}
			if p.Init.ZeroRow >= 0 && at >= zero && at < behind {
				values[i] = 0
			}
			at++
		}
		if err := writeFloats(w, values, as); err != nil {
			return err
		}
	}
	return nil
}

// sinusoid is element j of position t in a table of width d: sin(t/10000^(j/d)) at
// even j, the cosine of the same angle at the odd j behind it.
func sinusoid(t, j, d int64) float32 {
	angle := float64(t) / math.Pow(10000, float64(j-j%2)/float64(d))
	if j%2 == 0 {
		return float32(math.Sin(angle))
	}
	return float32(math.Cos(angle))
}
