package ir

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A Node is one operator application. Missing optional inputs and outputs are
// empty names.
type Node struct {
	Name    string
	Op      string
	Domain  string // "" for ai.onnx
	Inputs  []string
	Outputs []string
	Attrs   Attrs
	// Doc is written as the node's doc_string.
	Doc string
	// Scope is the exporter's module path ("h.0/attn/c_attn") where the
	// metadata carry one.
	Scope string

	captures []string // outer values read by subgraphs in Attrs
}

// Attrs holds attribute values: int64, float32, string, []int64, []float32,
// []string, *Tensor, or *onnxpb.AttributeProto for every other kind.
type Attrs map[string]any

// Input returns the i-th input name, "" where it is absent.
func (n *Node) Input(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// Output returns the i-th output name, "" where it is absent.
func (n *Node) Output(i int) string {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return ""
}

// Is reports whether n is that operator of the default domain.
func (n *Node) Is(op string) bool { return n.Op == op && n.Domain == "" }

// Int returns an integer attribute, or def where it is absent.
func (n *Node) Int(name string, def int64) int64 {
	if v, ok := n.Attrs[name].(int64); ok {
		return v
	}
	return def
}

// Float returns a floating attribute, or def where it is absent.
func (n *Node) Float(name string, def float32) float32 {
	if v, ok := n.Attrs[name].(float32); ok {
		return v
	}
	return def
}

// Str returns a string attribute, or def where it is absent.
func (n *Node) Str(name, def string) string {
	if v, ok := n.Attrs[name].(string); ok {
		return v
	}
	return def
}

// Ints returns an integer list attribute; ok is false where it is absent.
func (n *Node) Ints(name string) (v []int64, ok bool) {
	v, ok = n.Attrs[name].([]int64)
	return v, ok
}

// Reads returns every value the node depends on: its inputs and what its
// subgraphs capture from outside.
func (n *Node) Reads() []string {
	if len(n.captures) == 0 {
		return n.Inputs
	}
	return append(slices.Clone(n.Inputs), n.captures...)
}

// HasGraph reports a node that holds a graph: a branch, or the body of a loop.
func (n *Node) HasGraph() bool {
	for _, v := range n.Attrs {
		if a, ok := v.(*onnxpb.AttributeProto); ok && (a.GetG() != nil || len(a.GetGraphs()) > 0) {
			return true
		}
	}
	return false
}

// Clone returns a copy that shares nothing mutable with n.
func (n *Node) Clone() *Node {
	c := *n
	c.Inputs, c.Outputs, c.Attrs = slices.Clone(n.Inputs), slices.Clone(n.Outputs), maps.Clone(n.Attrs)
	c.captures = slices.Clone(n.captures)
	return &c
}

func (n *Node) String() string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + n.Op
	}
	return fmt.Sprintf("op %q node %q", op, n.Name)
}

func nodeFromProto(pb *onnxpb.NodeProto, folder *folder) (*Node, error) {
	n := &Node{
		Name: pb.GetName(), Op: pb.GetOpType(), Domain: pb.GetDomain(), Doc: pb.GetDocString(),
		Inputs: slices.Clone(pb.GetInput()), Outputs: slices.Clone(pb.GetOutput()), Attrs: Attrs{},
	}
	if n.Domain == "ai.onnx" {
		n.Domain = ""
	}
	for _, m := range pb.GetMetadataProps() {
		if m.GetKey() == "pkg.torch.onnx.name_scopes" || m.GetKey() == "namespace" && n.Scope == "" {
			n.Scope = m.GetValue()
		}
	}
	for _, a := range pb.GetAttribute() {
		if _, dup := n.Attrs[a.GetName()]; dup {
			return nil, fmt.Errorf("%w: %v has attribute %q twice", ErrInvalid, n, a.GetName())
		}
		v, err := attrFromProto(a, folder)
		if err != nil {
			return nil, fmt.Errorf("%v, attribute %q: %w", n, a.GetName(), err)
		}
		n.Attrs[a.GetName()] = v
		n.captures = append(n.captures, capturedBy(a)...)
	}
	return n, nil
}

