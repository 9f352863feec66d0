// Package ir opens, checks, edits and saves ONNX models.
//
// Two views of a model live side by side. Model keeps the file as it was read,
// and Model.WriteBack patches nothing but the bytes of the tensors that were
// trained, so that everything else a file says (metadata, functions, unknown
// fields, value infos) survives. Graph is a working copy that the rewriter may
// change as it likes: opset upgraded, half precision widened, constants lifted;
// it is saved on its own as a training step.
//
// Reading is written against hostile files: see limits.go for the bounds and
// external.go for where external data may lie.
package ir

import "errors"

// ErrInvalid is wrapped by every error that says a model file is malformed or
// exceeds a limit.
var ErrInvalid = errors.New("invalid model")

// ErrUnsupported is wrapped by errors about well-formed models that use
// something this package does not handle.
var ErrUnsupported = errors.New("unsupported model")
