package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

type tensorReport struct {
	DType string  `json:"dtype"`
	Shape []int64 `json:"shape"`
	Data  any     `json:"data"`
}

func (a *app) runCommand() *cobra.Command {
	var batch string
	c := &cobra.Command{
		Use:     "run MODEL --batch FILE",
		Short:   "Run the forward pass on raw tensors",
		Example: "  ghostwriter run model/ --batch batch.json --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readBatch(batch)
			if err != nil {
				return err
			}
			m, err := a.open(args[0], "", "")
			if err != nil {
				return err
			}
			defer m.Close()
			out, err := m.Run(cmd.Context(), b.Inputs)
			if err != nil {
				return err
			}
			report := map[string]tensorReport{}
			for name, t := range out {
				if report[name], err = tensor(t); err != nil {
					return fmt.Errorf("output %q: %w", name, err)
				}
			}
			return a.print(map[string]any{"outputs": report}, func() {
				for name, t := range report {
					a.printf("%s %s %v\n", name, t.DType, t.Shape)
				}
			})
		},
	}
	c.Flags().StringVar(&batch, "batch", "", "the batch file, JSON or .safetensors")
	return c
}

// readBatch reads the file of a --batch flag, which must be given.
func readBatch(path string) (*runtime.Batch, error) {
	if path == "" {
		return nil, fmt.Errorf("%w: --batch FILE is missing", errCommandLine)
	}
	return runtime.ReadBatch(path)
}

func tensor(t *ort.Tensor) (tensorReport, error) {
	r := tensorReport{DType: t.DType().String(), Shape: list(t.Shape())}
	var err error
	switch t.DType() {
	case ort.Float32:
		var v []float32
		if v, err = ort.Data[float32](t); err == nil {
			wide := make(numbers, len(v))
			for i, x := range v {
				wide[i] = float64(x)
			}
			r.Data = wide
		}
	case ort.Float64:
		var v []float64
		v, err = ort.Data[float64](t)
		r.Data = numbers(v)
	case ort.Int64:
		r.Data, err = ort.Data[int64](t)
	case ort.Int32:
		r.Data, err = ort.Data[int32](t)
	case ort.Bool:
		r.Data, err = ort.Data[bool](t)
	case ort.Float16, ort.BFloat16:
		r.Data, err = runtime.HalfData(t)
	default:
		err = fmt.Errorf("type %v is not printed", t.DType())
	}
	return r, err
}
