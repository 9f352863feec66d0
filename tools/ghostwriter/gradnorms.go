package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

type gradnormsReport struct {
	Loss   numbers            `json:"loss"`
	Norm   numbers            `json:"norm"`
	Norms  map[string]numbers `json:"norms,omitempty"`
	Factor numbers            `json:"factor,omitempty"` // without groups
	Groups []groupReport      `json:"groups,omitempty"`
}

func (a *app) gradnormsCommand() *cobra.Command {
	var f modelFlags
	var o runtime.GradNormsOptions
	var method runtime.MethodOptions
	var batch, sum, clip, per, shares, precision, memory string
	c := &cobra.Command{
		Use:   "gradnorms MODEL --loss L --batch FILE",
		Short: "Per-example losses and gradient norms on raw tensors",
		Long: "Gradnorms computes, for every record of a batch, the loss, the L2 norm of its gradient and its clip factor.\n" +
			"--method loop takes one record at a time by plain reverse mode: the oracle that ghost is checked against.",
		Example: "  ghostwriter gradnorms model/ --loss causal-lm --batch batch.json --json\n" +
			"  ghostwriter gradnorms model/ --loss classify --batch batch.json --clip-norm 0.1 --sum sum.safetensors",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readBatch(batch)
			if err != nil {
				return err
			}
			m, err := a.open(args[0], f.output, f.head)
			if err != nil {
				return err
			}
			defer m.Close()
			o.Clip, o.Sum, o.Freeze = ghost.ClipRule(clip), sum != "", f.freeze
			if o.Trainable, err = m.Adapt(cmd.Context(), method, f.trainable); err != nil {
				return err
			}
			if o.Precision, err = ghost.ParsePrecision(precision); err != nil {
				return fmt.Errorf("%w: --precision: %v", errCommandLine, err)
			}
			if o.Memory, err = runtime.ParseMemoryMode(memory); err != nil {
				return err
			}
			o.ClipPer, o.ClipShares = ghost.Grouping(per), ghost.Sharing(shares)
			r, err := m.GradNorms(cmd.Context(), b, o)
			if err != nil {
				return err
			}
			a.notes(r.Selection.Lines())
			if sum != "" {
				if err := runtime.WriteTensors(sum, r.Sum, r.Shapes); err != nil {
					return err
				}
			}
			return a.print(gradnormsReport{r.Loss, r.Norm, byName(r.Norms), r.Factor, groupNorms(r.Groups)}, func() { a.gradnormsText(r) })
		},
	}
	f.add(c)
	fl := c.Flags()
	methodFlags(fl, "adapter", &method)
	fl.StringVar(&batch, "batch", "", "the batch file, JSON or .safetensors")
	fl.StringVar(&o.Loss, "loss", "", "causal-lm, classify, infill, masked-lm, seq2seq or mse")
	fl.StringVar(&o.Method, "method", "ghost", "ghost, or loop: one record at a time, the oracle")
	fl.Float64Var(&o.ClipNorm, "clip-norm", 0.1, "C, the clipping norm")
	fl.StringVar(&clip, "clip", "abadi", "abadi: min(1, C/norm); auto: C/(norm + gamma)")
	fl.Float64Var(&o.ClipGamma, "clip-gamma", 0.01, "gamma of automatic clipping")
	groupFlags(fl, &per, &shares)
	fl.StringVar(&sum, "sum", "", "write the sum of factor times gradient, by parameter, to this .safetensors file")
	fl.BoolVar(&o.PerParameter, "per-parameter", false, "also give each parameter's norms")
	fl.StringVar(&precision, "precision", "", "fp32, or with --device cuda fp16 or bf16: of the products of forward and backward (default fp32)")
	fl.StringVar(&memory, "memory", "", memoryHelp)
	fl.BoolVar(&o.TwoPass, "two-pass", false, "compute the sum in a second pass instead of by book-keeping")
	return c
}

func byName(m map[string][]float64) map[string]numbers {
	if m == nil {
		return nil
	}
	out := map[string]numbers{}
	for name, v := range m {
		out[name] = v
	}
	return out
}

func (a *app) gradnormsText(r *runtime.GradNorms) {
	if len(r.Groups) > 0 {
		a.groupsText(r)
		return
	}
	a.printf("%6s %14s %14s %14s\n", "record", "loss", "norm", "factor")
	for i := range r.Loss {
		a.printf("%6d %14.7g %14.7g %14.7g\n", i, r.Loss[i], r.Norm[i], r.Factor[i])
	}
}
