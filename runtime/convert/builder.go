package convert

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// Opset and the symbols of the graphs that are written.
const (
	Opset    = 17 // the first with LayerNormalization
	Batch    = "batch_size"
	Sequence = "sequence_length"
	Past     = "past_sequence_length"
)

// A Builder writes a graph, module by module. A value is named by a string; a
// Builder returned by In writes into the same graph with the module's path in
// front of names.
type Builder struct {
	*writing
	path []string
}

// writing is what all Builders of a graph share.
type writing struct {
	Config  *Config
	Options Options // head and labels resolved

	graph   *ir.Graph
	source  *source
	head    bool // parameters belong to the head
	doc     string
	names   map[string]int    // node names taken
	widen   map[string]string // float32 form of half parameters
	record  Record
	total   int64 // elements of all parameters
	notes   []string
	outputs [][2]string // names and values of the graph's outputs
	err     error       // the first failure of reading a tied copy
}

func newBuilder(c *Config, o Options, s *source) *Builder {
	return &Builder{writing: &writing{
		Config: c, Options: o, source: s, names: map[string]int{}, widen: map[string]string{},
		record: Record{ModelType: c.ModelType, Head: o.Head, Tied: map[string]string{}, Names: map[string]string{}},
		graph: &ir.Graph{
			Name: c.ModelType, Inits: map[string]*ir.Tensor{}, Lifted: map[string]bool{}, Overridable: map[string]*ir.ValueInfo{},
			Opset: map[string]int64{"": Opset}, ValueInfos: map[string]*ir.ValueInfo{}, Metadata: map[string]string{},
		},
	}}
}

// In returns a Builder for a module inside this one, such as "layers.0".
func (b *Builder) In(modules ...string) *Builder {
	return &Builder{b.writing, append(slices.Clone(b.path), modules...)}
}

// Doc gives the next node a doc_string.
func (b *Builder) Doc(text string) *Builder {
	b.doc = text
	return b
}

// Note tells the user something about the model.
func (b *Builder) Note(text string) { b.notes = append(b.notes, text) }

// Op adds a node with one output and returns it. An absent optional input is "".
func (b *Builder) Op(op string, attrs ir.Attrs, inputs ...string) string {
	return b.Ops(op, 1, attrs, inputs...)[0]
}

// Ops adds a node with several outputs.
func (b *Builder) Ops(op string, outputs int, attrs ir.Attrs, inputs ...string) []string {
	name := "/" + strings.Join(append(slices.Clone(b.path), op), "/")
	n := b.names[name]
	if b.names[name]++; n > 0 {
		name = fmt.Sprintf("%s_%d", name, n)
	}
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	node := &ir.Node{Name: name, Op: op, Inputs: inputs, Attrs: attrs, Doc: b.doc}
	b.doc = ""
	for i := range outputs {
		node.Outputs = append(node.Outputs, fmt.Sprintf("%s_output_%d", name, i))
	}
	b.graph.Nodes = append(b.graph.Nodes, node)
	return node.Outputs
}

// Input declares a graph input; dims are symbols or decimal extents.
func (b *Builder) Input(name string, d ir.DType, dims ...string) string {
	b.graph.Inputs = append(b.graph.Inputs, declared(name, d, dims))
	return name
}

// Output makes value a graph output of that name.
func (b *Builder) Output(name, value string, d ir.DType, dims ...string) {
	b.graph.Outputs = append(b.graph.Outputs, declared(name, d, dims))
	b.outputs = append(b.outputs, [2]string{name, value})
}

// nameOutputs gives results of nodes the names of the outputs that they are: an
// Identity would copy them, the cache at every token.
func (b *Builder) nameOutputs() {
	names := map[string]string{} // value → output
	for _, o := range b.outputs {
		if _, twice := names[o[1]]; !twice {
			names[o[1]] = o[0]
		}
	}
	made := map[string]bool{}
	for _, n := range b.graph.Nodes {
		for i, v := range n.Outputs {
			if name, ok := names[v]; ok {
				n.Outputs[i], made[v] = name, true
			}
		}
		for i, v := range n.Inputs {
			if name, ok := names[v]; ok && made[v] {
				n.Inputs[i] = name
			}
		}
	}
	for _, o := range b.outputs {
		name, value := o[0], o[1]
		if made[value] && names[value] == name {
			continue
		}
		if made[value] {
			value = names[value]
		}
		b.graph.Nodes = append(b.graph.Nodes, &ir.Node{Name: "/" + name, Op: "Identity", Inputs: []string{value}, Outputs: []string{name}, Attrs: ir.Attrs{}})
	}
}

