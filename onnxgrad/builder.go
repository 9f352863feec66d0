package onnxgrad

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A Builder appends nodes to a graph and infers the shape of what it appends.
//
// Nodes are collected in sections, which follow the forward graph in the order
// in which they are first entered or in the order Finish is given. The order in
// the file steers the order of execution: onnxruntime walks depth first from the
// leaves, the highest node index first.
type Builder struct {
	Graph  *ir.Graph
	Values *infer.Values

	sections  map[string][]*ir.Node
	order     []string
	current   string
	prefix    string // of node and value names
	names     map[string]int
	constants map[string]string
	producer  map[string]*ir.Node
	emitted   map[string]int // by value, how many nodes had been appended when it was
	appended  int
	extents   map[string]extent // where to read a symbol's value
	dims      map[string]string // values that hold an extent
	err       error
}

// An extent says which dimension of which value a symbol is.
type extent struct {
	value string
	axis  int
}

// NewBuilder starts building behind g, whose shapes are values.
func NewBuilder(g *ir.Graph, values *infer.Values) *Builder {
	b := &Builder{
		Graph: g, Values: values, sections: map[string][]*ir.Node{}, names: map[string]int{}, constants: map[string]string{},
		producer: g.Index().Producer, emitted: map[string]int{}, extents: map[string]extent{}, dims: map[string]string{},
	}
	for _, in := range g.Inputs {
		b.names[in.Name] = 1
		b.learnExtents(in.Name)
	}
	for name := range g.Inits {
		b.names[name] = 1
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			b.names[o] = 1
			b.learnExtents(o)
		}
	}
	b.Enter("backward")
	return b
}

// learnExtents remembers where the symbols of a value's shape can be read;
// graph inputs come first and cost no activation its early release.
func (b *Builder) learnExtents(value string) {
	for axis, d := range b.Values.Of(value).Shape {
		if s, ok := d.Symbol(); ok {
			if _, known := b.extents[s.Name]; !known {
				b.extents[s.Name] = extent{value, axis}
			}
		}
	}
}

// Enter directs the following nodes to a section and returns the section left.
func (b *Builder) Enter(section string) (left string) {
	left = b.current
	if _, ok := b.sections[section]; !ok {
		b.sections[section] = nil
		b.order = append(b.order, section)
	}
	b.current = section
	return left
}

// Name sets the prefix of the names given to the following nodes.
func (b *Builder) Name(prefix string) { b.prefix = prefix }

// Err returns the first error met while building: an operand whose shape could
// not be inferred or does not fit.
func (b *Builder) Err() error { return b.err }

