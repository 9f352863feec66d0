package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

type portReport struct {
	valueReport
	Meaning  string `json:"meaning"`
	Optional bool   `json:"optional,omitempty"`
}

func (a *app) compileCommand() *cobra.Command {
	var f modelFlags
	var o runtime.CompileOptions
	var out, clip, per, shares, memory string
	var method runtime.MethodOptions
	c := &cobra.Command{
		Use:   "compile MODEL --loss L -o STEP.onnx",
		Short: "Write the differentially private step as a plain ONNX model",
		Long: "Compile writes an ONNX model that computes per-example losses, norms, clip factors and the sum of clipped\n" +
			"gradients. It runs on any stock onnxruntime, from any language. Weights are inputs whose defaults are the\n" +
			"model's present values. The sums are clipped, not noised: not private by themselves.",
		Example: "  ghostwriter compile model/ --loss causal-lm -o step.onnx --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return fmt.Errorf("%w: -o STEP.onnx is missing", errCommandLine)
			}
			m, err := a.open(args[0], f.output, f.head)
			if err != nil {
				return err
			}
			defer m.Close()
			o.Clip, o.Freeze = ghost.ClipRule(clip), f.freeze
			if o.Trainable, err = m.Adapt(cmd.Context(), method, f.trainable); err != nil {
				return err
			}
			o.ClipPer, o.ClipShares = ghost.Grouping(per), ghost.Sharing(shares)
			if o.Memory, err = runtime.ParseMemoryMode(memory); err != nil {
				return err
			}
			p, err := m.Compile(out, o)
			if err != nil {
				return err
			}
			a.notes(p.Selection.Lines())
			inputs, outputs := ports(p.Inputs), ports(p.Outputs)
			report := map[string]any{"inputs": inputs, "outputs": outputs}
			if len(p.Groups) > 0 {
				report["groups"] = groupReports(p.Groups, o.ClipNorm)
			}
			return a.print(report, func() {
				for _, in := range inputs {
					a.printf("input   %-60s %-8s %v  %s\n", in.Name, in.DType, in.Shape, in.Meaning)
				}
				for _, o := range outputs {
					a.printf("output  %-60s %-8s %v  %s\n", o.Name, o.DType, o.Shape, o.Meaning)
				}
				for _, g := range p.Groups {
					a.printf("group   %-60s %d coordinates in %d parameters, clipped to %.6g of C\n", g.Name, g.Coordinates, len(g.Parameters), g.Share)
				}
			})
		},
	}
	f.add(c)
	fl := c.Flags()
	methodFlags(fl, "method", &method)
	fl.StringVarP(&out, "out", "o", "", "the file to write")
	fl.StringVar(&o.Loss, "loss", "", "causal-lm, classify, infill, masked-lm, seq2seq or mse")
	fl.Float64Var(&o.ClipNorm, "clip-norm", 0.1, "C, the default of the input clip_norm")
	fl.StringVar(&clip, "clip", "abadi", "abadi: min(1, C/norm); auto: C/(norm + gamma)")
	fl.Float64Var(&o.ClipGamma, "clip-gamma", 0.01, "gamma of automatic clipping, the default of the input clip_gamma")
	groupFlags(fl, &per, &shares)
	fl.Int64Var(&o.Length, "length", 128, "sequence length to plan for; the step is right for every length")
	fl.BoolVar(&o.PerParameter, "per-parameter", false, "also give each parameter's norms")
	fl.StringVar(&memory, "memory", "", memoryHelp)
	return c
}

// memoryHelp is the help of --memory where nothing limits memory.
const memoryHelp = "normal, or low: compute again what the step would keep, for less memory and half as much time again (default normal)"

func ports(ps []ghost.Port) []portReport {
	out := []portReport{}
	for _, p := range ps {
		v := valueReport{Name: p.Name, DType: p.DType.String(), Shape: []any{}}
		for _, d := range p.Dims {
			if d.Param != "" {
				v.Shape = append(v.Shape, d.Param)
			} else {
				v.Shape = append(v.Shape, d.Value)
			}
		}
		out = append(out, portReport{v, p.Meaning, p.Optional})
	}
	return out
}
