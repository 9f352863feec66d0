package ir

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// SetBranch makes nodes, which read values of the graph around n freely, the graph
// in n's attribute attr: a branch of an If. Its outputs are values that the nodes
// make, with the shapes stated. No name that the nodes make may be one of the graph
// around.
func (n *Node) SetBranch(attr string, nodes []*Node, outputs ...*ValueInfo) error {
	g := &onnxpb.GraphProto{Name: proto.String(n.Name + "/" + attr)}
	for _, inner := range nodes {
		pb, err := inner.proto()
		if err != nil {
			return fmt.Errorf("%v, %s: %w", n, attr, err)
		}
		g.Node = append(g.Node, pb)
	}
	for _, o := range outputs {
		g.Output = append(g.Output, o.proto())
	}
	a := &onnxpb.AttributeProto{Name: proto.String(attr), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
	n.Attrs[attr] = a
	n.captures = append(n.captures, capturedBy(a)...)
	return nil
}

// Branch returns a copy of the graph in attribute attr, as Graph.Branch does; one
// with initializers in files of their own is an error.
func (n *Node) Branch(attr string) (*Body, error) { return (&Graph{}).Branch(n, attr) }
