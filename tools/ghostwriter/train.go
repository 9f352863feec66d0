package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

type trainReport struct {
	Steps           int64    `json:"steps"`
	Epsilon         *float64 `json:"epsilon"`
	Delta           *float64 `json:"delta"`
	NoiseMultiplier float64  `json:"noise_multiplier"`
	Out             string   `json:"out"`
	Planned         int64    `json:"planned_steps"`
	NotPrivate      string   `json:"not_private,omitempty"`
}

func (a *app) trainCommand() *cobra.Command {
	line := &trainLine{}
	c := &cobra.Command{
		Use:   "train --model DIR --task T --train FILE --out DIR",
		Short: "Fine-tune a model under differential privacy",
		Long: "Train fine-tunes an exported ONNX model with DP-Adam and writes the output directory: the model with its new\n" +
			"weights, the ledger of the privacy budget, checkpoints, and in release/ the privacy statement.\n" +
			"Ctrl-C ends the run after the step in progress, with a checkpoint; --resume --out DIR goes on with it.\n" +
			"Started by mpirun, several processes train together (docs/distributed.md).",
		Example: "  ghostwriter train --model gpt2/ --task e2e --train trainset.csv --target-epsilon 8 --out tuned/\n" +
			"  ghostwriter train --recipe sst2-infill --model roberta/ --train train.tsv --target-epsilon 3 --out tuned/\n" +
			"  ghostwriter train --config train.yaml --json\n" +
			"  ghostwriter train --resume --out tuned/",
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := line.options(cmd.Flags())
			if err != nil {
				return err
			}
			a.commonOptions(&options)
			return a.train(cmd.Context(), options)
		},
	}
	line.add(c.Flags())
	return c
}

// A trainLine is what the command line says of a run: the flags of train, which
// estimate takes too.
type trainLine struct {
	given  runtime.FinetuneOptions
	config string
	seed   uint64
}

func (l *trainLine) add(fl *pflag.FlagSet) {
	trainFlags(fl, &l.given)
	fl.StringVar(&l.config, "config", "", "a YAML file of the same names; flags go over it")
	fl.Uint64Var(&l.seed, "seed", 0, "make every random number a function of this: NOT PRIVATE, for tests")
}

// options lays the flags over the configuration file.
func (l *trainLine) options(fl *pflag.FlagSet) (runtime.FinetuneOptions, error) {
	if fl.Changed("seed") {
		l.given.Seed = &l.seed
	}
	return trainOptions(fl, &l.given, l.config)
}

// trainOptions lays the flags that were given over a configuration file, or over
// the options of the run to resume.
func trainOptions(flags *pflag.FlagSet, given *runtime.FinetuneOptions, config string) (runtime.FinetuneOptions, error) {
	var base runtime.FinetuneOptions
	var err error
	switch {
	case config != "":
		data, rerr := os.ReadFile(config)
		if rerr != nil {
			return base, fmt.Errorf("%w: --config: %v", errCommandLine, rerr)
		}
		base, err = runtime.ParseOptions(data)
	case given.Resume && given.Out != "" && given.Model == "":
		base, err = runtime.SavedOptions(given.Out)
	}
	if err != nil {
		return base, err
	}
	flags.Visit(func(f *pflag.Flag) {
		base.Take(f.Name, given)
		if err == nil {
			err = given.CheckGiven(f.Name)
		}
	})
	base.Resume = given.Resume
	return base, err
}

// train runs and reports.
func (a *app) train(ctx context.Context, o runtime.FinetuneOptions) error {
	world, err := a.openRanks()
	if err != nil {
		return err
	}
	if world != nil {
		o.Ranks = world
	}
	p := newTrainProgress(a.stderr)
	o.Progress, o.Stop = p, ctx.Done()
	r, err := runtime.Finetune(context.WithoutCancel(ctx), o)
	p.end()
	if r == nil || !a.speaks() {
		return err
	}
	report := trainReport{Steps: r.Steps, NoiseMultiplier: r.NoiseMultiplier, Out: r.Out, Planned: r.Planned, NotPrivate: r.Stamp}
	if !math.IsNaN(r.Epsilon) {
		report.Epsilon, report.Delta = &r.Epsilon, &r.Delta
	}
	perr := a.print(report, func() {
		if r.Stamp != "" {
			a.printf("%s\n", r.Stamp)
		} else {
			a.printf("epsilon %s at delta %.3g, noise multiplier %.6g\n", above(&r.Epsilon), r.Delta, r.NoiseMultiplier)
		}
		a.printf("%d of %d planned steps; written to %s\n", r.Steps, r.Planned, r.Out)
	})
	if err != nil {
		return err
	}
	return perr
}

