// Package runtime is what a Go program imports: it opens an exported ONNX
// model, runs it, measures per-example gradient norms, fine-tunes it privately
// and writes it back.
//
//	model, err := runtime.Open("model/", runtime.Options{})
//	defer model.Close()
//	report, err := model.GradNorms(ctx, batch, runtime.GradNormsOptions{Loss: "causal-lm"})
package runtime
