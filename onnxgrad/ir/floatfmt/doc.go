// Package floatfmt is the one place where floating-point numbers change their
// width: half precision (IEEE 754 binary16 and bfloat16) and float64 to and from
// float32, and how each lies in a file, little endian.
//
// It stands at the very bottom of the import order: model files, safetensors
// files and tensors of the runtime all convert here.
package floatfmt
