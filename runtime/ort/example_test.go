package ort_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A weight that lives in an arena is fed like any other input. Changing the arena changes the next run: nothing is
// copied.
func Example() {
	env, err := ort.Load("")
	if err != nil {
		log.Fatal(err)
	}
	session, err := env.NewSession(scaleModel(), ort.Options{Name: "scale", Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	weights, err := ort.NewArena([]ort.Param{{Name: "w", Shape: []int64{2}}})
	if err != nil {
		log.Fatal(err)
	}
	x, err := ort.NewTensor([]int64{2}, []float32{3, 5})
	if err != nil {
		log.Fatal(err)
	}
	feeds := weights.Tensors()
	feeds["x"] = x
	for range 2 {
		weights.Data()[0] += 1
		weights.Data()[1] += 10
		out, err := session.Run(context.Background(), feeds, ort.Outputs("y")...)
		if err != nil {
			log.Fatal(err)
		}
		y, err := ort.Data[float32](out["y"])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(session.Inputs()[0], out["y"], y)
	}
	// Output:
	// float32[n] float32[2] [3 50]
	// float32[n] float32[2] [6 100]
}

// scaleModel is y = x·w, serialized.
func scaleModel() []byte {
	vector := func(name string) *onnxpb.ValueInfoProto {
		dim := &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: "n"}}
		return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
			TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(1), Shape: &onnxpb.TensorShapeProto{Dim: []*onnxpb.TensorShapeProto_Dimension{dim}}},
		}}}
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion:   proto.Int64(10),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(21)}},
		Graph: &onnxpb.GraphProto{
			Name:   proto.String("scale"),
			Input:  []*onnxpb.ValueInfoProto{vector("x"), vector("w")},
			Output: []*onnxpb.ValueInfoProto{vector("y")},
			Node:   []*onnxpb.NodeProto{{OpType: proto.String("Mul"), Input: []string{"x", "w"}, Output: []string{"y"}}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	return data
}
