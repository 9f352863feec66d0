package onnxgrad

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// imageRules: operators that slide a window over the axes behind batch and
// channel. Formulas in rules_pool.go and here.
var imageRules = map[string]func(*VJP) error{
	"Conv": vjpConv, "ConvTranspose": vjpConvTranspose,
	"AveragePool": vjpAveragePool, "MaxPool": vjpMaxPool,
	"GlobalAveragePool": vjpGlobalAveragePool, "GlobalMaxPool": vjpGlobalMaxPool,
}

// A window says which cells of an axis of extents wide each of many positions
// sees: cell k of position i is i·stride + k·dilation − begin.
type window struct {
	kernel, strides, dilations, begin []int64
	wide, many                        []sym.Dim
}

// newWindow reads the attributes; at the wide side there are cells, at the other
// one number per position.
func (v *VJP) newWindow(kernel []int64, wide, many []sym.Dim) *window {
	w := &window{kernel: kernel, wide: wide, many: many}
	pads, _ := v.Node.Ints("pads")
	for i := range kernel {
		w.strides = append(w.strides, v.attrAt("strides", i, 1))
		w.dilations = append(w.dilations, v.attrAt("dilations", i, 1))
		w.begin = append(w.begin, 0)
		if len(pads) == 2*len(kernel) {
			w.begin[i] = pads[i]
		}
	}
	return w
}

func (v *VJP) attrAt(name string, i int, def int64) int64 {
	if list, ok := v.Node.Ints(name); ok && i < len(list) {
		return list[i]
	}
	return def
}

// samePads derives the padding from the extents where auto_pad asks for it, and
// for a transposed convolution of a given output shape.
func (v *VJP) samePads(w *window) error {
	auto := v.Node.Str("auto_pad", "NOTSET")
	_, given := v.Node.Ints("output_shape")
	if auto == "VALID" || auto == "NOTSET" && !given {
		return nil
	}
	for i := range w.kernel {
		covered, ok := sym.Sub(w.covered(i), w.wide[i]).Const()
		if !ok {
			return fmt.Errorf("auto_pad %q on an axis of extent %s, which is not known when exported", auto, w.wide[i])
		}
		if given && v.Node.Is("ConvTranspose") {
			covered += v.attrAt("output_padding", i, 0)
		}
		covered = max(covered, 0)
		w.begin[i] = covered / 2
		if auto != "SAME_UPPER" {
			w.begin[i] = covered - covered/2
		}
	}
	return nil
}

// covered is the extent that the windows cover, padding included:
// (many − 1)·stride + (kernel − 1)·dilation + 1.
func (w *window) covered(i int) sym.Dim {
	steps := sym.Mul(sym.Sub(w.many[i], sym.Const(1)), sym.Const(w.strides[i]))
	return sym.Add(steps, sym.Const((w.kernel[i]-1)*w.dilations[i]+1))
}

func (w *window) attrs(group int64) ir.Attrs {
	return ir.Attrs{"strides": w.strides, "dilations": w.dilations, "group": group}
}

// fit pads x with zeros, or crops it, to exactly the cells that the windows
// cover; crop is the way back.
func (w *window) fit(b *Builder, x string) string { return w.resize(b, x, 1) }

func (w *window) crop(b *Builder, full string) string { return w.resize(b, full, -1) }

func (w *window) resize(b *Builder, x string, sign int64) string {
	shape := slices.Clone(b.Shape(x))
	pads := make([]sym.Dim, 2*len(shape))
	same := true
	for i := range w.kernel {
		begin := sym.Const(w.begin[i])
		end := sym.Sub(sym.Sub(w.covered(i), w.wide[i]), begin)
		same = same && begin.Is(0) && end.Is(0)
		pads[2+i], pads[len(shape)+2+i] = sym.Mul(begin, sym.Const(sign)), sym.Mul(end, sym.Const(sign))
		shape[2+i] = w.wide[i]
		if sign > 0 {
			shape[2+i] = w.covered(i)
		}
	}
	if same {
		return x
	}
	y := b.Op("Pad", nil, x, b.Extents(pads))
	b.setShape(y, shape)
	return y
}

// gather is the convolution of x with weights [M, C/group, kernel].
func (w *window) gather(b *Builder, x, weights string, group int64) string {
	y := b.Op("Conv", w.attrs(group), w.fit(b, x), weights)
	b.setShape(y, slices.Concat(b.Shape(x)[:1], b.Shape(weights)[:1], w.many))
	return y
}

