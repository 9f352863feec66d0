// Package onnxpb holds the Go types of ONNX's own protobuf schema
// (onnx-ml.proto of onnx 1.23.2, IR version 14), unchanged.
//
// Regenerating needs protoc and protoc-gen-go v1.36.12 on the path.
package onnxpb

//go:generate protoc -I. --go_out=. --go_opt=paths=source_relative --go_opt=Monnx-ml.proto=github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb onnx-ml.proto