func attrFromProto(a *onnxpb.AttributeProto, folder *folder) (any, error) {
	if a.GetRefAttrName() != "" {
		return a, nil
	}
	switch a.GetType() {
	case onnxpb.AttributeProto_INT:
		return a.GetI(), nil
	case onnxpb.AttributeProto_FLOAT:
		return a.GetF(), nil
	case onnxpb.AttributeProto_STRING:
		return string(a.GetS()), nil
	case onnxpb.AttributeProto_INTS:
		return slices.Clone(a.GetInts()), nil
	case onnxpb.AttributeProto_FLOATS:
		return slices.Clone(a.GetFloats()), nil
	case onnxpb.AttributeProto_STRINGS:
		out := make([]string, len(a.GetStrings()))
		for i, s := range a.GetStrings() {
			out[i] = string(s)
		}
		return out, nil
	case onnxpb.AttributeProto_TENSOR:
		if a.GetT() == nil {
			return nil, fmt.Errorf("%w: says that it is a tensor and holds none", ErrInvalid)
		}
		return tensorFromProto(a.GetT(), a.GetT().GetRawData(), folder)
	}
	return a, nil
}

// capturedBy lists the names that an attribute's subgraphs read without
// defining them.
func capturedBy(a *onnxpb.AttributeProto) []string {
	var out []string
	graphs := a.GetGraphs()
	if a.GetG() != nil {
		graphs = append(slices.Clone(graphs), a.GetG())
	}
	for _, g := range graphs {
		defined := map[string]bool{"": true}
		for _, v := range g.GetInput() {
			defined[v.GetName()] = true
		}
		for _, t := range g.GetInitializer() {
			defined[t.GetName()] = true
		}
		read := func(name string) {
			if !defined[name] {
				out = append(out, name)
				defined[name] = true
			}
		}
		for _, n := range g.GetNode() {
			for _, in := range n.GetInput() {
				read(in)
			}
			for _, sub := range n.GetAttribute() {
				for _, name := range capturedBy(sub) {
					read(name)
				}
			}
			for _, o := range n.GetOutput() {
				defined[o] = true
			}
		}
		for _, o := range g.GetOutput() {
			read(o.GetName())
		}
	}
	return out
}

func (n *Node) proto() (*onnxpb.NodeProto, error) {
	pb := &onnxpb.NodeProto{Name: proto.String(n.Name), OpType: proto.String(n.Op), Input: n.Inputs, Output: n.Outputs}
	if n.Domain != "" {
		pb.Domain = proto.String(n.Domain)
	}
	if n.Doc != "" {
		pb.DocString = proto.String(n.Doc)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		a, err := attrProto(name, n.Attrs[name])
		if err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
		pb.Attribute = append(pb.Attribute, a)
	}
	return pb, nil
}

func attrProto(name string, value any) (*onnxpb.AttributeProto, error) {
	a := &onnxpb.AttributeProto{Name: proto.String(name)}
	set := func(t onnxpb.AttributeProto_AttributeType) { a.Type = t.Enum() }
	switch v := value.(type) {
	case int64:
		a.I = proto.Int64(v)
		set(onnxpb.AttributeProto_INT)
	case float32:
		a.F = proto.Float32(v)
		set(onnxpb.AttributeProto_FLOAT)
	case string:
		a.S = []byte(v)
		set(onnxpb.AttributeProto_STRING)
	case []int64:
		a.Ints = v
		set(onnxpb.AttributeProto_INTS)
	case []float32:
		a.Floats = v
		set(onnxpb.AttributeProto_FLOATS)
	case []string:
		for _, s := range v {
			a.Strings = append(a.Strings, []byte(s))
		}
		set(onnxpb.AttributeProto_STRINGS)
	case *Tensor:
		t, err := v.proto()
		if err != nil {
			return nil, err
		}
		a.T = t
		set(onnxpb.AttributeProto_TENSOR)
	case *onnxpb.AttributeProto:
		return v, nil
	default:
		return nil, fmt.Errorf("attribute %q has Go type %T", name, value)
	}
	return a, nil
}

func (t *Tensor) proto() (*onnxpb.TensorProto, error) {
	if t.DType == String {
		return t.pb, nil
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return &onnxpb.TensorProto{Name: proto.String(t.Name), DataType: proto.Int32(int32(t.DType)), Dims: t.Dims, RawData: raw}, nil
}
