// Package convert turns checkpoints into ONNX models and back, without Python.
//
// A checkpoint is a Hugging Face directory: config.json, safetensors, a
// tokenizer. What becomes of it is decided in three steps, each a value that can
// be looked at:
//
//	Config          config.json, read strictly: what the graph depends on and is
//	                not known is refused by name
//	Architecture    one entry a model_type in a table; its build function writes
//	                the graph with a Builder, which declares a parameter where
//	                the graph first reads it
//	Weights         where the numbers come from: a checkpoint, or a seed
//
// The graph is plain ONNX of opset 17: no contrib operator, no table of
// positions or masks, names that follow the modules of the checkpoint, every
// parameter an initializer under its name there. Its metadata say what a way
// back needs (see Record). Weights are read when they are written, one tensor at
// a time.
package convert
