// Package oip serves the Open Inference Protocol, version 2, over REST (this
// package's Routes) and gRPC (Service), with the extensions that Triton's and
// KServe's clients use: binary tensors, repository control, model configuration
// and statistics.
//
// Both forms read a request into the same values (infer.go) and answer from the
// same ones, so that they can't drift apart.
package oip
