// Package gradcheck compares gradients with numeric directional derivatives:
// for random w and v, ⟨v, vjp(w)⟩ must equal ⟨w, (f(p+hv) − f(p−hv)) / 2h⟩.
// That takes two forward runs however many parameters there are.
package gradcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A Result holds both sides of the comparison.
type Result struct {
	VJP     float64 // ⟨v, vjp(w)⟩
	Numeric float64 // ⟨w, directional derivative along v⟩
	Scale   float64 // Σ|w·dy|: what rounding errors are relative to
	Kink    float64 // how much Numeric changes, term by term, with half the step
}

// Error returns the relative disagreement.
func (r Result) Error() float64 { return math.Abs(r.VJP-r.Numeric) / max(r.Scale, 1e-12) }

// A Precision is the arithmetic in which a graph is checked. Double separates a
// wrong rule from rounding at 1e-6; Single, for operators that the runtime has
// no double kernel of, at 1e-3.
type Precision int

const (
	Double Precision = iota
	Single
)

// step returns the h of the numeric derivative: truncation (h⁴) and rounding
// (1/h) in balance.
func (p Precision) step() float64 {
	if p == Single {
		return 0.03
	}
	return 1e-3
}

// Check differentiates the float outputs of a canonical graph with respect to
// its float32 initializers (those not lifted from Constant nodes) and compares.
// feeds gives the graph's inputs; floating ones are float32. g is changed.
func Check(ctx context.Context, env *ort.Env, g *ir.Graph, feeds map[string]*ort.Tensor, p Precision, rng *rand.Rand) (Result, error) {
	var params []string
	for _, name := range g.InitOrder {
		if g.Inits[name].DType == ir.Float32 && !g.Lifted[name] {
			params = append(params, name)
		}
	}
	c, err := New(env, g, feeds, params, p)
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	return c.Compare(ctx, rng, 0, p.step())
}

// A Checker holds a graph and its gradient, ready to be compared at several
// points.
type Checker struct {
	check
	forward, gradient *ort.Session
}

// New differentiates the float outputs of g with respect to params: float32
// initializers or inputs. g is changed.
func New(env *ort.Env, g *ir.Graph, feeds map[string]*ort.Tensor, params []string, p Precision) (*Checker, error) {
	c := &Checker{check: check{graph: g, precision: p, params: params, feeds: map[string]*ort.Tensor{}}}
	forgetOutputShapes(g)
	plain := g.Clone()
	if err := c.build(); err != nil {
		return nil, err
	}
	if err := c.feed(feeds); err != nil {
		return nil, err
	}
	c.parametersAsInputs(plain)
	c.parametersAsInputs(g)
	var err error
	if c.forward, err = c.session(env, plain); err != nil {
		return nil, err
	}
	if c.gradient, err = c.session(env, g); err != nil {
		c.forward.Close()
		return nil, err
	}
	return c, nil
}

// forgetOutputShapes drops what the file declares of its outputs' shapes: the
// runtime believes it, and at another point it may not hold.
func forgetOutputShapes(g *ir.Graph) {
	for i, o := range g.Outputs {
		v := *o
		v.Dims = nil
		g.Outputs[i] = &v
	}
}

// session loads a graph in the check's precision.
func (c *check) session(env *ort.Env, g *ir.Graph) (*ort.Session, error) {
	if c.precision == Double {
		plain, err := canon.Unfused(g) // fused products have no kernel in double
		if err != nil {
			return nil, err
		}
		g = Doubled(plain.Graph)
	}
	model, err := g.Marshal()
	if err != nil {
		return nil, err
	}
	// A product with a DequantizeLinear would round the activations to 8 bits.
	exact := map[string]string{"session.disable_quant_qdq": "1"}
	s, err := env.NewSession(model, ort.Options{Name: "gradcheck", Threads: 1, Config: exact})
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrRuntime, err)
	}
	return s, nil
}

// parametersAsInputs turns the parameters that are initializers into inputs.
func (c *check) parametersAsInputs(g *ir.Graph) {
	for _, p := range c.params {
		if t, ok := g.Inits[p]; ok {
			g.Inputs = append(g.Inputs, &ir.ValueInfo{Name: p, DType: ir.Float32, Dims: dimsOf(t)})
			g.RemoveInit(p)
		}
	}
}

// ErrRuntime is wrapped by the error of New for a graph that the runtime does
// not load in that precision.
var ErrRuntime = errors.New("the runtime does not load the graph")

// ErrKink is wrapped by the error of Compare at a point near which even the
// outputs' shapes change.
var ErrKink = errors.New("no derivative here")

// Close releases the sessions.
func (c *Checker) Close() error { return errors.Join(c.forward.Close(), c.gradient.Close()) }

