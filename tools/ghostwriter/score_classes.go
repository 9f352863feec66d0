package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
)

// A classReport is the scores of predicted classes.
type classReport struct {
	Accuracy float64            `json:"accuracy"`
	F1       *float64           `json:"f1"` // of the positive class; null without one
	MacroF1  float64            `json:"macro_f1"`
	Matthews float64            `json:"matthews"`
	PerClass map[string]float64 `json:"f1_by_class"`
	Rows     int                `json:"rows"`
}

func (a *app) scoreClassifyCommand() *cobra.Command {
	var r scoreRequest
	var positive, task string
	c := &cobra.Command{
		Use:   "classify --refs FILE --outputs FILE",
		Short: "Accuracy, F1 and Matthews' coefficient of predicted classes",
		Long: "Both files have a class a line, by any name. With --task, --refs is a data file of that task, and predictions are its\n" +
			"classes' names or numbers.",
		Example: "  ghostwriter score classify --refs labels.txt --outputs predictions.txt\n" +
			"  ghostwriter score classify --task qqp --refs dev.tsv --outputs predictions.txt --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(1); err != nil {
				return err
			}
			predictions, err := metrics.ReadLines(r.outputs)
			if err != nil {
				return err
			}
			var labels []string
			if task == "" {
				labels, err = metrics.ReadLines(r.refs[0])
			} else if labels, err = runtime.ReadLabels(cmd.Context(), task, r.refs[0]); err == nil {
				predictions = runtime.LabelNames(task, predictions)
			}
			if err != nil {
				return err
			}
			if len(predictions) != len(labels) {
				return fmt.Errorf("%w: %s has %d predictions, %s has %d labels", errCommandLine, r.outputs, len(predictions), r.refs[0], len(labels))
			}
			report, err := scoreClasses(labels, predictions, positive)
			if err != nil {
				return err
			}
			return a.print(report, func() { a.printClasses(report) })
		},
	}
	r.fileFlags(c)
	c.Flags().StringVar(&positive, "positive", "1", "the class whose F1 is meant by F1")
	c.Flags().StringVar(&task, "task", "", "--refs is a data file of this task")
	return c
}

// scoreClasses numbers the classes of two lists and scores them.
func scoreClasses(labels, predictions []string, positive string) (*classReport, error) {
	names := slices.Compact(slices.Sorted(slices.Values(slices.Concat(labels, predictions))))
	number := func(list []string) []int {
		out := make([]int, len(list))
		for i, name := range list {
			out[i], _ = slices.BinarySearch(names, name)
		}
		return out
	}
	c, err := metrics.NewConfusion(number(predictions), number(labels), len(names))
	if err != nil {
		return nil, err
	}
	report := &classReport{Accuracy: c.Accuracy(), MacroF1: c.MacroF1(), Matthews: c.Matthews(), PerClass: map[string]float64{}, Rows: c.Total}
	for k, name := range names {
		f1 := c.F1(k)
		if report.PerClass[name] = f1; name == positive {
			report.F1 = &f1
		}
	}
	return report, nil
}

func (a *app) printClasses(r *classReport) {
	a.printf("accuracy  %.4f\n", r.Accuracy)
	if r.F1 != nil {
		a.printf("F1        %.4f\n", *r.F1)
	}
	a.printf("macro F1  %.4f\nMatthews  %.4f\nrows      %d\n", r.MacroF1, r.Matthews, r.Rows)
	a.printf("classes   %s\n", strings.Join(slices.Sorted(maps.Keys(r.PerClass)), ", "))
}
