package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

// convertWithCache writes an ONNX model again with a cache of keys and values.
func (a *app) convertWithCache(cmd *cobra.Command, src string, f *conversion) error {
	if f.out == "" {
		return fmt.Errorf("%w: -o DST is missing", errCommandLine)
	}
	m, err := runtime.Open(src, runtime.Options{Library: a.library, Threads: a.threads, Device: a.device})
	if err != nil {
		return err
	}
	defer m.Close()
	g, err := m.WithCache(cmd.Context())
	if err != nil {
		return err
	}
	report := struct {
		Out     string   `json:"out"`
		Bytes   int64    `json:"bytes"`
		Inputs  []string `json:"inputs"`
		Outputs []string `json:"outputs"`
	}{Out: f.out, Inputs: valueNames(g.Inputs), Outputs: valueNames(g.Outputs)}
	if report.Bytes, err = convert.Rewritten(cmd.Context(), src, f.out, g); err != nil {
		return err
	}
	return a.print(report, func() {
		a.printf("%s: the model with a cache of keys and values, %d bytes\ninputs   %v\noutputs  %v\n", report.Out, report.Bytes, report.Inputs, report.Outputs)
	})
}

func valueNames(values []*ir.ValueInfo) []string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.Name
	}
	return names
}