// Reaches reports whether a gradient reaches any of the parameters.
func (c *Checker) Reaches() bool {
	for _, g := range c.grads {
		if g != "" {
			return true
		}
	}
	return false
}

type check struct {
	graph     *ir.Graph
	rng       *rand.Rand
	precision Precision
	params    []string
	outputs   []string          // float outputs
	grads     map[string]string // by parameter
	feeds     map[string]*ort.Tensor
	shapes    map[string][]int64 // of the outputs
}

// build appends the backward pass and turns parameters into inputs.
func (c *check) build() error {
	values, err := infer.Graph(c.graph, nil)
	if err != nil {
		return err
	}
	b := onnxgrad.NewBuilder(c.graph, values)
	seeds := map[string]string{}
	for _, o := range c.graph.Outputs {
		info := values.Of(o.Name)
		if !info.DType.IsFloat() && (info.DType != ir.Undefined || !o.DType.IsFloat()) {
			continue
		}
		if !info.Ranked {
			return fmt.Errorf("%w: the rank of output %q can't be inferred", ir.ErrUnsupported, o.Name)
		}
		c.outputs = append(c.outputs, o.Name)
		seed := &ir.ValueInfo{Name: "seed of " + o.Name, DType: ir.Float32, Dims: onnxgrad.Declare(info.Shape)}
		c.graph.Inputs = append(c.graph.Inputs, seed)
		values.Set(seed.Name, infer.Info{DType: ir.Float32, Ranked: true, Shape: info.Shape})
		seeds[o.Name] = seed.Name
	}
	if len(seeds) == 0 {
		return b.Finish()
	}
	c.grads, err = onnxgrad.Gradients(b, onnxgrad.Request{Seeds: seeds, Trainable: c.params})
	if err != nil {
		return err
	}
	for _, p := range c.params {
		if g := c.grads[p]; g != "" {
			name := b.OpNamed("gradient of "+p, "Identity", nil, g)
			c.graph.Outputs = append(c.graph.Outputs, &ir.ValueInfo{Name: name, DType: ir.Float32, Dims: onnxgrad.Declare(values.Of(g).Shape)})
			if !sym.EqualShape(values.Of(g).Shape, values.Of(p).Shape) {
				return fmt.Errorf("gradient of %q has shape %v, the parameter %v", p, values.Of(g).Shape, values.Of(p).Shape)
			}
		}
	}
	return b.Finish()
}

// feed converts the given inputs and the parameters.
func (c *check) feed(feeds map[string]*ort.Tensor) error {
	for name, t := range feeds {
		if f, err := ort.Data[float32](t); err == nil {
			if t, err = c.tensor(t.Shape(), widen(f)); err != nil {
				return err
			}
		}
		c.feeds[name] = t
	}
	for _, p := range c.params {
		t, isInit := c.graph.Inits[p]
		if !isInit {
			continue
		}
		f, err := t.Float32s()
		if err != nil {
			return err
		}
		if c.feeds[p], err = c.tensor(t.Dims, widen(f)); err != nil {
			return err
		}
	}
	return nil
}

// tensor makes a tensor of the check's precision.
func (c *check) tensor(shape []int64, data []float64) (*ort.Tensor, error) {
	if c.precision == Double {
		return ort.NewTensor(shape, data)
	}
	single := make([]float32, len(data))
	for i, v := range data {
		single[i] = float32(v)
	}
	return ort.NewTensor(shape, single)
}

// numbers reads a tensor of either precision.
func numbers(t *ort.Tensor) ([]float64, error) {
	if f, err := ort.Data[float32](t); err == nil {
		return widen(f), nil
	}
	return ort.Data[float64](t)
}

func widen(f []float32) []float64 {
	out := make([]float64, len(f))
	for i, v := range f {
		out[i] = float64(v)
	}
	return out
}

func dimsOf(t *ir.Tensor) []ir.DeclaredDim {
	out := make([]ir.DeclaredDim, len(t.Dims))
	for i, d := range t.Dims {
		out[i] = ir.DeclaredDim{Value: d}
	}
	return out
}

// Elements counts the numbers of the outputs, or of the parameters if those are
// fewer, at the point of the last comparison.
func (c *Checker) Elements() int {
	in, out := 0, 0
	for _, p := range c.params {
		in += c.feeds[p].Len()
	}
	for _, shape := range c.shapes {
		n := 1
		for _, d := range shape {
			n *= int(d)
		}
		out += n
	}
	return min(in, out)
}