func declared(name string, d ir.DType, dims []string) *ir.ValueInfo {
	v := &ir.ValueInfo{Name: name, DType: d, Dims: []ir.DeclaredDim{}}
	for _, s := range dims {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			v.Dims = append(v.Dims, ir.DeclaredDim{Value: n})
		} else {
			v.Dims = append(v.Dims, ir.DeclaredDim{Value: -1, Param: s})
		}
	}
	return v
}

// dim writes an extent for Input and Output.
func dim(n int64) string { return strconv.FormatInt(n, 10) }

// Ints is a constant vector of int64.
func (b *Builder) Ints(v ...int64) string {
	text := make([]string, len(v))
	for i, n := range v {
		text[i] = dim(n)
	}
	return b.constant(ir.NewInt64("const/int64/["+strings.Join(text, ",")+"]", []int64{int64(len(v))}, v))
}

// Int is a constant of int64 and rank 0.
func (b *Builder) Int(v int64) string {
	return b.constant(ir.NewInt64("const/int64/"+dim(v), nil, []int64{v}))
}

// Float is a constant of float32 and rank 0.
func (b *Builder) Float(v float64) string {
	name := "const/float32/" + strconv.FormatFloat(float64(float32(v)), 'g', -1, 32)
	return b.constant(ir.NewFloat32(name, nil, []float32{float32(v)}))
}

func (b *Builder) constant(t *ir.Tensor) string {
	if b.graph.Inits[t.Name] == nil {
		b.graph.AddInit(t)
	}
	return t.Name
}

// Floats is a constant vector of float32, a Constant node so that no reader takes
// it for a parameter.
func (b *Builder) Floats(v []float32) string {
	return b.Op("Constant", ir.Attrs{"value": ir.NewFloat32("", []int64{int64(len(v))}, v)})
}

// smallest stands for −∞ in a mask: finite, so that a row without a single
// allowed position has a softmax.
const smallest = -math.MaxFloat32

// parameter declares a parameter of this module and returns its initializer,
// which may be of half precision.
func (b *Builder) parameter(p Parameter) string {
	p.Name = strings.Join(append(slices.Clone(b.path), p.Name), ".")
	if b.graph.Inits[p.Name] != nil {
		return p.Name
	}
	b.graph.AddInit(b.source.tensor(p, b.head))
	if n, ok := p.elements(); ok {
		b.total += n
	}
	if p.Transposed {
		b.record.Transposed = append(b.record.Transposed, p.Name)
	}
	return p.Name
}

// Parameter declares a parameter of this module and returns it as float32.
func (b *Builder) Parameter(p Parameter) string { return b.float32(b.parameter(p)) }

// float32 widens a half parameter, once for all its uses. (The stock runtime has
// no bfloat16 products; the cast of a constant is folded when a session starts.)
func (b *Builder) float32(name string) string {
	if b.graph.Inits[name].DType == ir.Float32 {
		return name
	}
	if w, ok := b.widen[name]; ok {
		return w
	}
	module := &Builder{b.writing, strings.Split(name, ".")}
	doc := b.doc
	b.doc = ""
	w := module.Cast(name, ir.Float32)
	b.widen[name], b.doc = w, doc
	return w
}

// finish orders the graph, declares the shapes of its values and writes down
// what a way back needs.
func (b *Builder) finish() (*ir.Graph, error) {
	if err := b.Config.Err(); err != nil {
		return nil, err
	}
	if b.err != nil {
		return nil, b.err
	}
	if err := b.source.err(); err != nil {
		return nil, err
	}
	b.nameOutputs()
	g := b.graph
	g.Prune() // positions or masks that an architecture does not read
	if err := g.Sort(); err != nil {
		return nil, fmt.Errorf("the graph of a %s: %w", b.Config.ModelType, err)
	}
	values, err := infer.Graph(g, nil)
	if err != nil {
		return nil, bad("config.json describes no model that fits together: %v", err)
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			info := values.Of(o)
			if info.Ranked && info.DType != ir.Undefined && g.Output(o) == nil {
				g.ValueInfos[o] = &ir.ValueInfo{Name: o, DType: info.DType, Dims: onnxgrad.Declare(info.Shape)}
			}
		}
	}
	b.record.Names = b.source.names
	return g, b.record.write(g.Metadata)
}
