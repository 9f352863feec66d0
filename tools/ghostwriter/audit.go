package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// auditBanner heads every result: whoever reads it may learn which canaries were in.
const auditBanner = "NOT FOR RELEASE: an audit is computed from which canaries were in, and no epsilon covers it"

// errRefuted is the failure of an audit that finds the claim violated.
var errRefuted = errors.New("the implementation violates its claim")

// An auditInput is what the flags say.
type auditInput struct {
	audit.Options
	canaries int
	whiteBox bool
	figure   string
	train    runtime.FinetuneOptions
	seed     uint64
}

func (a *app) auditCommand() *cobra.Command {
	var in auditInput
	c := &cobra.Command{
		Use:   "audit [--white-box] [--model DIR --task T --train FILE]",
		Short: "Measure what training reveals, against the epsilon that it claims",
		Long: "Audit plants canaries, each in the data by a coin of its own, trains, and guesses from what was released which were in.\n" +
			"Too many right guesses refute the claimed epsilon: the printed lower bound of the true epsilon exceeds it, and the exit\n" +
			"code is 1. A bound below the claim proves nothing but that this attack found nothing.\n\n" +
			"Without a model the steps themselves are audited (--white-box), on made-up gradients: the sharpest check of sampling,\n" +
			"clipping norm, noise and accounting. The result is debug output: it is NOT covered by any epsilon.",
		Example: "  ghostwriter audit --target-epsilon 2 --delta 1e-5\n" +
			"  ghostwriter audit --sample-rate 0.05 --steps 100 --noise-multiplier 2 --plot audit.svg --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("seed") {
				in.train.Seed = &in.seed
			}
			return a.audit(cmd.Context(), &in, cmd.Flags())
		},
	}
	fl := c.Flags()
	trainFlags(fl, &in.train)
	fl.BoolVar(&in.whiteBox, "white-box", false, "canaries are gradients, the attacker sees every step's noised sum (default without --model)")
	fl.IntVar(&in.canaries, "canaries", 0, "how many (default 20000)")
	fl.Float64Var(&in.Significance, "significance", 0.05, "probability to refute a claim that is true; the confidence is 1 less this")
	fl.IntVar(&in.Guesses, "guesses", 0, "of how many canaries to guess, half of them in, half out (default: the number that would\nbest find out half the noise, from public numbers alone)")
	fl.StringVar(&in.figure, "plot", "", "write a figure (SVG): scores, ROC curve, bound and claim")
	fl.Uint64Var(&in.seed, "seed", 0, "make coins, samples and noise a function of this: for tests")
	return c
}

// whiteBoxFlags are those that make sense without a model.
var whiteBoxFlags = []string{
	"white-box", "canaries", "significance", "guesses", "plot", "seed",
	"target-epsilon", "noise-multiplier", "delta", "sample-rate", "steps", "accountant",
	"json", "ort-lib", "threads", "help",
}

func (a *app) audit(ctx context.Context, in *auditInput, given *pflag.FlagSet) error {
	if err := in.check(given); err != nil {
		return err
	}
	return a.auditSteps(ctx, in)
}

// check refuses flags that would have to be ignored, and numbers that are no default.
func (in *auditInput) check(given *pflag.FlagSet) (err error) {
	given.Visit(func(f *pflag.Flag) {
		if err != nil {
			return
		}
		if in.train.Model == "" && !slices.Contains(whiteBoxFlags, f.Name) {
			err = fmt.Errorf("%w: --%s is for the audit of a model: give --model too", errCommandLine, f.Name)
			return
		}
		switch f.Name {
		case "canaries", "guesses":
			if strings.HasPrefix(f.Value.String(), "-") || f.Value.String() == "0" {
				err = fmt.Errorf("%w: --%s %s must be at least 1", errCommandLine, f.Name, f.Value)
			}
		default:
			err = in.train.CheckGiven(f.Name)
		}
	})
	if dir, ferr := os.Stat(filepath.Dir(in.figure)); err == nil && in.figure != "" && (ferr != nil || !dir.IsDir()) {
		err = fmt.Errorf("%w: --plot %s: there is no such folder", errCommandLine, in.figure)
	}
	return err
}

