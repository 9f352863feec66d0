// Package infer computes symbolic shapes: for every value of a graph its
// element type, its shape as polynomials over the dimensions of the graph's
// inputs, and, for the small integer tensors that exporters compute shapes
// with, the elements themselves.
//
// Declared shapes of intermediate values and outputs are not used: exporters
// get them wrong (a declared 768 for an actual 4). Only graph inputs and
// initializers are believed.
package infer

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// An Info is what is known of a value. The zero Info knows nothing.
type Info struct {
	DType ir.DType
	// Ranked reports that Shape is known.
	Ranked bool
	Shape  []sym.Dim
	// Content holds the elements of an integer (or integer-valued) tensor of
	// constant shape, row-major, at most maxContent of them; nil where unknown.
	Content []sym.Dim
}

// maxContent bounds Content: shapes and axes are short, tables are not content.
const maxContent = 64

// Rank returns the number of dimensions; only meaningful when Ranked.
func (i Info) Rank() int { return len(i.Shape) }

// holds reports whether a content of n elements may be that of i.
func (i Info) holds(n int) bool {
	return i.Ranked && n <= maxContent && (len(i.Shape) <= 1 || sym.Product(i.Shape...).Is(int64(n)))
}

// extents returns a shape that is constant.
func (i Info) extents() ([]int, bool) {
	ints, ok := Info{Content: nonNil(i.Shape)}.Ints()
	out := make([]int, len(ints))
	for k, n := range ints {
		out[k] = int(n)
	}
	return out, ok && i.Ranked
}

// Ints returns the content when all of it is constant.
func (i Info) Ints() ([]int64, bool) {
	if i.Content == nil {
		return nil, false
	}
	out := make([]int64, len(i.Content))
	for k, d := range i.Content {
		c, ok := d.Const()
		if !ok {
			return nil, false
		}
		out[k] = c
	}
	return out, true
}

func (i Info) String() string {
	if !i.Ranked {
		return i.DType.String() + "[?]"
	}
	return fmt.Sprintf("%v%v", i.DType, i.Shape)
}

// Values holds what is known of every value of a graph. It grows as the
// rewriter adds nodes.
type Values struct {
	byName map[string]Info
	fresh  int
	facts  []fact
}

// Of returns what is known of a value.
func (v *Values) Of(name string) Info {
	info := v.byName[name]
	for _, f := range v.facts {
		info.Shape, info.Content = f.apply(info.Shape), f.apply(info.Content)
	}
	return info
}

// Set records what is known of a value.
func (v *Values) Set(name string, info Info) { v.byName[name] = info }

// unknownDim returns a symbol that equals nothing else.
func (v *Values) unknownDim() sym.Dim {
	v.fresh++
	return sym.Var(fmt.Sprintf("%s%d", unknownPrefix, v.fresh))
}

// unknownPrefix can't begin a dim_param that an exporter writes.
const unknownPrefix = "?"

// Unknown reports whether d depends on an extent that could not be inferred.
func Unknown(d sym.Dim) bool {
	return d.Any(func(name string) bool { return strings.HasPrefix(name, unknownPrefix) })
}

// An InputShape gives the symbolic shape of a graph input.
type InputShape func(*ir.ValueInfo) []sym.Dim

