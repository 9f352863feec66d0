package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// The report of estimate as JSON.
type (
	estimateReport struct {
		Epsilon         *float64              `json:"epsilon"`
		Delta           *float64              `json:"delta"`
		NoiseMultiplier float64               `json:"noise_multiplier"`
		SampleRate      float64               `json:"sample_rate"`
		Records         int64                 `json:"records"`
		Steps           int64                 `json:"steps"`
		ExpectedBatch   float64               `json:"expected_batch"`
		Microbatch      int                   `json:"microbatch"`
		MemoryMode      string                `json:"memory_mode"`
		Coordinates     int64                 `json:"coordinates"`
		Memory          memoryReport          `json:"memory"`
		Lengths         []lengthReport        `json:"lengths"`
		Time            *timeEstimateReport   `json:"time"`
		Recipe          string                `json:"recipe,omitempty"`
		BatchReason     string                `json:"batch_reason,omitempty"`
		Batches         []runtime.BatchChoice `json:"batches"`
		Warnings        []string              `json:"warnings"`
		NotPrivate      string                `json:"not_private,omitempty"`
	}
	memoryReport struct {
		runtime.MemoryUse
		Total int64 `json:"total"`
	}
	lengthReport struct {
		Tokens  int                  `json:"tokens"`
		Share   float64              `json:"share"`
		Peak    int64                `json:"peak"`
		Largest []runtime.LargeValue `json:"largest"`
		Seconds float64              `json:"seconds,omitempty"`
	}
	timeEstimateReport struct {
		Microbatches float64 `json:"microbatches"`
		Update       float64 `json:"update"`
		Step         float64 `json:"step"`
		Total        float64 `json:"total"`
		Predicted    bool    `json:"predicted"`
	}
)

func (a *app) estimateCommand() *cobra.Command {
	line := &trainLine{}
	var noMeasure bool
	c := &cobra.Command{
		Use:   "estimate --model DIR --task T (--train FILE | --records N)",
		Short: "What a training run will take: epsilon, noise, steps, memory and time",
		Long: "Estimate takes the flags of train, resolves them by the same code and prints what the run would take. It writes and\n" +
			"charges nothing. Without --train the number of records is --records, and all have the longest length.\n" +
			"Time is measured on this machine: the weights are loaded and one microbatch of each length is run; with --no-measure,\n" +
			"or where memory is short, it is predicted from the machine's rates in a second. See docs/estimate.md.",
		Example: "  ghostwriter estimate --model gpt2/ --task e2e --train trainset.csv --target-epsilon 8\n" +
			"  ghostwriter estimate --model gpt2/ --task lm --records 100000 --max-length 512 --target-epsilon 3 --max-memory 16G --no-measure --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := line.options(cmd.Flags())
			if err != nil {
				return err
			}
			a.commonOptions(&o)
			e, err := runtime.EstimateRun(cmd.Context(), o, runtime.EstimateOptions{Measure: !noMeasure})
			if err != nil {
				return err
			}
			return a.print(newEstimateReport(e), func() { a.printEstimate(e) })
		},
	}
	line.add(c.Flags())
	c.Flags().BoolVar(&noMeasure, "no-measure", false, "don't load the weights and time a microbatch: predict its time")
	return c
}

func newEstimateReport(e *runtime.Estimate) estimateReport {
	r := estimateReport{
		NoiseMultiplier: e.NoiseMultiplier, SampleRate: e.SampleRate, Records: e.Records, Steps: e.Steps, ExpectedBatch: e.ExpectedBatch,
		Microbatch: e.Microbatch, MemoryMode: string(e.Mode), Coordinates: e.Coordinates, Memory: memoryReport{e.Memory, e.Memory.Total()}, NotPrivate: e.Stamp,
		Recipe: e.Recipe, BatchReason: e.BatchReason, Batches: list(e.Batches), Warnings: list(e.Warnings),
	}
	if !math.IsNaN(e.Epsilon) {
		r.Epsilon, r.Delta = &e.Epsilon, &e.Delta
	}
	for _, l := range e.Lengths {
		r.Lengths = append(r.Lengths, lengthReport{l.Tokens, l.Share, l.Peak, list(l.Largest), l.Seconds})
	}
	if t := e.Time; t != nil {
		r.Time = &timeEstimateReport{t.Microbatches, t.Update, t.Step, t.Total, t.Predicted}
	}
	return r
}

func (a *app) printEstimate(e *runtime.Estimate) {
	if e.Stamp != "" {
		a.printf("%s\n", e.Stamp)
	}
	if !math.IsNaN(e.Epsilon) {
		a.printf("epsilon %s at delta %.3g, noise multiplier %.6g\n", above(&e.Epsilon), e.Delta, e.NoiseMultiplier)
	}
	a.printf("%d steps of %.6g records expected of %d (sample rate %.4g), in microbatches of %d\n", e.Steps, e.ExpectedBatch, e.Records, e.SampleRate, e.Microbatch)
	m := e.Memory
	a.printf("memory mode %s\n", e.Mode)
	a.printf("memory %s: process %s, weights %s, sums %s, exact sums %s, moments %s", size(m.Total()), size(m.Process), size(m.Weights), size(m.Sums), size(m.Lattice), size(m.Moments))
	if m.Average > 0 {
		a.printf(", average %s", size(m.Average))
	}
	a.printf(", sessions %s, garbage %s, microbatch %s (%s beside the moments)\n", size(m.Sessions), size(m.Garbage), size(m.Microbatch), size(m.Step))
	for _, l := range e.Lengths {
		a.printf("  %5d tokens: %5.1f %% of the records, peak %s", l.Tokens, 100*l.Share, size(l.Peak))
		if l.Seconds > 0 {
			a.printf(", %.3g s a microbatch", l.Seconds)
		}
		a.printf("\n")
	}
	a.printAdvice(e)
	if t := e.Time; t != nil {
		a.printf("time %s: a step %.3g s, of which noise and update %.3g s; without validation and checkpoints\n",
			strings.TrimSuffix(time.Duration(t.Total*float64(time.Second)).Round(time.Second).String(), "0s"), t.Step, t.Update)
		if t.Predicted {
			a.printf("  microbatches are predicted from this machine's rates of products and additions, not measured: %s\n", runtime.TimePrediction)
		}
	}
}

// size writes bytes as MB.
func size(n int64) string { return fmt.Sprintf("%d MB", n>>20) }