// auditSteps audits dpadam's steps without a model.
func (a *app) auditSteps(ctx context.Context, in *auditInput) error {
	o := &in.train
	w := audit.WhiteBox{
		Canaries: or(in.canaries, 20000), Epsilon: o.TargetEpsilon, NoiseMultiplier: o.NoiseMultiplier, Delta: or(o.Delta, 1e-5),
		SampleRate: or(o.SampleRate, 1), Steps: or(o.Steps, 10), Accountant: o.Accountant, Seed: o.Seed, Options: in.Options,
	}
	if w.Epsilon == 0 && w.NoiseMultiplier == 0 {
		w.Epsilon = 2
	}
	r, err := w.Run(ctx)
	if err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("%d steps at sampling rate %g, noise multiplier %.6g", r.Steps, r.SampleRate, r.NoiseMultiplier)}
	if r.Power != nil {
		lines = append(lines, fmt.Sprintf("if half of the noise were missing, this audit would refute the claim with probability %.4f", *r.Power))
		if *r.Power < 0.5 {
			lines = append(lines, "WEAK: it would more probably miss that; take more --canaries, or a smaller epsilon to claim")
		}
	}
	lines = append(lines, fmt.Sprintf("noise: %.4f of the claimed standard deviation, %d of %d coordinates without any", r.Noise.Ratio, r.Noise.Missing, r.Noise.Drawn))
	if r.Sampling != nil {
		lines = append(lines, fmt.Sprintf("batches: Poisson, p = %.2g", r.Sampling.Least()))
	}
	report := stepsReport{auditHead{auditBanner, "white-box", r.Verdict()}, r}
	if err := a.printAudit(report, r.Result, "gradients in the steps of dpadam", lines); err != nil {
		return err
	}
	return a.auditOutcome(in, r.Result, r.Faults)
}

// An auditHead begins every report.
type auditHead struct {
	Debug   string `json:"debug_output"`
	Mode    string `json:"mode"`
	Verdict string `json:"verdict"`
}

type stepsReport struct {
	auditHead
	*audit.WhiteBoxResult
}

// printAudit prints the report as JSON, or what it says in lines.
func (a *app) printAudit(report any, r *audit.Result, what string, more []string) error {
	return a.print(report, func() {
		a.printf("%s\n\n", auditBanner)
		a.printf("canaries          %d %s, %d of them in\n", r.Canaries, what, r.Included)
		a.printf("guesses           %d, fixed in advance; %d right\n", r.Guesses, r.Correct)
		a.printf("lower bound       epsilon >= %s at confidence %.4g %% (%s with every guess right)\n", below(r.Bound), 100*(1-r.Significance), below(r.Most))
		if r.Gaussian != nil {
			a.printf("                  epsilon >= %s if the mechanism is Gaussian; this decides nothing\n", below(*r.Gaussian))
		}
		a.printf("claimed           epsilon = %s at delta = %s\n", above(&r.Claimed), exact(&r.Delta))
		a.printf("attack            area under the ROC curve %.4f, true positive rate %.4f at false positive rate 0.01, %.4f at 0.1\n", r.Area, r.At01, r.At1)
		for _, line := range more {
			a.printf("%s\n", line)
		}
	})
}

// auditOutcome writes the figure and turns a refuted claim into a failure.
func (a *app) auditOutcome(in *auditInput, r *audit.Result, faults []string) error {
	if in.figure != "" {
		if err := writeAuditFigure(in.figure, r); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "figure written to %s\n", in.figure)
	}
	switch {
	case r.Refuted:
		return fmt.Errorf("%w: the true epsilon is at least %s at confidence %.4g %%, claimed is %s at delta = %s",
			errRefuted, below(r.Bound), 100*(1-r.Significance), above(&r.Claimed), exact(&r.Delta))
	case faults != nil:
		return fmt.Errorf("%w: %s", errRefuted, strings.Join(faults, "; "))
	}
	if !a.json {
		a.printf("verdict           not refuted: this attack found no more than the claim allows; that is no proof of it\n")
	}
	return nil
}

// or is x, or the default if x is zero.
func or[T comparable](x, otherwise T) T {
	var zero T
	if x == zero {
		return otherwise
	}
	return x
}