// Graph infers every value of g. shape gives the shapes of the inputs; nil
// takes the declared ones (see Declared).
//
// An error means that the graph contradicts itself (a broadcast of 3 against 4,
// a MatMul of unequal inner extents) and names the node.
func Graph(g *ir.Graph, shape InputShape) (*Values, error) {
	v := &Values{byName: map[string]Info{}}
	if shape == nil {
		shape = Declared
	}
	for _, in := range g.Inputs {
		info := Info{DType: in.DType}
		if in.Dims != nil {
			info.Ranked, info.Shape = true, shape(in)
		}
		v.Set(in.Name, info)
	}
	for _, name := range g.InitOrder {
		v.Set(name, OfTensor(g.Inits[name]))
	}
	for _, n := range g.Nodes {
		if err := v.Node(n); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Declared returns an input's declared shape: a symbol for each dim_param, and
// for each undeclared dimension a symbol of its own.
func Declared(in *ir.ValueInfo) []sym.Dim {
	shape := make([]sym.Dim, len(in.Dims))
	for i, d := range in.Dims {
		switch {
		case d.Param != "":
			shape[i] = sym.Var(d.Param)
		case d.Value >= 0:
			shape[i] = sym.Const(d.Value)
		default:
			shape[i] = sym.Var(fmt.Sprintf("%s_dim%d", in.Name, i))
		}
	}
	return shape
}

// OfTensor describes a constant.
func OfTensor(t *ir.Tensor) Info {
	info := Info{DType: t.DType, Ranked: true, Shape: make([]sym.Dim, len(t.Dims))}
	for i, d := range t.Dims {
		info.Shape[i] = sym.Const(d)
	}
	if t.Len() > maxContent || len(t.Dims) > 1 && t.DType.IsFloat() { // small matrices are weights
		return info
	}
	if t.DType.IsInt() || t.DType == ir.Bool {
		if ints, err := t.Ints(); err == nil {
			info.Content = constants(ints)
		}
	} else if t.DType.IsFloat() {
		info.Content = integral(t)
	}
	return info
}

// integral returns the elements of a floating constant when all are integers:
// exporters take shapes through float and back.
func integral(t *ir.Tensor) []sym.Dim {
	values, err := t.Float32s()
	if err != nil {
		return nil
	}
	out := make([]sym.Dim, len(values))
	for i, x := range values {
		if x != x || x > 1<<24 || x < -1<<24 || float32(int64(x)) != x {
			return nil
		}
		out[i] = sym.Const(int64(x))
	}
	return out
}

func constants(ints []int64) []sym.Dim {
	out := make([]sym.Dim, len(ints))
	for i, n := range ints {
		out[i] = sym.Const(n)
	}
	return out
}

// Node infers the outputs of one node whose inputs are known. An operator
// without a rule leaves its outputs unknown.
func (v *Values) Node(n *ir.Node) error {
	for _, o := range n.Outputs {
		v.Set(o, Info{})
	}
	if n.Is("If") { // not in the table, which its branches are looked up in
		return choice(&call{values: v, node: n})
	}
	rule, ok := rules[n.Domain+"."+n.Op]
	if !ok {
		return nil
	}
	c := &call{values: v, node: n}
	if err := rule(c); err != nil {
		return fmt.Errorf("%w: %v: %v", ir.ErrInvalid, n, err)
	}
	if content, ok := contentRules[n.Op]; ok && n.Domain == "" {
		out := v.Of(n.Output(0))
		if e := content(c); e != nil && out.holds(len(e)) {
			out.Content = e
			v.Set(n.Output(0), out)
		}
	}
	return nil
}

// A call is one rule applied to one node.
type call struct {
	values *Values
	node   *ir.Node
}

func (c *call) in(i int) Info { return c.values.Of(c.node.Input(i)) }

func (c *call) has(i int) bool { return c.node.Input(i) != "" }

// out records output i: element type and shape.
func (c *call) out(i int, d ir.DType, shape []sym.Dim) {
	if name := c.node.Output(i); name != "" {
		c.values.Set(name, Info{DType: d, Ranked: true, Shape: shape})
	}
}

// outType records that only the element type of output i is known.
func (c *call) outType(i int, d ir.DType) {
	if name := c.node.Output(i); name != "" {
		c.values.Set(name, Info{DType: d})
	}
}

// axis normalises a possibly negative axis.
func axis(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a tensor of rank %d", a, rank)
	}
	return int(a), nil
}

// axes returns the normalised axes of a reduction, Squeeze or Unsqueeze: from
// input i where opset ≥ 13 or 18 put them, else from the attribute. ok is
// false where they are absent, known is false where they are computed.
func (c *call) axes(i, rank int) (set map[int]bool, present, known bool, err error) {
	list, present := c.node.Ints("axes")
	if c.has(i) {
		present = true
		if list, known = c.in(i).Ints(); !known {
			return nil, true, false, nil
		}
	}
	set = map[int]bool{}
	for _, a := range list {
		k, err := axis(a, rank)
		if err != nil {
			return nil, true, true, err
		}
		set[k] = true
	}
	return set, present, true, nil
}