// Compare moves the parameters by up to move in each coordinate (relative to 1
// plus its size), so that they leave ties and kinks, and compares there, with
// numeric derivatives of step h and h/2.
func (c *Checker) Compare(ctx context.Context, rng *rand.Rand, move, h float64) (Result, error) {
	c.rng = rng
	base := maps.Clone(c.feeds)
	defer func() { c.feeds = base }()
	direction := map[string][]float64{}
	for _, p := range c.params {
		if err := c.moveBy(p, move); err != nil {
			return Result{}, err
		}
		direction[p] = c.random(c.feeds[p].Len())
	}
	coarse, err := c.derivative(ctx, c.forward, direction, h)
	if err != nil {
		return Result{}, err
	}
	fine, err := c.derivative(ctx, c.forward, direction, h/2)
	if err != nil {
		return Result{}, err
	}
	r, err := c.numeric(fine, coarse)
	if err != nil {
		return Result{}, err
	}
	err = c.backward(ctx, direction, &r)
	return r, err
}

// moveBy replaces a parameter by a random point near it.
func (c *check) moveBy(p string, move float64) error {
	x, err := numbers(c.feeds[p])
	if err != nil || move == 0 {
		return err
	}
	x = slices.Clone(x)
	for i, d := range c.random(len(x)) {
		if !math.IsInf(x[i], 0) { // a mask's −∞ stays
			x[i] += move * d * (1 + math.Abs(x[i]))
		}
	}
	c.feeds[p], err = c.tensor(c.feeds[p].Shape(), x)
	return err
}

// numeric draws w and sums w·dy. An output without a derivative (infinite or
// not a number) gets weight 0.
func (c *check) numeric(fine, coarse map[string][]float64) (Result, error) {
	var r Result
	for _, o := range c.outputs {
		w := c.random(len(fine[o]))
		for i, dy := range fine[o] {
			if d := dy - coarse[o][i]; d != d || math.IsInf(d, 0) {
				w[i] = 0
				continue
			}
			r.Numeric += w[i] * dy
			r.Kink += math.Abs(w[i] * (dy - coarse[o][i]))
			r.Scale += math.Abs(w[i] * dy)
		}
		var err error
		if c.feeds["seed of "+o], err = c.tensor(c.shapes[o], w); err != nil {
			return Result{}, err
		}
	}
	return r, nil
}

// backward adds ⟨v, vjp(w)⟩.
func (c *Checker) backward(ctx context.Context, direction map[string][]float64, r *Result) error {
	for _, p := range c.params {
		if c.grads[p] == "" {
			continue
		}
		out, err := c.gradient.Run(ctx, c.feeds, ort.Outputs("gradient of "+p)...)
		if err != nil {
			return err
		}
		g, err := numbers(out["gradient of "+p])
		if err != nil {
			return err
		}
		if len(g) != len(direction[p]) {
			return fmt.Errorf("gradient of %q has %d elements, the parameter %d", p, len(g), len(direction[p]))
		}
		for i, v := range direction[p] {
			r.VJP += v * g[i]
			r.Scale += math.Abs(v*g[i]) / 2
		}
	}
	return nil
}

// derivative is the directional derivative of every output along v, by the
// fourth-order difference (8(f₁ − f₋₁) − (f₂ − f₋₂))/12h.
func (c *check) derivative(ctx context.Context, s *ort.Session, v map[string][]float64, h float64) (map[string][]float64, error) {
	slope := map[string][]float64{}
	for k, weight := range map[float64]float64{1: 8, -1: -8, 2: -1, -2: 1} {
		f, err := c.shifted(ctx, s, v, k*h)
		if err != nil {
			return nil, err
		}
		for o, y := range f {
			if slope[o] == nil {
				slope[o] = make([]float64, len(y))
			}
			if len(y) != len(slope[o]) {
				return nil, fmt.Errorf("%w: output %q has %d elements, then %d", ErrKink, o, len(slope[o]), len(y))
			}
			for i := range y {
				slope[o][i] += weight * y[i] / (12 * h)
			}
		}
	}
	return slope, nil
}

// shifted returns the outputs at p + h·v and notes their shapes, which the seeds
// must have.
func (c *check) shifted(ctx context.Context, s *ort.Session, v map[string][]float64, h float64) (map[string][]float64, error) {
	feeds := map[string]*ort.Tensor{}
	for name, t := range c.feeds {
		feeds[name] = t
	}
	for _, p := range c.params {
		base, err := numbers(c.feeds[p])
		if err != nil {
			return nil, err
		}
		moved := slices.Clone(base)
		for i := range moved {
			moved[i] += h * v[p][i]
		}
		if feeds[p], err = c.tensor(c.feeds[p].Shape(), moved); err != nil {
			return nil, err
		}
	}
	out, err := s.Run(ctx, feeds, ort.Outputs(c.outputs...)...)
	if err != nil {
		return nil, err
	}
	c.shapes = map[string][]int64{}
	result := map[string][]float64{}
	for _, o := range c.outputs {
		if result[o], err = numbers(out[o]); err != nil {
			return nil, err
		}
		c.shapes[o] = out[o].Shape()
	}
	return result, nil
}

func (c *check) random(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = c.rng.Float64()*2 - 1
	}
	return out
}
