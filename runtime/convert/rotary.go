package convert

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// A rotation holds the cosines and sines of all positions, [T,width/2] without a
// cache and [B,1,T,width/2] with one.
type rotation struct {
	cos, sin string
	half     int64
}

// rotations computes them from the decoder's positions.
func (d *decoder) rotations(b *Builder, r Rope) rotation {
	positions := b.Cast(d.positions, ir.Float32)
	axes := []int64{1}
	if len(d.past) > 0 {
		axes = []int64{1, 3} // behind the axis of the heads
	}
	angles := b.Mul(b.Unsqueeze(positions, axes...), b.Floats(r.Frequencies))
	out := rotation{b.Op("Cos", nil, angles), b.Op("Sin", nil, angles), int64(len(r.Frequencies))}
	if r.Scale != 1 {
		scale := b.Float(float64(r.Scale))
		out.cos, out.sin = b.Mul(out.cos, scale), b.Mul(out.sin, scale)
	}
	return out
}

// apply turns each pair (i, i+width/2) of heads [B,n,T,width] by its angle.
func (r rotation) apply(b *Builder, x string) string {
	parts := b.Split(x, 2, r.half)
	x1, x2 := parts[0], parts[1]
	return b.Concat(-1, b.Sub(b.Mul(x1, r.cos), b.Mul(x2, r.sin)), b.Add(b.Mul(x2, r.cos), b.Mul(x1, r.sin)))
}
