package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A searchReport is what search prints. Of random stopping nothing in it tells how many runs
// there were.
type searchReport struct {
	Mode            string              `json:"mode"`
	Grid            int                 `json:"grid"`
	Epsilon         *float64            `json:"epsilon"` // random stopping: of the whole search
	Delta           *float64            `json:"delta"`
	NoiseMultiplier *float64            `json:"noise_multiplier,omitempty"`
	MeanRuns        *float64            `json:"mean_runs,omitempty"`
	Distribution    string              `json:"distribution,omitempty"`
	Reserved        *float64            `json:"reserved,omitempty"` // composition: of the budget
	Best            *runtime.SearchRun  `json:"best"`
	Runs            []runtime.SearchRun `json:"runs,omitempty"` // composition
	Out             string              `json:"out,omitempty"`
}

func (a *app) searchCommand() *cobra.Command {
	var config, mode, out, budget string
	var dry bool
	c := &cobra.Command{
		Use:   "search --config FILE.yaml",
		Short: "Search for hyperparameters under differential privacy",
		Long: "Search reads train's names from a YAML file, some with a list of values, and tries their combinations:\n" +
			"  composition      one run for each, all of them charged to a budget file; everything may be looked at\n" +
			"  random-stopping  a secret random number of runs, of which the best one is released: it costs little more than one\n" +
			"                   run, but the number of runs and the others stay secret. The time that it takes tells the number\n" +
			"                   of runs: nobody who may not know it may watch the clock.\n" +
			"The section search has mode, and for random stopping distribution, shape and mean-runs.",
		Example: "  ghostwriter search --config search.yaml --dry-run\n" +
			"  ghostwriter search --config search.yaml --mode composition --budget patients.budget --out tried/",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := readSearch(config)
			if err != nil {
				return err
			}
			if mode != "" {
				o.Mode = mode
			}
			if out != "" {
				o.Out = out
			}
			o.DryRun = dry
			for i := range o.Cells {
				a.commonOptions(&o.Cells[i].Options)
				if budget != "" {
					o.Cells[i].Options.Budget = budget
				}
			}
			return a.search(cmd.Context(), o)
		},
	}
	fl := c.Flags()
	fl.StringVar(&config, "config", "", "the YAML file")
	fl.StringVar(&mode, "mode", "", "composition or random-stopping, instead of the file's")
	fl.StringVar(&out, "out", "", "the directory to write, instead of the file's")
	fl.StringVar(&budget, "budget", "", "the budget file, instead of the file's")
	fl.BoolVar(&dry, "dry-run", false, "say what the search costs, and stop")
	return c
}

func readSearch(path string) (runtime.SearchOptions, error) {
	if path == "" {
		return runtime.SearchOptions{}, fmt.Errorf("%w: --config FILE.yaml is missing", errCommandLine)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return runtime.SearchOptions{}, fmt.Errorf("%w: --config: %v", errCommandLine, err)
	}
	return runtime.ParseSearch(data)
}

// commonOptions lays the flags of every verb over a run's options.
func (a *app) commonOptions(o *runtime.FinetuneOptions) {
	if a.library != "" {
		o.Library = a.library
	}
	if a.threads != 0 {
		o.Threads = a.threads
	}
	if a.device != "" {
		o.Device = a.device
	}
}

func (a *app) search(ctx context.Context, o runtime.SearchOptions) error {
	p := newTrainProgress(a.stderr)
	o.Progress, o.Stop = p, ctx.Done()
	r, err := runtime.Search(context.WithoutCancel(ctx), o)
	p.end()
	if r == nil {
		return err
	}
	perr := a.print(reportOf(r), func() { a.printSearch(r, o.DryRun) })
	if err != nil {
		return err
	}
	return perr
}

func reportOf(r *runtime.SearchResult) searchReport {
	out := searchReport{Mode: r.Mode, Grid: r.Grid, Epsilon: finite(r.Epsilon), Delta: finite(r.Delta), Best: r.Best, Runs: r.Runs, Out: r.Out}
	if r.Search != nil {
		out.NoiseMultiplier, out.MeanRuns, out.Distribution = &r.NoiseMultiplier, &r.Search.Mean, r.Search.Distribution
	} else {
		out.Reserved = &r.Reserved
	}
	return out
}

func (a *app) printSearch(r *runtime.SearchResult, dry bool) {
	if r.Search != nil {
		a.printf("epsilon %s at delta %.3g for the whole search: %.4g runs in expectation over %d cells, noise multiplier %.6g each\n",
			above(&r.Epsilon), r.Delta, r.Search.Mean, r.Grid, r.NoiseMultiplier)
	} else {
		verb := "is taken"
		if dry {
			verb = "would be taken"
		}
		a.printf("%.2f %% of the budget %s\n", math.Ceil(r.Reserved*1e4)/100, verb)
	}
	for _, run := range r.Runs {
		a.printf("%s %v: %d steps%s\n", filepath.Base(run.Out), run.Settings, run.Steps, scoreText(run.Score))
	}
	if r.Best != nil {
		a.printf("best: %v%s; written to %s\n", r.Best.Settings, scoreText(r.Best.Score), r.Best.Out)
	}
}

func scoreText(score *float64) string {
	if score == nil {
		return ""
	}
	return fmt.Sprintf(", score %.4f", *score)
}
