package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

type embedReport struct {
	Outputs []embeddedText `json:"outputs"`
}

type embeddedText struct {
	Embedding []float32 `json:"embedding"`
}

func (a *app) embedCommand() *cobra.Command {
	var r textRequest
	var o runtime.EmbedOptions
	c := &cobra.Command{
		Use:   "embed MODEL --text TEXT | --texts FILE",
		Short: "Turn texts into vectors",
		Long: "Embed gives every text a vector of length 1: the mean of its tokens' vectors, or as the model directory\n" +
			"(1_Pooling/config.json) or --pooling says. The model must give vectors: a base model's last_hidden_state.",
		Example: "  ghostwriter embed encoder/ --text 'a gripping film' --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			pairs, err := r.read(cmd)
			if err != nil {
				return err
			}
			texts := make([]string, len(pairs))
			for i, p := range pairs {
				texts[i] = p.Text
			}
			m, err := r.open(a, args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.Close()) }()
			o.TextOptions = r.options
			out, err := m.Embed(cmd.Context(), texts, o)
			if err != nil {
				return err
			}
			return a.embedded(out)
		},
	}
	r.flags(c.Flags())
	c.Flags().StringVar(&o.Pooling, "pooling", "", "mean, cls, last or max (default: the model directory's, else mean)")
	c.Flags().BoolVar(&o.Raw, "raw", false, "leave the vectors at their own length")
	return c
}

func (a *app) embedded(vectors [][]float32) error {
	report := embedReport{Outputs: []embeddedText{}}
	for _, v := range vectors {
		report.Outputs = append(report.Outputs, embeddedText{v})
	}
	return a.print(report, func() {
		for _, v := range vectors {
			var b strings.Builder
			for i, x := range v {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(strconv.FormatFloat(float64(x), 'g', -1, 32))
			}
			a.printf("%s\n", b.String())
		}
	})
}
