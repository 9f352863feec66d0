// Package runtime is what a Go program imports: it opens an exported ONNX
// model, runs it, generates, classifies and embeds with it, measures per-example
// gradient norms, fine-tunes it privately and writes it back.
//
//	model, err := runtime.Open("model/", runtime.Options{})
//	defer model.Close()
//	classes, err := model.Classify(ctx, texts, runtime.ClassifyOptions{})
//
// A [Model] is safe for concurrent use by any number of goroutines: its sessions,
// tokenizer and analyses are made once, on first use. [Finetune] opens its own
// model from disk and never changes one that is open. Serving is package
// runtime/serve, conversion of checkpoints runtime/convert.
//
// # Several processes
//
// [Finetune] trains by several processes where FinetuneOptions.Ranks joins them: all call it with the
// same options, rank 0 holds the ledger and writes, and the result does not depend on their number.
// Package runtime/mpi joins the processes that mpirun starts.
//
// # Errors
//
// [ExitCode] sorts errors: what the caller gave wrong wraps [ErrUsage], a model
// that can't be trained as asked wraps onnxgrad.ErrNoGradient, separate.ErrMixed
// or ir.ErrUnsupported, a spent budget wraps dpadam.ErrBudgetSpent. Everything
// else failed while running. Messages name the row and field of private data,
// never their content.
//
// # Contexts
//
// Whatever takes long takes a context.Context; when it ends, the run under way
// in onnxruntime is stopped and the call returns the context's error.
package runtime
