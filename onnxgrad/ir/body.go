package ir

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A Body is a graph inside a model: a local function's, or a branch of an If.
// Like a Graph's, its nodes and maps are the caller's.
type Body struct {
	Name    string
	Inputs  []string // a function's formal inputs; a branch has none
	Outputs []string
	Nodes   []*Node
	// Inits holds a branch's own initializers.
	Inits []*Tensor
	// Attrs holds the default values of a function's attributes.
	Attrs Attrs
	// Opset holds the versions a function imports; empty for a branch.
	Opset map[string]int64
}

// functionKey is how nodes name a local function.
func functionKey(domain, name string) string {
	if domain == "ai.onnx" {
		domain = ""
	}
	return domain + "." + name
}

// Function returns a copy of the local function that n applies, nil where n is
// an operator.
func (g *Graph) Function(n *Node) (*Body, error) {
	pb := g.functions[functionKey(n.Domain, n.Op)]
	if pb == nil {
		return nil, nil
	}
	b := &Body{Name: pb.GetName(), Inputs: slices.Clone(pb.GetInput()), Outputs: slices.Clone(pb.GetOutput()), Attrs: Attrs{}, Opset: map[string]int64{}}
	for _, o := range pb.GetOpsetImport() {
		domain := o.GetDomain()
		if domain == "ai.onnx" {
			domain = ""
		}
		b.Opset[domain] = o.GetVersion()
	}
	for _, a := range pb.GetAttributeProto() {
		v, err := attrFromProto(a, g.folder)
		if err != nil {
			return nil, fmt.Errorf("function %q, attribute %q: %w", pb.GetName(), a.GetName(), err)
		}
		b.Attrs[a.GetName()] = v
	}
	return b, b.readNodes(pb.GetNode(), g.folder)
}

// appliedFunctions returns the local functions where a node applies one: a
// function may apply others, so then all of them.
func (g *Graph) appliedFunctions() []*onnxpb.FunctionProto {
	applies := func(n *Node) bool { return g.functions[functionKey(n.Domain, n.Op)] != nil }
	if !slices.ContainsFunc(g.Nodes, applies) {
		return nil
	}
	var out []*onnxpb.FunctionProto
	for _, key := range slices.Sorted(maps.Keys(g.functions)) {
		out = append(out, g.functions[key])
	}
	return out
}

// Branch returns a copy of the graph in a node's attribute, such as then_branch.
func (g *Graph) Branch(n *Node, attr string) (*Body, error) {
	a, ok := n.Attrs[attr].(*onnxpb.AttributeProto)
	if !ok || a.GetG() == nil {
		return nil, fmt.Errorf("%w: %v has no graph in attribute %q", ErrInvalid, n, attr)
	}
	pb := a.GetG()
	b := &Body{Name: pb.GetName()}
	for _, o := range pb.GetOutput() {
		b.Outputs = append(b.Outputs, o.GetName())
	}
	for _, t := range pb.GetInitializer() {
		tensor, err := tensorFromProto(t, t.GetRawData(), g.folder)
		if err != nil {
			return nil, fmt.Errorf("%v, %s: %w", n, attr, err)
		}
		b.Inits = append(b.Inits, tensor)
	}
	return b, b.readNodes(pb.GetNode(), g.folder)
}

func (b *Body) readNodes(list []*onnxpb.NodeProto, f *folder) error {
	for i, pb := range list {
		n, err := nodeFromProto(pb, f)
		if err != nil {
			return err
		}
		if n.Name == "" {
			n.Name = fmt.Sprintf("%s#%d", n.Op, i)
		}
		b.Nodes = append(b.Nodes, n)
	}
	return nil
}

// Reference returns the name of the function attribute that attribute key of a
// node in a function's body stands for.
func (n *Node) Reference(key string) (string, bool) {
	a, ok := n.Attrs[key].(*onnxpb.AttributeProto)
	if !ok || a.GetRefAttrName() == "" {
		return "", false
	}
	return a.GetRefAttrName(), true
}

// RenameValues renames what a node reads and makes, inside its own subgraphs
// too. rename is asked once for each outer name.
func (n *Node) RenameValues(rename func(string) string) {
	for _, list := range [][]string{n.Inputs, n.Outputs} {
		for i, v := range list {
			if v != "" {
				list[i] = rename(v)
			}
		}
	}
	if len(n.captures) == 0 {
		return
	}
	names := map[string]string{}
	for i, c := range n.captures {
		names[c] = rename(c)
		n.captures[i] = names[c]
	}
	for key, v := range n.Attrs {
		if a, ok := v.(*onnxpb.AttributeProto); ok && len(capturedBy(a)) > 0 {
			a = proto.Clone(a).(*onnxpb.AttributeProto)
			renameCaptured(a, names)
			n.Attrs[key] = a
		}
	}
}

// renameCaptured renames outer values in an attribute's graphs, except where a
// graph defines a value of that name itself.
func renameCaptured(a *onnxpb.AttributeProto, names map[string]string) {
	graphs := a.GetGraphs()
	if a.GetG() != nil {
		graphs = append(slices.Clone(graphs), a.GetG())
	}
	for _, g := range graphs {
		own := map[string]bool{}
		for _, v := range g.GetInput() {
			own[v.GetName()] = true
		}
		for _, t := range g.GetInitializer() {
			own[t.GetName()] = true
		}
		for _, n := range g.GetNode() {
			for _, o := range n.GetOutput() {
				own[o] = true
			}
		}
		outer := map[string]string{}
		for from, to := range names {
			if !own[from] {
				outer[from] = to
			}
		}
		for _, n := range g.GetNode() {
			for i, in := range n.GetInput() {
				if to, ok := outer[in]; ok {
					n.Input[i] = to
				}
			}
			for _, sub := range n.GetAttribute() {
				renameCaptured(sub, outer)
			}
		}
		for _, o := range g.GetOutput() {
			if to, ok := outer[o.GetName()]; ok {
				o.Name = proto.String(to)
			}
		}
	}
}

// LiftConstants turns Constant nodes into initializers marked Lifted, as reading
// a model does; whoever inlines a body does it again.
func (g *Graph) LiftConstants() { g.liftConstants() }
