// Package irtest builds small graphs for tests.
package irtest

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Builder collects a graph. Its methods return the Builder so that a graph
// reads as one expression.
type Builder struct{ g *ir.Graph }

// New starts a graph of that opset.
func New(opset int64) *Builder {
	return &Builder{&ir.Graph{
		Name: "test", Inits: map[string]*ir.Tensor{}, Lifted: map[string]bool{}, Overridable: map[string]*ir.ValueInfo{},
		Opset: map[string]int64{"": opset}, ValueInfos: map[string]*ir.ValueInfo{}, Metadata: map[string]string{},
	}}
}

// Domain imports an operator domain.
func (b *Builder) Domain(name string, version int64) *Builder {
	b.g.Opset[name] = version
	return b
}

// Input declares a graph input; dims are int constants or string symbols.
func (b *Builder) Input(name string, d ir.DType, dims ...any) *Builder {
	b.g.Inputs = append(b.g.Inputs, value(name, d, dims))
	return b
}

// Output declares graph outputs of float32 without a shape.
func (b *Builder) Output(names ...string) *Builder {
	for _, n := range names {
		b.g.Outputs = append(b.g.Outputs, &ir.ValueInfo{Name: n, DType: ir.Float32})
	}
	return b
}

func value(name string, d ir.DType, dims []any) *ir.ValueInfo {
	v := &ir.ValueInfo{Name: name, DType: d, Dims: []ir.DeclaredDim{}}
	for _, x := range dims {
		switch x := x.(type) {
		case int:
			v.Dims = append(v.Dims, ir.DeclaredDim{Value: int64(x)})
		case string:
			v.Dims = append(v.Dims, ir.DeclaredDim{Value: -1, Param: x})
		default:
			panic(fmt.Sprintf("dimension %v of type %T", x, x))
		}
	}
	return v
}

// Floats adds a float32 initializer.
func (b *Builder) Floats(name string, dims []int64, data ...float32) *Builder {
	b.g.AddInit(ir.NewFloat32(name, dims, data))
	return b
}

// Const adds a float32 constant that is no parameter.
func (b *Builder) Const(name string, dims []int64, data ...float32) *Builder {
	b.g.Lifted[name] = true
	return b.Floats(name, dims, data...)
}

// Fill adds a float32 initializer with small distinct numbers.
func (b *Builder) Fill(name string, dims ...int64) *Builder {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = (float32((i*7919+len(name)*31)%23) - 11.5) / 16
	}
	return b.Floats(name, dims, data...)
}

// Ints adds an int64 initializer; nil dims make it a vector.
func (b *Builder) Ints(name string, dims []int64, data ...int64) *Builder {
	if dims == nil {
		dims = []int64{int64(len(data))}
	}
	b.g.AddInit(ir.NewInt64(name, dims, data))
	return b
}

// Raw adds an initializer of any type from its little-endian bytes.
func (b *Builder) Raw(name string, d ir.DType, dims []int64, raw ...byte) *Builder {
	b.g.AddInit(ir.NewRaw(name, d, dims, raw))
	return b
}

// Node adds a node written as "y1,y2 = Op(x1,,x3)" or "y = domain::Op(x)".
func (b *Builder) Node(text string, attrs ...ir.Attrs) *Builder {
	left, right, ok := strings.Cut(text, "=")
	op, args, ok2 := strings.Cut(strings.TrimSpace(right), "(")
	if !ok || !ok2 {
		panic("want y = Op(x), got " + text)
	}
	domain := ""
	if d, o, has := strings.Cut(op, "::"); has {
		domain, op = d, o
	}
	n := &ir.Node{Op: op, Domain: domain, Attrs: ir.Attrs{}, Inputs: list(strings.TrimSuffix(args, ")")), Outputs: list(left)}
	n.Name = fmt.Sprintf("%s_%d", op, len(b.g.Nodes))
	for _, a := range attrs {
		n.Attrs = a
	}
	b.g.Nodes = append(b.g.Nodes, n)
	return b
}

func list(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// Graph returns the graph, sorted; it panics on a malformed test graph.
func (b *Builder) Graph() *ir.Graph {
	if err := b.g.Sort(); err != nil {
		panic(err)
	}
	return b.g
}
