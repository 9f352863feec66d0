package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

func (a *app) convertToTriton(cmd *cobra.Command, src string, f *conversion) error {
	if f.out == "" {
		return fmt.Errorf("%w: -o REPOSITORY is missing", errCommandLine)
	}
	r, err := convert.ToTriton(cmd.Context(), src, f.out, f.triton)
	if err != nil {
		return err
	}
	if !r.Joined {
		a.notes([]string{"Triton will not join requests into batches: " + r.WhyNot})
	}
	return a.print(r, func() {
		a.printf("%s: config.pbtxt, 1/model.onnx, %d bytes\n%s", r.Out, r.Bytes, r.Config)
	})
}

// addTriton declares the flags of --to triton.
func (f *conversion) addTriton(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.triton.Name, "name", "", "with --to triton: the model's name in the repository (default: its directory's)")
	fl.Int64Var(&f.triton.MaxBatch, "max-batch-size", 64, "with --to triton: the largest batch")
}
