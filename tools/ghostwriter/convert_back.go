package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

func (a *app) convertToHF(cmd *cobra.Command, src string, f *conversion) error {
	o, err := f.resolve()
	if err != nil {
		return err
	}
	f.back.DType, f.back.Library = o.DType, a.library
	f.back.MaxShard = int64(f.maxShard)
	r, err := convert.ToHF(cmd.Context(), src, f.out, f.back)
	if err != nil {
		return err
	}
	if len(r.FromLike) > 0 {
		a.notes([]string{"not in the model, taken from --like: " + strings.Join(r.FromLike, ", ")})
	}
	if r.Why != "" {
		a.notes([]string{"the result was not compared with the model: " + r.Why})
	}
	return a.print(r, func() {
		a.printf("%s: %s, %d tensors, %d bytes in %s\n", r.Out, r.Class, r.Tensors, r.Bytes, strings.Join(r.Files, ", "))
		for _, e := range slices.Sorted(maps.Keys(r.Evidence)) {
			a.printf("  %4d by %s\n", r.Evidence[e], e)
		}
		if r.Compared != nil {
			a.printf("run beside the model, in its own precision, its %s differ by at most %.3g (largest value %.3g)\n", r.Compared.Output, r.Compared.MaxDifference, r.Compared.MaxValue)
		}
	})
}

// addBack declares the flags of --to hf.
func (f *conversion) addBack(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.back.Like, "like", "", "with --to hf: the Hugging Face directory that the model was exported from, where the model alone is ambiguous")
	fl.Var(&f.maxShard, "max-shard-size", "with --to hf: the largest safetensors file, such as 500M (default: 5 GB)")
	fl.BoolVar(&f.back.NoCompare, "no-compare", false, "with --to hf: do not run the result beside the model")
}
