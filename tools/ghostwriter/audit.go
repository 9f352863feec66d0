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
			"Without a model the steps themselves are audited, on made-up gradients: the sharpest check of sampling, clipping norm,\n" +
			"noise and accounting. With --model, --task and --train the whole of train is, with its flags: the canaries are records of\n" +
			"random words, and the attacker sees the written model; with --white-box they are gradients beside those of the data, and\n" +
			"he sees every step's noised sum. With --noise-multiplier or --no-privacy beside it, --target-epsilon is the claim to audit.\n\n" +
			"The result is debug output: it is NOT covered by any epsilon.",
		Example: "  ghostwriter audit --target-epsilon 2 --delta 1e-5\n" +
			"  ghostwriter audit --target-epsilon 8 --bound gaussian\n" +
			"  ghostwriter audit --sample-rate 0.05 --steps 100 --noise-multiplier 2 --plot audit.svg --json\n" +
			"  ghostwriter audit --model gpt2/ --task lm --train texts.jsonl --target-epsilon 2 --canaries 1000\n" +
			"  ghostwriter audit --white-box --model gpt2/ --task lm --train texts.jsonl --target-epsilon 2",
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
	fl.IntVar(&in.canaries, "canaries", 0, "how many (default 20000; 1000 if they are records)")
	fl.Float64Var(&in.Significance, "significance", 0.05, "probability to refute a claim that is true; the confidence is 1 less this")
	fl.IntVar(&in.Guesses, "guesses", 0, "of how many canaries to guess, half of them in, half out (default: the number that would\nbest find out half the noise, from public numbers alone)")
	fl.StringVar((*string)(&in.Method), "bound", "", "one-run: refutes (epsilon, delta) of any mechanism; gaussian: refutes that so much Gaussian noise was added,\n"+
		"sharp at large epsilon too, for --white-box without sampling (default one-run)")
	fl.StringVar(&in.figure, "plot", "", "write a figure (SVG): scores, ROC curve, bound and claim")
	fl.Uint64Var(&in.seed, "seed", 0, "make coins, samples and noise a function of this: for tests")
	return c
}

// whiteBoxFlags are those that make sense without a model.
var whiteBoxFlags = []string{
	"white-box", "canaries", "significance", "guesses", "bound", "plot", "seed",
	"target-epsilon", "noise-multiplier", "delta", "sample-rate", "steps", "accountant",
	"json", "ort-lib", "threads", "help",
}

func (a *app) audit(ctx context.Context, in *auditInput, given *pflag.FlagSet) error {
	if err := in.check(given); err != nil {
		return err
	}
	if in.train.Model == "" {
		return a.auditSteps(ctx, in)
	}
	return a.auditTraining(ctx, in)
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
	report := stepsReport{auditHead{auditBanner, "white-box", r.Verdict()}, r}
	if err := a.printAudit(report, r.Result, "gradients in the steps of dpadam", stepLines(r)); err != nil {
		return err
	}
	return a.auditOutcome(in, r.Result, r.Faults)
}

// stepLines say what a white-box audit saw of the steps.
func stepLines(r *audit.WhiteBoxResult) []string {
	lines := []string{fmt.Sprintf("steps             %d at sampling rate %.6g, noise multiplier %.6g", r.Steps, r.SampleRate, r.NoiseMultiplier)}
	if r.Power != nil {
		lines = append(lines, fmt.Sprintf("power             %.4f: the probability to refute the claim if half of the noise were missing", *r.Power))
		if *r.Power < 0.5 {
			lines = append(lines, "                  WEAK: it would more probably miss that; take --bound gaussian, more --canaries, or a smaller claim")
		}
	}
	lines = append(lines, fmt.Sprintf("noise             %.4f of its standard deviation, %d of %d coordinates without any", r.Noise.Ratio, r.Noise.Missing, r.Noise.Drawn))
	if r.Sampling != nil {
		lines = append(lines, fmt.Sprintf("batches           Poisson samples, p = %.2g", r.Sampling.Least()))
	}
	return lines
}

// auditTraining audits a training run.
func (a *app) auditTraining(ctx context.Context, in *auditInput) error {
	o := runtime.AuditOptions{Train: in.train, WhiteBox: in.whiteBox, Canaries: in.canaries, Options: in.Options}
	o.Train.Library, o.Train.Threads, o.Train.Device = a.library, a.threads, a.device
	if o.Canaries == 0 {
		o.Canaries = map[bool]int{true: 20000, false: 1000}[in.whiteBox]
	}
	if o.Train.NoiseMultiplier != 0 || o.Train.NoPrivacy {
		o.Claim, o.Train.TargetEpsilon = o.Train.TargetEpsilon, 0
	}
	p := newTrainProgress(a.stderr)
	o.Train.Progress = p
	r, err := runtime.Audit(ctx, o)
	p.end()
	if err != nil {
		return err
	}
	run := trainingRun{Steps: r.Run.Steps, NoiseMultiplier: r.Run.NoiseMultiplier, Out: in.train.Out, NotPrivate: r.Run.Stamp}
	if r.WhiteBox != nil {
		report := trainingStepsReport{stepsReport{auditHead{auditBanner, "white-box", r.WhiteBox.Verdict()}, r.WhiteBox}, run}
		if err := a.printAudit(report, r.Result, "gradients in a training run", stepLines(r.WhiteBox)); err != nil {
			return err
		}
		return a.auditOutcome(in, r.Result, r.WhiteBox.Faults)
	}
	report := recordsReport{auditHead{auditBanner, "records", r.Verdict()}, r.Result, run}
	line := fmt.Sprintf("training          %d steps, noise multiplier %.6g", run.Steps, run.NoiseMultiplier)
	if err := a.printAudit(report, r.Result, "records of random words", []string{line}); err != nil {
		return err
	}
	return a.auditOutcome(in, r.Result, nil)
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

// A trainingRun is the run that was audited.
type trainingRun struct {
	Steps           int64   `json:"steps"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
	Out             string  `json:"out,omitempty"`
	NotPrivate      string  `json:"not_private,omitempty"`
}

type trainingStepsReport struct {
	stepsReport
	Run trainingRun `json:"run"`
}

type recordsReport struct {
	auditHead
	*audit.Result
	Run trainingRun `json:"run"`
}

// What a bound assumes, and what the other one does, by the deciding method.
var (
	assuming  = map[audit.Method]string{audit.MethodGaussian: ", the mechanism being Gaussian"}
	otherwise = map[audit.Method]string{audit.MethodGaussian: " of whatever mechanism", audit.MethodOneRun: " if the mechanism is Gaussian"}
)

// printAudit prints the report as JSON, or what it says in lines.
func (a *app) printAudit(report any, r *audit.Result, what string, more []string) error {
	return a.print(report, func() {
		a.printf("%s\n\n", auditBanner)
		a.printf("canaries          %d %s, %d of them in (fewer than %d could not refute this claim)\n", r.Canaries, what, r.Included, r.Fewest)
		a.printf("guesses           %d, fixed in advance; %d right\n", r.Guesses, r.Correct)
		a.printf("lower bound       epsilon >= %s at confidence %.4g %%%s (%s with every guess right)\n", below(r.Bound), 100*(1-r.Significance), assuming[r.Method], below(r.Most))
		if r.Other != nil {
			a.printf("                  epsilon >= %s%s; this decides nothing\n", below(*r.Other), otherwise[r.Method])
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
