package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

type classifyReport struct {
	Outputs []classifiedText `json:"outputs"`
}

type classifiedText struct {
	Label  string             `json:"label"`
	Score  float64            `json:"score"`
	Scores map[string]float64 `json:"scores"`
}

func (a *app) classifyCommand() *cobra.Command {
	var r textRequest
	var raw bool
	c := &cobra.Command{
		Use:   "classify MODEL --text TEXT [--pair TEXT] | --texts FILE",
		Short: "Classify texts",
		Long: "Classify gives every text its most probable class and the score of each: a softmax, or as config.json's\n" +
			"problem_type says. The names of the classes are config.json's id2label.",
		Example: "  ghostwriter classify tuned/ --text 'a gripping film'\n" +
			"  ghostwriter classify nli/ --texts pairs.jsonl --json-lines --json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			texts, err := r.read(cmd)
			if err != nil {
				return err
			}
			return a.classify(cmd, args[0], &r, texts, raw)
		},
	}
	r.flags(c.Flags())
	c.Flags().StringVar(&r.pair, "pair", "", "a second text for every text")
	c.Flags().BoolVar(&raw, "raw-scores", false, "print logits")
	return c
}

func (a *app) classify(cmd *cobra.Command, model string, r *textRequest, texts []runtime.TextPair, raw bool) (err error) {
	m, err := r.open(a, model)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	out, err := m.Classify(cmd.Context(), texts, runtime.ClassifyOptions{TextOptions: r.options, RawScores: raw})
	if err != nil {
		return err
	}
	report := classifyReport{Outputs: []classifiedText{}}
	for _, c := range out {
		best := c.Best()
		t := classifiedText{Label: c.Labels[best], Score: c.Scores[best], Scores: map[string]float64{}}
		for k, label := range c.Labels {
			t.Scores[label] = c.Scores[k]
		}
		report.Outputs = append(report.Outputs, t)
	}
	return a.print(report, func() {
		for _, t := range report.Outputs {
			a.printf("%s\t%.6f\n", t.Label, t.Score)
		}
	})
}
