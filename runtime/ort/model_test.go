package ort

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// testEnv opens the library. A missing one fails the test: `make test` fetches it first, and a suite that passes
// without having run anything would say nothing.
func testEnv(t testing.TB) *Env {
	t.Helper()
	env, err := Load("")
	if err != nil {
		t.Fatalf("these tests need the onnxruntime library: %v", err)
	}
	return env
}

// testSession opens a session that is closed with the test.
func testSession(t testing.TB, g *onnxpb.GraphProto, o Options) *Session {
	t.Helper()
	s, err := testEnv(t).NewSession(model(t, g, 10), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// model serializes a graph as an opset-21 model.
func model(t testing.TB, g *onnxpb.GraphProto, irVersion int64) []byte {
	t.Helper()
	data, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion:   proto.Int64(irVersion),
		Graph:       g,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(21)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// graph is a graph with the given nodes, inputs and outputs.
func graph(inputs, outputs []*onnxpb.ValueInfoProto, nodes ...*onnxpb.NodeProto) *onnxpb.GraphProto {
	return &onnxpb.GraphProto{Name: proto.String("g"), Input: inputs, Output: outputs, Node: nodes}
}

func values(list ...*onnxpb.ValueInfoProto) []*onnxpb.ValueInfoProto { return list }

// value declares a tensor; a dim is an int (fixed), a string (symbolic) or nil (unknown).
func value(name string, dtype DType, dims ...any) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		dim := &onnxpb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return declare(name, dtype, shape)
}

// shapeless declares a tensor of no declared shape.
func shapeless(name string, dtype DType) *onnxpb.ValueInfoProto { return declare(name, dtype, nil) }

func declare(name string, dtype DType, shape *onnxpb.TensorShapeProto) *onnxpb.ValueInfoProto {
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: tensorType(dtype, shape)}
}

func tensorType(dtype DType, shape *onnxpb.TensorShapeProto) *onnxpb.TypeProto {
	return &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(dtype)), Shape: shape},
	}}
}

// node is an operator; inputs and outputs are separated by spaces.
func node(op, inputs, outputs string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{
		Name: proto.String(op + "/" + outputs), OpType: proto.String(op),
		Input: strings.Fields(inputs), Output: strings.Fields(outputs), Attribute: attrs,
	}
}

func intAttr(name string, v int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(v)}
}

func graphAttr(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
}

// floats is a float32 initializer.
func floats(name string, dims []int64, v ...float32) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: proto.String(name), Dims: dims, DataType: proto.Int32(int32(Float32)), FloatData: v}
}

// tensor is NewTensor for arguments known to be right.
func tensor[T Element](t testing.TB, shape []int64, data ...T) *Tensor {
	t.Helper()
	if data == nil {
		data = []T{}
	}
	x, err := NewTensor(shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// data is Data for a tensor known to be of that type.
func data[T Element](t testing.TB, x *Tensor) []T {
	t.Helper()
	if x == nil {
		t.Fatal("no tensor")
	}
	v, err := Data[T](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
