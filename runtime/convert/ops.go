package convert

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// The operators that architectures are written with. Shapes stand in brackets.

func (b *Builder) Add(x, y string) string    { return b.Op("Add", nil, x, y) }
func (b *Builder) Sub(x, y string) string    { return b.Op("Sub", nil, x, y) }
func (b *Builder) Mul(x, y string) string    { return b.Op("Mul", nil, x, y) }
func (b *Builder) MatMul(x, y string) string { return b.Op("MatMul", nil, x, y) }

// Cast changes the element type.
func (b *Builder) Cast(x string, to ir.DType) string {
	return b.Op("Cast", ir.Attrs{"to": int64(to)}, x)
}

// Reshape: 0 keeps an extent, −1 is what is left.
func (b *Builder) Reshape(x string, dims ...int64) string {
	return b.Op("Reshape", nil, x, b.Ints(dims...))
}

// Transpose permutes axes.
func (b *Builder) Transpose(x string, perm ...int64) string {
	return b.Op("Transpose", ir.Attrs{"perm": perm}, x)
}

// Unsqueeze adds axes of extent 1.
func (b *Builder) Unsqueeze(x string, axes ...int64) string {
	return b.Op("Unsqueeze", nil, x, b.Ints(axes...))
}

// Concat joins along an axis.
func (b *Builder) Concat(axis int64, parts ...string) string {
	return b.Op("Concat", ir.Attrs{"axis": axis}, parts...)
}

// Split cuts the last axis into equal parts.
func (b *Builder) Split(x string, parts int, width int64) []string {
	sizes := make([]int64, parts)
	for i := range sizes {
		sizes[i] = width
	}
	return b.Ops("Split", parts, ir.Attrs{"axis": int64(-1)}, x, b.Ints(sizes...))
}

// Extent is the extent of axis k of x, a scalar.
func (b *Builder) Extent(x string, k int64) string {
	return b.Op("Squeeze", nil, b.Op("Shape", ir.Attrs{"start": k, "end": k + 1}, x), b.Ints(0))
}

// Softmax over the last axis.
func (b *Builder) Softmax(x string) string { return b.Op("Softmax", ir.Attrs{"axis": int64(-1)}, x) }

// Linear is y = x·Wᵀ + bias for this module, whose weight in the checkpoint is
// [out,in], as torch.nn.Linear's.
func (b *Builder) Linear(x string, in, out int64, bias bool, std float64) string {
	w := b.Parameter(Parameter{Name: "weight", Shape: []int64{out, in}, Transposed: true, Init: normal(std)})
	return b.biased(b.MatMul(x, w), out, bias)
}

// Conv1D is y = x·W + bias, whose weight is [in,out]: GPT-2's form of a linear
// layer.
func (b *Builder) Conv1D(x string, in, out int64, std float64) string {
	w := b.Parameter(Parameter{Name: "weight", Shape: []int64{in, out}, Init: normal(std)})
	return b.biased(b.MatMul(x, w), out, true)
}

func (b *Builder) biased(y string, out int64, bias bool) string {
	if !bias {
		return y
	}
	return b.Add(y, b.Parameter(Parameter{Name: "bias", Shape: []int64{out}, Init: zeros}))
}

// Embedding looks ids up in this module's table [rows,width].
func (b *Builder) Embedding(ids string, rows, width int64, init Init) string {
	table := b.parameter(Parameter{Name: "weight", Shape: []int64{rows, width}, Init: init})
	y := b.Op("Gather", ir.Attrs{"axis": int64(0)}, table, ids)
	if b.graph.Inits[table].DType != ir.Float32 {
		y = b.Cast(y, ir.Float32) // the rows that were read, not the table
	}
	return y
}

// LayerNorm over the last axis, of extent width.
func (b *Builder) LayerNorm(x string, width int64, eps float64) string {
	scale := b.Parameter(Parameter{Name: "weight", Shape: []int64{width}, Init: ones})
	shift := b.Parameter(Parameter{Name: "bias", Shape: []int64{width}, Init: zeros})
	return b.Op("LayerNormalization", ir.Attrs{"axis": int64(-1), "epsilon": float32(eps)}, x, scale, shift)
}

// RMSNorm is w·x/√(mean x² + ε) over the last axis; offset is added to w (Gemma
// keeps w−1).
func (b *Builder) RMSNorm(x string, width int64, eps, offset float64) string {
	init := ones
	if offset == 1 {
		init = zeros
	}
	w := b.Parameter(Parameter{Name: "weight", Shape: []int64{width}, Init: init})
	squares := b.Op("Pow", nil, x, b.Float(2))
	mean := b.Op("ReduceMean", ir.Attrs{"axes": []int64{-1}, "keepdims": int64(1)}, squares)
	root := b.Op("Sqrt", nil, b.Add(mean, b.Float(eps)))
	y := b.Op("Div", nil, x, root)
	if offset != 0 {
		w = b.Add(w, b.Float(offset))
	}
	return b.Mul(y, w)
}
