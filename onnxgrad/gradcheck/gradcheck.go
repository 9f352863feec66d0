// Package gradcheck compares gradients with numeric directional derivatives:
// for random w and v, ⟨v, vjp(w)⟩ must equal ⟨w, (f(p+hv) − f(p−hv)) / 2h⟩.
// That takes two forward runs however many parameters there are.
package gradcheck

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
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
	c := &check{graph: g, rng: rng, precision: p, feeds: map[string]*ort.Tensor{}}
	if err := c.build(); err != nil {
		return Result{}, err
	}
	if err := c.feed(feeds); err != nil {
		return Result{}, err
	}
	if p == Double {
		g = Doubled(g)
	}
	model, err := g.Marshal()
	if err != nil {
		return Result{}, err
	}
	s, err := env.NewSession(model, ort.Options{Name: "gradcheck", Threads: 1})
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	return c.compare(ctx, s)
}

type check struct {
	graph     *ir.Graph
	rng       *rand.Rand
	precision Precision
	params    []string
	outputs   []string          // float outputs
	grads     map[string]string // by parameter
	feeds     map[string]*ort.Tensor
}

// build appends the backward pass and turns parameters into inputs.
func (c *check) build() error {
	values, err := infer.Graph(c.graph, nil)
	if err != nil {
		return err
	}
	for _, name := range c.graph.InitOrder {
		if c.graph.Inits[name].DType == ir.Float32 && !c.graph.Lifted[name] {
			c.params = append(c.params, name)
		}
	}
	b := onnxgrad.NewBuilder(c.graph, values)
	seeds := map[string]string{}
	for _, o := range c.graph.Outputs {
		info := values.Of(o.Name)
		if !info.DType.IsFloat() {
			continue
		}
		c.outputs = append(c.outputs, o.Name)
		seed := &ir.ValueInfo{Name: "seed of " + o.Name, DType: ir.Float32, Dims: onnxgrad.Declare(info.Shape)}
		c.graph.Inputs = append(c.graph.Inputs, seed)
		values.Set(seed.Name, infer.Info{DType: ir.Float32, Ranked: true, Shape: info.Shape})
		seeds[o.Name] = seed.Name
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
		t := c.graph.Inits[p]
		f, err := t.Float32s()
		if err != nil {
			return err
		}
		if c.feeds[p], err = c.tensor(t.Dims, widen(f)); err != nil {
			return err
		}
		c.graph.Inputs = append(c.graph.Inputs, &ir.ValueInfo{Name: p, DType: ir.Float32, Dims: dimsOf(t)})
		c.graph.RemoveInit(p)
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

func (c *check) compare(ctx context.Context, s *ort.Session) (Result, error) {
	direction := map[string][]float64{}
	for _, p := range c.params {
		direction[p] = c.random(int(c.feeds[p].Len()))
	}
	slope, err := c.derivative(ctx, s, direction)
	if err != nil {
		return Result{}, err
	}
	var r Result
	for _, o := range c.outputs {
		w := c.random(len(slope[o]))
		for i := range w {
			r.Numeric += w[i] * slope[o][i]
			r.Scale += math.Abs(w[i] * slope[o][i])
		}
		if c.feeds["seed of "+o], err = c.tensor(c.feeds["seed of "+o].Shape(), w); err != nil {
			return Result{}, err
		}
	}
	for _, p := range c.params {
		if c.grads[p] == "" {
			continue
		}
		out, err := s.Run(ctx, c.feeds, ort.Outputs("gradient of "+p)...)
		if err != nil {
			return Result{}, err
		}
		g, err := numbers(out["gradient of "+p])
		if err != nil {
			return Result{}, err
		}
		for i, v := range direction[p] {
			r.VJP += v * g[i]
			r.Scale += math.Abs(v*g[i]) / 2
		}
	}
	return r, nil
}

// derivative is the directional derivative of every output along v, by the
// fourth-order difference (8(f₁ − f₋₁) − (f₂ − f₋₂))/12h.
func (c *check) derivative(ctx context.Context, s *ort.Session, v map[string][]float64) (map[string][]float64, error) {
	h := c.precision.step()
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
			for i := range y {
				slope[o][i] += weight * y[i] / (12 * h)
			}
		}
	}
	return slope, nil
}

// shifted returns the outputs at p + h·v. The first call also learns the
// outputs' shapes, which the seeds must have: seeds don't enter the outputs.
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
	if err := c.placeholderSeeds(s, feeds); err != nil {
		return nil, err
	}
	out, err := s.Run(ctx, feeds, ort.Outputs(c.outputs...)...)
	if err != nil {
		return nil, err
	}
	result := map[string][]float64{}
	for _, o := range c.outputs {
		if result[o], err = numbers(out[o]); err != nil {
			return nil, err
		}
		if c.feeds["seed of "+o], err = ort.NewZeros(out[o].DType(), out[o].Shape()); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// placeholderSeeds feeds seeds of extent 1 where shapes are not known yet.
func (c *check) placeholderSeeds(s *ort.Session, feeds map[string]*ort.Tensor) error {
	for _, in := range s.Inputs() {
		if _, ok := feeds[in.Name]; ok {
			continue
		}
		shape := slices.Clone(in.Dims)
		for i, d := range shape {
			if d < 0 {
				shape[i] = 1
			}
		}
		t, err := ort.NewZeros(in.DType, shape)
		if err != nil {
			return err
		}
		feeds[in.Name] = t
	}
	return nil
}

func (c *check) random(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = c.rng.Float64()*2 - 1
	}
	return out
}
