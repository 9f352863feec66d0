// Package inferencepb holds the Go types of the Open Inference Protocol's gRPC
// service, version 2 (inference.proto).
//
// Regenerating needs protoc, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.2
// on the path.
package inferencepb

//go:generate protoc -I. --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative inference.proto
