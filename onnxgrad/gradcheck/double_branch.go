package gradcheck

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

const (
	single = int32(onnxpb.TensorProto_FLOAT)
	double = int32(onnxpb.TensorProto_DOUBLE)
)

// doubledBranches returns an attribute with the graphs in it doubled, as an If has.
func doubledBranches(a *onnxpb.AttributeProto) *onnxpb.AttributeProto {
	if a.GetG() == nil {
		return a
	}
	a = proto.CloneOf(a) // clones of a graph share their branches
	doubleBranch(a.G)
	return a
}

func doubleBranch(g *onnxpb.GraphProto) {
	for _, t := range g.GetInitializer() {
		doubleTensor(t)
	}
	for _, list := range [][]*onnxpb.ValueInfoProto{g.GetInput(), g.GetOutput()} {
		for _, v := range list {
			if t := v.GetType().GetTensorType(); t.GetElemType() == single {
				t.ElemType = proto.Int32(double)
			}
		}
	}
	g.ValueInfo = nil
	for _, n := range g.GetNode() {
		for _, a := range n.GetAttribute() {
			switch {
			case a.GetG() != nil:
				doubleBranch(a.G)
			case a.GetName() == "value" && a.GetT() != nil:
				doubleTensor(a.T)
			case (a.GetName() == "to" || a.GetName() == "dtype") && a.GetI() == int64(single):
				a.I = proto.Int64(int64(double))
			}
		}
	}
}

func doubleTensor(t *onnxpb.TensorProto) {
	if t.GetDataType() != single {
		return
	}
	t.DataType = proto.Int32(double)
	values := t.FloatData
	for b := t.RawData; len(b) >= 4; b = b[4:] {
		values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	t.FloatData, t.RawData = nil, wide(values)
}