// trainFlags binds the flags to the options; their names are those of the YAML.
func trainFlags(fl *pflag.FlagSet, o *runtime.FinetuneOptions) {
	fl.StringVar(&o.Model, "model", "", "the model directory, or its ONNX file")
	fl.StringVar(&o.Task, "task", "", "what the data are: "+strings.Join(runtime.Tasks(), ", ")+" (docs/tasks.md)")
	fl.StringVar(&o.Recipe, "recipe", "", "hyperparameters for what is not given, --task too (ghostwriter recipes; default: the task's)")
	fl.StringVar(&o.Train, "train", "", "the private training data")
	fl.StringVar(&o.Valid, "valid", "", "validation data, scored before and after")
	fl.StringVar(&o.Out, "out", "", "the directory to write")
	fl.StringVar(&o.Tokenizer, "tokenizer", "", "tokenizer file or directory (default: the model's own)")

	fl.StringSliceVar(&o.Sources, "sources", nil, "of dart and webnlg: only the texts from these corpora, such as webnlg or Wiki*")
	fl.StringSliceVar(&o.ExcludeSources, "exclude-sources", nil, "of dart and webnlg: without the texts from these corpora, such as e2e")

	fl.Float64Var(&o.TargetEpsilon, "target-epsilon", 0, "epsilon to keep to; the noise is calibrated for it")
	fl.Float64Var(&o.NoiseMultiplier, "noise-multiplier", 0, "standard deviation of the noise over the clipping norm, instead of --target-epsilon")
	fl.BoolVar(&o.NoPrivacy, "no-privacy", false, "ordinary training, without any guarantee: NOT PRIVATE")
	fl.StringVar(&o.Budget, "budget", "", "a budget file that several runs draw on (ghostwriter budget create); the whole plan is reserved before the first step")
	fl.Float64Var(&o.BudgetShare, "budget-share", 0, "the part of --budget that this run may take, up to 1; the noise is calibrated for it, instead of --target-epsilon or --noise-multiplier")
	fl.Float64Var(&o.Delta, "delta", 0, "delta (default 1/(2N))")
	fl.Int64Var(&o.Records, "records", 0, "N, the public number of records (default: the rows of the file)")
	fl.Float64Var(&o.SampleRate, "sample-rate", 0, "q, the probability of a record to be in a batch")
	fl.Float64Var(&o.ExpectedBatch, "expected-batch", 0, "q times N (default by task)")
	fl.Float64Var(&o.Epochs, "epochs", 0, "passes over the data (default by task)")
	fl.Int64Var(&o.Steps, "steps", 0, "optimizer steps, instead of --epochs")
	fl.StringVar(&o.UnitColumn, "unit-column", "", "protect users, not records: the column (or JSON field) whose value says whose record a row is;\n--records, --sample-rate and --expected-batch then count users")
	fl.IntVar(&o.RecordsPerUnit, "records-per-unit", 0, "the most records of a user in one step, chosen anew in each (default 8)")
	fl.StringVar(&o.Accountant, "accountant", "", "what prices the run: pld (default, tight), rdp, or prv (slow; to compare with the literature)")
	fl.StringVar(&o.Relation, "relation", "", "add-remove or replace-one")

	fl.StringVar(&o.Optimizer, "optimizer", "", "adam, adamw or sgd (default adam)")
	fl.Float64Var(&o.LearningRate, "lr", 0, "learning rate (default by task)")
	fl.StringVar(&o.Schedule, "schedule", "", "constant or linear (default by task)")
	fl.Float64Var(&o.WeightDecay, "weight-decay", 0, "of adamw")
	fl.Float64Var(&o.Momentum, "momentum", 0, "of sgd")
	fl.Float64Var(&o.ClipNorm, "clip-norm", 0, "C, the clipping norm (default 0.1)")
	fl.StringVar(&o.Clip, "clip", "", "abadi: min(1, C/norm); auto: C/(norm + gamma) (default abadi)")
	fl.Float64Var(&o.ClipGamma, "clip-gamma", 0, "gamma of automatic clipping (default 0.01)")
	groupFlags(fl, &o.ClipPer, &o.ClipShares)
	fl.Float64Var(&o.ClipQuantile, "clip-quantile", 0, "let the clipping norm, --clip-norm at first, follow this quantile of the gradients' norms under noise")
	fl.Float64Var(&o.ClipRate, "clip-rate", 0, "of --clip-quantile: how fast the clipping norm follows (default 0.2)")
	fl.Float64Var(&o.ClipCountNoise, "clip-count-noise", 0, "of --clip-quantile: standard deviation of the noise on the count of records within the norm\n(default the expected batch over 20, at least twice the noise multiplier)")
	fl.Float64Var(&o.EMA, "ema", 0, "write an exponential moving average of the weights with this decay, such as 0.999")

	fl.StringVar(&o.Mode, "mode", "", "classification by head or infill (default by the model's output)")
	fl.StringVar(&o.Method, "method", "", strings.Join(runtime.Methods(), ", ")+" (default full; docs/methods.md)")
	loraFlags(fl, &o.LoRARank, &o.LoRAAlpha, &o.LoRATargets)
	rgpFlags(fl, &o.RGPRank, &o.RGPTargets)
	prefixFlags(fl, &o.PrefixLength, &o.PrefixMid, &o.PrefixDirect)
	fl.BoolVar(&o.AdapterModel, "adapter-model", false, "lora: also write the model that takes onnxruntime's adapter, into adapter/")
	initSeedFlag(fl, &o.InitSeed)
	fl.StringVar(&o.Output, "output", "", "the output that the loss reads (default: logits, or the only one)")
	fl.StringVar(&o.Head, "head", "", "tied: give a base model a head tied to its token embedding")
	fl.StringSliceVar(&o.Trainable, "trainable", nil, patternsHelp)
	fl.StringSliceVar(&o.Freeze, "freeze", nil, "leave parameters that match as they are (kind:quantised too); may be repeated")
	fl.IntVar(&o.MaxLength, "max-length", 0, "longest record in tokens (default by task)")

	fl.IntVar(&o.Microbatch, "microbatch", 0, "records of one run (default by memory)")
	fl.Var(&o.MaxMemory, "max-memory", "memory of the run, as 16G; weights, sums and moments take 24 bytes for each trained number (28 with --ema), the microbatch the rest (default: what is free, a third of the rest)")
	fl.StringVar(&o.Precision, "precision", "", "fp32, or with --device cuda fp16 or bf16: of the products of forward and backward; norms and sums are fp32 (default fp32)")
	fl.StringVar(&o.Memory, "memory", "", "normal, low: compute again what a run would keep, for less memory and half as much time again, or auto: low where normal does not fit (default auto)")
	fl.BoolVar(&o.TwoPass, "two-pass", false, "norms in a first pass, sums in a second: less memory, more time")

	fl.Int64Var(&o.DPEvaluate, "dp-evaluate", 0, "how often to evaluate --valid as private data, with noise, paid for by epsilon")
	fl.StringVar(&o.Evaluation, "evaluation", "", "what --dp-evaluate computes: accuracy or loss (default: accuracy of a classifier, loss of a language model)")
	fl.Float64Var(&o.EvaluationNoise, "evaluation-noise", 0, "its noise, in numbers of records: an accuracy over n records gets noise of this over n (default 10)")
	fl.Float64Var(&o.EvaluationClip, "evaluation-clip", 0, "the most that one record's loss counts (default 5)")
	fl.Int64Var(&o.ValidRecords, "valid-records", 0, "the public number of records of --valid (default: the rows of the file)")
	fl.StringVar(&o.Keep, "keep", "", "last, or best: the weights with the best noised evaluation (default last)")

	fl.Int64Var(&o.CheckpointEvery, "checkpoint-every", 0, "steps between checkpoints (default: a tenth of the run)")
	fl.BoolVar(&o.Resume, "resume", false, "go on with the run in --out")
	fl.BoolVar(&o.Debug, "debug", false, "show the loss and write debug/: NOT covered by epsilon")
	fl.BoolVar(&o.ValidPublic, "valid-public", false, "--valid is public data: its loss may be released")
	fl.StringVar(&o.SamplePrompts, "sample-prompts", "", "file of public prompts, a line each, to generate from at the end")
	fl.IntVar(&o.MaxNewTokens, "sample-tokens", 0, "tokens for each of them (default 32)")
}
