package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// addQuantize declares the flags of --quantize.
func (f *conversion) addQuantize(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.bits, "quantize", "", "int8 or int4: weights of linear layers in few bits, for serving; SRC may be an ONNX model too")
	fl.Int64Var(&f.quantize.Block, "block-size", 32, "with --quantize: how many weights share a scale")
	fl.BoolVar(&f.quantize.Symmetric, "symmetric", false, "with --quantize: no zero points")
	fl.BoolVar(&f.quantize.Head, "quantize-head", false, "with --quantize: the layers that make the outputs too")
}

// quantizedBits by the value of --quantize.
var quantizedBits = map[string]int64{"int8": 8, "int4": 4}

// convertQuantized quantises an ONNX model, or what a checkpoint becomes.
func (a *app) convertQuantized(cmd *cobra.Command, src string, f *conversion, o convert.Options) error {
	f.quantize.Bits, f.quantize.Library = quantizedBits[f.bits], a.library
	if f.quantize.Bits == 0 {
		return fmt.Errorf("%w: --quantize %q; it is int8 or int4", errCommandLine, f.bits)
	}
	if !isONNX(src) {
		tmp, err := os.MkdirTemp("", "ghostwriter-convert-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		src0 := src
		src = filepath.Join(tmp, "onnx")
		if _, err := convert.ToONNX(cmd.Context(), src0, src, o); err != nil {
			return err
		}
	}
	r, err := convert.Quantize(cmd.Context(), src, f.out, f.quantize)
	if err != nil {
		return err
	}
	return a.print(r, func() {
		a.printf("%s: %d layers in %s, blocks of %d, weights %d bytes (before %d)\n", r.Out, r.Layers, f.bits, r.Block, r.BytesAfter, r.BytesBefore)
		c := r.Accuracy
		a.printf("on random ids its %s differ from the original's by %.3g on average, %.3g at most (mean magnitude %.3g); the largest is the same in %.2f%% of %d rows\n",
			c.Output, c.MeanDifference, c.MaxDifference, c.MeanValue, 100*c.Top1, c.Rows)
	})
}

// isONNX reports that src is a model, not a checkpoint beside which one lies.
func isONNX(src string) bool {
	for _, name := range []string{safetensors.SingleName, safetensors.IndexName} {
		if _, err := os.Stat(filepath.Join(src, name)); err == nil {
			return false
		}
	}
	_, err := ir.Locate(src)
	return err == nil
}