// scatter is the transpose of gather: every position of g adds to the cells that
// its window saw. It gives channels = C.
func (w *window) scatter(b *Builder, g, weights string, group int64) string {
	full := b.Op("ConvTranspose", w.attrs(group), g, weights)
	channels := sym.Mul(b.Shape(weights)[1], sym.Const(group))
	shape := slices.Concat(b.Shape(g)[:1], []sym.Dim{channels})
	for i := range w.kernel {
		shape = append(shape, w.covered(i))
	}
	b.setShape(full, shape)
	return w.crop(b, full)
}

// weights is the gradient of a convolution's weights, summed over the batch: a
// convolution in which batch and channels change places, and so do strides and
// dilations:
//
//	W[m, c, k] = Σ_{n,i} g[n, m, i] · x[n, c, i·stride + k·dilation]
func (w *window) weights(b *Builder, x, g string, group int64) string {
	x = w.fit(b, x)
	s := b.Shape(x)
	perGroup := sym.FloorDiv(s[1], sym.Const(group))
	grouped := b.Reshape(x, slices.Concat([]sym.Dim{s[0], sym.Const(group), perGroup}, s[2:]))
	swapped := b.Transpose(grouped, append([]int{2, 1, 0}, seq(3, len(s)+1)...)...)
	rows := b.Reshape(swapped, slices.Concat([]sym.Dim{perGroup, sym.Mul(sym.Const(group), s[0])}, s[2:]))
	swap := append([]int{1, 0}, seq(2, len(s))...)
	attrs := ir.Attrs{"strides": w.dilations, "dilations": w.strides, "group": group}
	out := b.Op("Conv", attrs, rows, b.Transpose(g, swap...))
	shape := []sym.Dim{perGroup, b.Shape(g)[1]}
	for _, k := range w.kernel {
		shape = append(shape, sym.Const(k))
	}
	b.setShape(out, shape)
	return b.Transpose(out, swap...)
}

// Y = W ∗ x + b:  x: the transposed convolution of g    W: see window.weights
// b: g summed over all but the channels
func vjpConv(v *VJP) error {
	kernel, err := v.kernel(1)
	if err != nil {
		return err
	}
	x, g, group := v.X(0), v.GY(0), v.Node.Int("group", 1)
	w := v.newWindow(kernel, v.Shape(x)[2:], v.Shape(v.Y(0))[2:])
	if err := v.samePads(w); err != nil {
		return err
	}
	if v.Want(0) {
		v.Set(0, w.scatter(v.Builder, g, v.X(1), group))
	}
	if v.Want(1) && !v.perRecord(1) {
		v.Set(1, w.weights(v.Builder, x, g, group))
	} else if v.Want(1) {
		return fmt.Errorf("its weights have no per-example gradient in this form")
	}
	if v.Want(2) {
		v.SetChannel(2, g)
	}
	return nil
}

// Y = Wᵀ ∗ x + b, the transpose of a convolution:  x: the convolution of g
// W: as for Conv with x and g in each other's place    b: as for Conv
func vjpConvTranspose(v *VJP) error {
	kernel, err := v.kernel(1)
	if err != nil {
		return err
	}
	x, g, group := v.X(0), v.GY(0), v.Node.Int("group", 1)
	w := v.newWindow(kernel, v.Shape(v.Y(0))[2:], v.Shape(x)[2:])
	if err := v.samePads(w); err != nil {
		return err
	}
	if v.Want(0) {
		v.Set(0, w.gather(v.Builder, g, v.X(1), group))
	}
	if v.Want(1) && !v.perRecord(1) {
		v.Set(1, w.weights(v.Builder, g, x, group))
	} else if v.Want(1) {
		return fmt.Errorf("its weights have no per-example gradient")
	}
	if v.Want(2) {
		v.SetChannel(2, g)
	}
	return nil
}

// kernel returns the extents of the weights behind their first two axes.
func (v *VJP) kernel(operand int) ([]int64, error) {
	var out []int64
	for _, d := range v.Shape(v.X(operand))[2:] {
		k, ok := d.Const()
		if !ok {
			return nil, fmt.Errorf("its kernel has the extent %s, which is not known when exported", d)
		}
		out = append(out, k)
	}
	return out, nil
}

// SetChannel gives the gradient of operand i, a vector over the channels, which
// are axis 1 of raw.
func (v *VJP) SetChannel(i int, raw string) {
	if v.perRecord(i) && v.walk.Proof.Of(v.Y(0)).Axis != 0 {
		v.fail(fmt.Errorf("%w: %v: the records are not on the first axis", ErrNoGradient, v.Node))
		return
	}
	s := v.Shape(raw)
	sum := v.ReduceSum(raw, false, seq(2, len(s))...)
	shape := []sym.Dim{s[0]} // as many axes as the result, the channels last
	for range v.Rank(v.Y(0)) - 2 {
		shape = append(shape, sym.Const(1))
	}
	v.SetBroadcast(i, v.Reshape(sum, append(shape, s[1])))
}
