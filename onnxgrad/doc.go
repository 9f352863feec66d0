// Package onnxgrad differentiates ONNX graphs in reverse mode.
//
// Gradients walks a canonical graph (package canon) backwards from given output
// gradients and appends the operators that compute the gradients of chosen
// initializers. The engine knows no operator; what it knows stands in one table
// (rules.go), which says of each operator that it has a rule, that its gradient
// is zero, or that it is blocked and why.
//
// With a Hook the walk stops at the parameters' uses: where records meet a
// value that depends on parameters only, the hook is given the pieces from
// which per-example gradients are made, before anything is summed over the
// batch. See package ghost.
package onnxgrad