func (b *Builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// fresh returns an unused name that begins with the prefix.
func (b *Builder) fresh(base string) string {
	if b.prefix != "" {
		base = b.prefix + "/" + base
	}
	name := base
	for b.names[name] > 0 {
		b.names[base]++
		name = fmt.Sprintf("%s.%d", base, b.names[base])
	}
	b.names[name] = 1
	return name
}

// Op appends a node with one output and returns the output's name.
func (b *Builder) Op(op string, attrs ir.Attrs, inputs ...string) string {
	return b.Ops(op, 1, attrs, inputs...)[0]
}

// Ops appends a node with several outputs. An operator of another domain is
// written "domain.Op".
func (b *Builder) Ops(op string, outputs int, attrs ir.Attrs, inputs ...string) []string {
	n := &ir.Node{Name: b.fresh(op), Op: op, Inputs: inputs, Attrs: attrs}
	if i := strings.LastIndex(op, "."); i >= 0 {
		n.Domain, n.Op = op[:i], op[i+1:]
	}
	if attrs == nil {
		n.Attrs = ir.Attrs{}
	}
	for i := range outputs {
		name := n.Name
		if outputs > 1 {
			name = b.fresh(fmt.Sprintf("%s.out%d", op, i))
		}
		n.Outputs = append(n.Outputs, name)
	}
	b.append(n)
	return n.Outputs
}

// OpNamed is Op with a given output name, for graph outputs.
func (b *Builder) OpNamed(output, op string, attrs ir.Attrs, inputs ...string) string {
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	b.append(&ir.Node{Name: b.fresh(op), Op: op, Inputs: inputs, Outputs: []string{output}, Attrs: attrs})
	return output
}

func (b *Builder) append(n *ir.Node) {
	b.sections[b.current] = append(b.sections[b.current], n)
	b.appended++
	for _, o := range n.Outputs {
		b.producer[o], b.emitted[o] = n, b.appended
	}
	if err := b.Values.Node(n); err != nil {
		b.fail(err)
	}
	for _, o := range n.Outputs {
		b.learnExtents(o)
	}
}

// Emitted is a clock: how many nodes had been appended when value was, 0 for a value
// of the graph that was built upon.
func (b *Builder) Emitted(value string) int { return b.emitted[value] }

// Finish moves the sections into the graph behind its nodes: those named in
// last come at the end, in that order, the others before them as entered.
func (b *Builder) Finish(last ...string) error {
	if b.err != nil {
		return b.err
	}
	b.flush(last...)
	b.foldProducts()
	b.declareShapes()
	return b.Graph.Sort()
}

// flush moves the sections into the graph in the order that Finish says.
func (b *Builder) flush(last ...string) {
	for _, s := range b.order {
		if !slices.Contains(last, s) {
			b.Graph.Nodes = append(b.Graph.Nodes, b.sections[s]...)
		}
	}
	for _, s := range last {
		b.Graph.Nodes = append(b.Graph.Nodes, b.sections[s]...)
	}
	b.sections, b.order = map[string][]*ir.Node{}, nil
}

// declareShapes writes the inferred shapes as value infos: equal symbolic
// shapes let the runtime reuse a buffer.
func (b *Builder) declareShapes() {
	for _, n := range b.Graph.Nodes {
		for _, o := range n.Outputs {
			info := b.Values.Of(o)
			if o == "" || !info.Ranked || info.DType == ir.Undefined || b.Graph.Output(o) != nil {
				continue
			}
			b.Graph.ValueInfos[o] = &ir.ValueInfo{Name: o, DType: info.DType, Dims: Declare(info.Shape)}
		}
	}
}

// Declare writes a symbolic shape as declared dimensions.
func Declare(shape []sym.Dim) []ir.DeclaredDim {
	out := make([]ir.DeclaredDim, len(shape))
	for i, d := range shape {
		if n, ok := d.Const(); ok {
			out[i] = ir.DeclaredDim{Value: n}
		} else if infer.Unknown(d) {
			out[i] = ir.DeclaredDim{Value: -1}
		} else {
			out[i] = ir.DeclaredDim{Value: -1, Param: d.String()}
		}
	}
	return out
}

// Shape returns a value's symbolic shape. A value of unknown rank is an error.
func (b *Builder) Shape(value string) []sym.Dim {
	info := b.Values.Of(value)
	if !info.Ranked {
		b.fail(fmt.Errorf("%w: the rank of %q can't be inferred", ir.ErrUnsupported, value))
	}
	return info.Shape
}

// setShape states the shape of a value where inference sees less.
func (b *Builder) setShape(value string, shape []sym.Dim) {
	info := b.Values.Of(value)
	info.Ranked, info.Shape = true, slices.Clone(shape)
	b.Values.Set(value, info)
}

// Rank returns a value's number of dimensions.
func (b *Builder) Rank(value string) int { return len(b.Shape(value)) }

// Scalar returns a float32 constant of rank 0.
func (b *Builder) Scalar(v float32) string {
	return b.constant(fmt.Sprintf("f32:%08x", math.Float32bits(v)), func(name string) *ir.Tensor {
		return ir.NewFloat32(name, nil, []float32{v})
	})
}

// Floats returns a new float32 constant vector, whose name begins with base.
func (b *Builder) Floats(base string, v ...float32) string {
	t := ir.NewFloat32(b.fresh(base), []int64{int64(len(v))}, v)
	b.Graph.AddInit(t)
	b.Graph.Lifted[t.Name] = true
	b.Values.Set(t.Name, infer.OfTensor(t))
	return t.Name
}

// Ints returns an int64 constant vector.
func (b *Builder) Ints(v ...int64) string {
	return b.constant(fmt.Sprintf("i64:%v", v), func(name string) *ir.Tensor {
		return ir.NewInt64(name, []int64{int64(len(v))}, v)
	})
}

// Int returns an int64 constant of rank 0.
func (b *Builder) Int(v int64) string {
	return b.constant(fmt.Sprintf("i64 scalar:%d", v), func(name string) *ir.Tensor {
		return ir.NewInt64(name, nil, []int64{v})
	})
}

func (b *Builder) constant(key string, make func(name string) *ir.Tensor) string {
	if name, ok := b.constants[key]; ok {
		return name
	}
	old := b.prefix
	b.prefix = ""
	name := b.fresh("const/" + strings.NewReplacer(" ", "_", ":", "_", "[", "", "]", "").Replace(key))
	b.prefix = old
	t := make(name)
	b.Graph.AddInit(t)
	b.Graph.Lifted[name] = true
	b.Values.Set(name, infer.OfTensor(t))
	b.constants[key] = name
	return name
}

// Extents returns an int64 vector holding the shape, computed at run time from
// the extents of graph inputs where it can be.
func (b *Builder) Extents(shape []sym.Dim) string {
	if ints, ok := (infer.Info{Content: shape}).Ints(); ok && shape != nil {
		return b.Ints(ints...)
	}
	if len(shape) == 0 {
		return b.Ints()
	}
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = b.Extent(d)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return b.Op("Concat", ir.Attrs{"axis": int64(0)}, parts...)
}

// Extent returns a one-element int64 vector holding d.
func (b *Builder) Extent(d sym.Dim) string {
	if n, ok := d.Const(); ok {
		return b.Ints(n)
	}
	key := d.String()
	if v, ok := b.dims[key]; ok {
		return v
	}
	left := b.Enter("extents")
	old := b.prefix
	b.prefix = "extent"
	v := b.computeExtent(d)
	b.prefix = old
	b.Enter(left)
	b.dims[key] = v
	return v
}

func (b *Builder) computeExtent(d sym.Dim) string {
	if s, ok := d.Symbol(); ok {
		return b.symbolExtent(s)
	}
	sum := ""
	for _, t := range d.Terms() {
		term := b.Ints(t.Coef)
		for i, s := range t.Symbols {
			f := b.symbolExtent(s)
			if i == 0 && t.Coef == 1 {
				term = f
			} else {
				term = b.Op("Mul", nil, term, f)
			}
		}
		if sum == "" {
			sum = term
		} else {
			sum = b.Op("Add", nil, sum, term)
		}
	}
	return sum
}

func (b *Builder) symbolExtent(s *sym.Symbol) string {
	if v, ok := b.dims[s.Name]; ok {
		return v
	}
	if e, ok := b.extents[s.Name]; ok {
		v := b.Op("Shape", ir.Attrs{"start": int64(e.axis), "end": int64(e.axis + 1)}, e.value)
		b.dims[s.Name] = v
		return v
	}
	switch s.Op {
	case "min":
		return b.Op("Min", nil, b.Extent(s.Args[0]), b.Extent(s.Args[1]))
	case "max":
		return b.Op("Max", nil, b.Extent(s.Args[0]), b.Extent(s.Args[1]))
	case "floordiv": // Div truncates: ⌊x/y⌋ = (x − x mod y)/y
		x, y := b.Extent(s.Args[0]), b.Extent(s.Args[1])
		return b.Op("Div", nil, b.Op("Sub", nil, x, b.Op("Mod", nil, x, y)), y)
	}
	b.fail(fmt.Errorf("%w: the extent %s can't be computed", ir.ErrUnsupported, s.Name))
	return b.Ints(1)
}

// sortedKeys is for deterministic output.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// SetInfo describes a constant that was added to the graph by hand.
func (b *Builder) SetInfo(t *ir.Tensor) {
	b.names[t.Name] = 1
	b.Values.Set(t.Name, infer.OfTensor(t))
}

// Input declares a graph input of that name, or of the name with a number
// behind it where it is taken, and returns the declaration.
func (b *Builder) Input(name string, d ir.DType, shape ...sym.Dim) *ir.ValueInfo {
	old := b.prefix
	b.prefix = ""
	v := &ir.ValueInfo{Name: b.fresh(name), DType: d, Dims: Declare(shape)}
	b.prefix = old
	b.Graph.Inputs = append(b.Graph.Inputs, v)
	b.Values.Set(v.Name, infer.Info{DType: d, Ranked: true, Shape: shape})
	return v
}

// Output names a value as a graph output.
func (b *Builder) Output(name, value string) *ir.ValueInfo {
	old := b.prefix
	b.prefix = ""
	name = b.fresh(name)
	b.OpNamed(name, "Identity", nil, value)
	b.prefix = old
	v := &ir.ValueInfo{Name: name, DType: b.Values.Of(value).DType, Dims: Declare(b.Shape(value))}
	b.Graph.Outputs = append(b.Graph.Outputs, v)
	return v
}
