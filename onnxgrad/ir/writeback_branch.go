package ir

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// Field numbers on the way from a node to the initializers of its branches.
const (
	nodeAttribute   protowire.Number = 5
	attributeGraph  protowire.Number = 6
	attributeGraphs protowire.Number = 11
)

// A nestedPatch replaces the numbers of an initializer in a branch, wherever a
// branch has one of that name with the same numbers: the branches of a merged
// decoder carry copies.
type nestedPatch struct {
	old, new []byte
	tensor   *Tensor
}

// nestedPatchOf keeps both forms in memory: branches of a file hold little more
// than scalars, or the copies of a merged decoder, which are at most 2 GiB.
func nestedPatchOf(t *Tensor, values []float32) (nestedPatch, error) {
	was, err := t.Bytes()
	if err != nil {
		return nestedPatch{}, err
	}
	now, err := encodeFloats(t.DType, values)
	return nestedPatch{old: was, new: now, tensor: t}, err
}

// inBranches returns the initializer of that name that the first branch to know
// it holds; nil where none does.
func (g *Graph) inBranches(name string) *Tensor {
	var found *Tensor
	visit := func(t *onnxpb.TensorProto) {
		if found == nil && t.GetName() == name {
			if tensor, err := tensorFromProto(t, t.GetRawData(), g.folder); err == nil {
				found = tensor
			}
		}
	}
	for _, n := range g.Nodes {
		for _, v := range n.Attrs {
			if a, ok := v.(*onnxpb.AttributeProto); ok {
				eachNested(a, visit)
			}
		}
	}
	return found
}

// eachNested visits the initializers of an attribute's graphs at any depth.
func eachNested(a *onnxpb.AttributeProto, visit func(*onnxpb.TensorProto)) {
	graphs := append([]*onnxpb.GraphProto{}, a.GetGraphs()...)
	if a.GetG() != nil {
		graphs = append(graphs, a.GetG())
	}
	for _, g := range graphs {
		for _, t := range g.GetInitializer() {
			visit(t)
		}
		for _, n := range g.GetNode() {
			for _, sub := range n.GetAttribute() {
				eachNested(sub, visit)
			}
		}
	}
}

// branches rewrites a node whose attributes hold graphs.
func (plan *writePlan) branches(node []byte) ([]byte, error) {
	return mapFields(node, func(num protowire.Number, attr []byte) ([]byte, bool, error) {
		if num != nodeAttribute {
			return nil, false, nil
		}
		out, err := mapFields(attr, func(num protowire.Number, graph []byte) ([]byte, bool, error) {
			if num != attributeGraph && num != attributeGraphs {
				return nil, false, nil
			}
			out, err := plan.branch(graph)
			return out, true, err
		})
		return out, true, err
	})
}

// branch rewrites a graph in a node.
func (plan *writePlan) branch(graph []byte) ([]byte, error) {
	return mapFields(graph, func(num protowire.Number, value []byte) ([]byte, bool, error) {
		switch num {
		case graphNode:
			out, err := plan.branches(value)
			return out, true, err
		case graphInit:
			return plan.nestedTensor(value)
		}
		return nil, false, nil
	})
}

func (plan *writePlan) nestedTensor(msg []byte) (out []byte, changed bool, err error) {
	pb := &onnxpb.TensorProto{}
	if err := proto.Unmarshal(msg, pb); err != nil {
		return nil, false, err
	}
	patch, ok := plan.nested[pb.GetName()]
	if !ok {
		return nil, false, nil
	}
	t, err := tensorFromProto(pb, pb.GetRawData(), plan.model0.folder)
	if err != nil {
		return nil, false, err
	}
	if now, err := t.Bytes(); err != nil || !bytes.Equal(now, patch.old) || t.DType != patch.tensor.DType {
		return nil, false, err
	}
	err = eachField(msg, func(num protowire.Number, field, _ []byte) error {
		switch num {
		case tensorRaw, tensorFloats, tensorInt32s, tensorDoubles:
			return nil
		}
		out = append(out, field...)
		return nil
	})
	return appendMessage(out, tensorRaw, patch.new), true, err
}

// mapFields copies a message; a length-delimited field for which change answers
// true is replaced.
func mapFields(msg []byte, change func(num protowire.Number, value []byte) ([]byte, bool, error)) ([]byte, error) {
	out := make([]byte, 0, len(msg))
	err := eachField(msg, func(num protowire.Number, field, value []byte) error {
		replaced, changed, err := change(num, value)
		if changed {
			out = appendMessage(out, num, replaced)
		} else {
			out = append(out, field...)
		}
		return err
	})
	return out, err
}
