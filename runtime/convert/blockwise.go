package convert

import (
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A blockCode is the weight of a linear layer in few bits, as
// com.microsoft.MatMulNBits reads it: each column (output) in blocks along the
// input axis, each block with its own scale and zero point,
//
//	w ≈ (q − zero)·scale,   0 ≤ q < 2^bits
type blockCode struct {
	rows, columns int64 // of the weight [in,out]: K and N
	bits, block   int64
	codes         []byte // [N, blocks, block·bits/8], the earlier element in the lower bits
	scales        []float32
	zeros         []byte // [N, ⌈blocks·bits/8⌉]; nil where every zero is 2^(bits−1)
}

// blocks is the number of blocks of a column.
func (c *blockCode) blocks() int64 { return (c.rows + c.block - 1) / c.block }

// encodeBlocks rounds w [rows,columns] to the nearest codes. A symmetric code has
// the zero in the middle, and the element of largest magnitude exactly at the
// lowest code, or one below the highest; otherwise a block's range, widened to hold
// 0, is divided evenly and 0 is exact.
func encodeBlocks(w []float32, rows, columns, bits, block int64, symmetric bool) *blockCode {
	c := &blockCode{rows: rows, columns: columns, bits: bits, block: block}
	n := c.blocks()
	unit := block * bits / 8
	c.codes = make([]byte, columns*n*unit)
	c.scales = make([]float32, columns*n)
	stride := (n*bits + 7) / 8
	if !symmetric {
		c.zeros = make([]byte, columns*stride)
	}
	values := make([]float32, block)
	for j := range columns {
		for b := range n {
			for i := range block { // padding behind the last row is 0
				values[i] = 0
				if r := b*block + i; r < rows {
					values[i] = w[r*columns+j]
				}
			}
			scale, zero := rangeOf(values, bits, symmetric)
			c.scales[j*n+b] = scale
			if !symmetric {
				putBits(c.zeros[j*stride:], b, bits, zero)
			}
			for i, v := range values {
				putBits(c.codes[(j*n+b)*unit:], int64(i), bits, code(v, scale, zero, bits))
			}
		}
	}
	return c
}

// rangeOf chooses scale and zero point of a block.
func rangeOf(v []float32, bits int64, symmetric bool) (scale float32, zero uint8) {
	top := float32(int(1)<<bits - 1)
	low, high := float32(0), float32(0)
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	if symmetric {
		zero = 1 << (bits - 1)
		extreme := low
		if high > -low {
			extreme = high
		}
		return extreme / -float32(zero), zero
	}
	scale = high/top - low/top
	if scale == 0 {
		return 0, 0
	}
	return scale, uint8(math.RoundToEven(float64(min(max(-low/scale, 0), top))))
}

func code(v, scale float32, zero uint8, bits int64) uint8 {
	if scale == 0 {
		return zero
	}
	q := math.RoundToEven(float64(v/scale)) + float64(zero)
	return uint8(min(max(q, 0), float64(int(1)<<bits-1)))
}

// putBits sets element i of b, of 4 or 8 bits, which is 0 before.
func putBits(b []byte, i, bits int64, v uint8) {
	if bits == 8 {
		b[i] = v
		return
	}
	b[i/2] |= v << (4 * (i % 2))
}

func getBits(b []byte, i, bits int64) uint8 {
	if bits == 8 {
		return b[i]
	}
	return b[i/2] >> (4 * (i % 2)) & 0xf
}

// decode returns the weight [rows,columns] that the code stands for.
func (c *blockCode) decode() []float32 {
	n := c.blocks()
	unit, stride := c.block*c.bits/8, (n*c.bits+7)/8
	w := make([]float32, c.rows*c.columns)
	for j := range c.columns {
		for r := range c.rows {
			b := r / c.block
			zero := uint8(1) << (c.bits - 1)
			if c.zeros != nil {
				zero = getBits(c.zeros[j*stride:], b, c.bits)
			}
			q := getBits(c.codes[(j*n+b)*unit:], r%c.block, c.bits)
			w[r*c.columns+j] = (float32(q) - float32(zero)) * c.scales[j*n+b]
		}
	}
	return w
}

// tensors are the initializers of the layer; of is the type of its input.
func (c *blockCode) tensors(name string, of ir.DType) ([]*ir.Tensor, error) {
	n := c.blocks()
	format := formats[of]
	if err := format.CheckFits(c.scales); err != nil {
		return nil, err
	}
	out := []*ir.Tensor{
		ir.NewRaw(name+"_codes", ir.Uint8, []int64{c.columns, n, c.block * c.bits / 8}, c.codes),
		ir.NewRaw(name+"_scales", of, []int64{c.columns * n}, format.Append(nil, c.scales)),
	}
	if c.zeros != nil {
		out = append(out, ir.NewRaw(name+"_zeros", ir.Uint8, []int64{int64(len(c.zeros))}, c.zeros))
	}
	return out, nil
}
