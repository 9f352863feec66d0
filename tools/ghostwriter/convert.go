package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

// A conversion is one command line of convert.
type conversion struct {
	options     convert.Options
	to, out     string
	head, dtype string

	back     convert.BackOptions // of --to hf
	maxShard runtime.Bytes

	triton convert.TritonOptions // of --to triton

	quantize convert.QuantizeOptions
	bits     string
}

// targets are what convert writes, by the value of --to.
var targets = map[string]func(a *app, cmd *cobra.Command, src string, f *conversion) error{
	"onnx":   (*app).convertToONNX,
	"hf":     (*app).convertToHF,
	"triton": (*app).convertToTriton,
}

func (a *app) convertCommand() *cobra.Command {
	f := &conversion{}
	c := &cobra.Command{
		Use:   "convert SRC --to onnx|hf|triton -o DST",
		Short: "Convert a checkpoint to an ONNX model directory, a model back, or to a Triton repository",
		Long: "Convert writes the ONNX graph of a Hugging Face directory (config.json, safetensors) and copies its tokenizer.\n" +
			"The model takes what transformers' forward takes and gives logits; with --cache it takes and gives the keys and\n" +
			"values of earlier tokens too, and SRC may then also be an ONNX model that has none. See docs/convert.md.",
		Example: "  ghostwriter convert gpt2-hf/ --to onnx -o gpt2/\n" +
			"  ghostwriter convert gpt2-hf/ --to onnx -o classifier/ --head classify --labels 3 --seed 1\n" +
			"  ghostwriter convert tuned/ --to hf -o tuned-hf/\n" +
			"  ghostwriter convert tuned/ --to triton -o repository/ --name tuned\n" +
			"  ghostwriter convert tuned/ --quantize int8 -o small/",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			run, ok := targets[f.to]
			if !ok {
				return fmt.Errorf("%w: --to %q; it is one of %s", errCommandLine, f.to, strings.Join(slices.Sorted(maps.Keys(targets)), ", "))
			}
			return run(a, cmd, args[0], f)
		},
	}
	c.Flags().StringVar(&f.to, "to", "onnx", "what to write: "+strings.Join(slices.Sorted(maps.Keys(targets)), ", "))
	f.add(c)
	f.addBack(c)
	f.addTriton(c)
	f.addQuantize(c)
	c.AddCommand(a.convertNewCommand())
	return c
}

// add declares the flags of a graph that is written.
func (f *conversion) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVarP(&f.out, "out", "o", "", "the directory to write; it must not exist or be empty")
	fl.StringVar(&f.head, "head", "", "lm, mlm, classify or none (default: what config.json's architectures name)")
	fl.Int64Var(&f.options.Labels, "labels", 0, "classes of a new classification head (default: config.json's)")
	fl.Uint64Var(&f.options.Seed, "seed", 0, "draws weights that no checkpoint gives")
	fl.BoolVar(&f.options.Cache, "cache", false, "with inputs and outputs for the keys and values of earlier tokens")
	fl.StringVar(&f.dtype, "dtype", "", "store weights as float32, float16 or bfloat16 (default: as the checkpoint does)")
	fl.BoolVar(&f.options.External, "external-data", false, "store weights in model.onnx_data (always from 1.8 GB on)")
}

// weightTypes by the value of --dtype.
var weightTypes = map[string]ir.DType{"": ir.Undefined, "float32": ir.Float32, "float16": ir.Float16, "bfloat16": ir.BFloat16}

// resolve checks the flags of a graph that is written.
func (f *conversion) resolve() (convert.Options, error) {
	o := f.options
	if f.out == "" {
		return o, fmt.Errorf("%w: -o DST is missing", errCommandLine)
	}
	d, ok := weightTypes[f.dtype]
	if !ok {
		return o, fmt.Errorf("%w: --dtype %q; it is float32, float16 or bfloat16", errCommandLine, f.dtype)
	}
	o.DType, o.Head = d, convert.Head(f.head)
	return o, nil
}

func (a *app) convertToONNX(cmd *cobra.Command, src string, f *conversion) error {
	if f.options.Cache && isONNX(src) {
		return a.convertWithCache(cmd, src, f)
	}
	o, err := f.resolve()
	if err != nil {
		return err
	}
	if f.bits != "" {
		return a.convertQuantized(cmd, src, f, o)
	}
	r, err := convert.ToONNX(cmd.Context(), src, f.out, o)
	if err != nil {
		return err
	}
	return a.converted(r)
}

func (a *app) convertNewCommand() *cobra.Command {
	f := &conversion{}
	var config string
	c := &cobra.Command{
		Use:   "new --config config.json -o DST",
		Short: "Write a model with random weights",
		Long: "New writes the model that a config.json describes, with the initial weights that transformers would draw (from a\n" +
			"random generator of our own), for training from scratch and for benchmarks of any size.",
		Example: "  ghostwriter convert new --config config.json -o model/ --seed 1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return fmt.Errorf("%w: --config config.json is missing", errCommandLine)
			}
			o, err := f.resolve()
			if err != nil {
				return err
			}
			r, err := convert.New(cmd.Context(), config, f.out, o)
			if err != nil {
				return err
			}
			return a.converted(r)
		},
	}
	c.Flags().StringVar(&config, "config", "", "the model's config.json")
	f.add(c)
	return c
}

// converted reports what was written.
func (a *app) converted(r *convert.Report) error {
	a.notes(r.Notes)
	if len(r.Fresh) > 0 {
		a.notes([]string{"not in the checkpoint, drawn from --seed: " + strings.Join(r.Fresh, ", ")})
	}
	if n := len(r.Unused); n > 0 {
		a.notes([]string{fmt.Sprintf("%d tensors of the checkpoint are not used: %s", n, strings.Join(r.Unused[:min(n, 8)], ", "))})
	}
	return a.print(r, func() {
		a.printf("%s: %s, %d parameters, %d bytes\n", r.Out, r.Class, r.Parameters, r.Bytes)
		a.printf("inputs   %s\noutputs  %s\n", few(r.Inputs), few(r.Outputs))
	})
}

// few joins names, the rest of a long list counted: a cache has two for each layer.
func few(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], " "), len(names)-shown)
}
