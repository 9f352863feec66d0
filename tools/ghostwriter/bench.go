package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

// A benching is one command line of bench.
type benching struct {
	options      runtime.BenchOptions
	models       []string
	shapes, out  string
	peers, merge []string
	noPeak       bool
	decode       bool
	peakOf       string
}

func (a *app) benchCommand() *cobra.Command {
	f := &benching{}
	c := &cobra.Command{
		Use:   "bench --model gpt2",
		Short: "Measure what privacy costs: time and memory of a training step",
		Long: "Bench times one microbatch of synthetic records in turn: not private, private by one pass and by two, onnxruntime's\n" +
			"forward pass alone, and the matrix products alone, which are the ceiling. Peak memory is taken in processes of their own.\n" +
			"--model is a model file or directory, or a shape whose random weights are made on first use: " + strings.Join(convert.Shapes(), ", ") + ".\n" +
			"See docs/performance.md.",
		Example: "  ghostwriter bench --model gpt2 --length 100 --microbatch 8\n" +
			"  ghostwriter bench --model roberta-base,distilbert --length 32,64,128 --microbatch 1,8,32 --rounds 3 --out out/bench\n" +
			"  ghostwriter bench --model gpt2 --decode --length 32,512 --microbatch 1,8\n" +
			"  ghostwriter bench --model gpt2 --peers 'python3 tools/reference/reference.py'\n" +
			"  ghostwriter bench --merge ours/bench.json,peers.json --out out/bench",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.device != "" && a.device != "cpu" {
				return fmt.Errorf("%w: bench measures the processor, not --device %s", errCommandLine, a.device)
			}
			return a.bench(cmd.Context(), f)
		},
	}
	f.add(c)
	return c
}

func (f *benching) add(c *cobra.Command) {
	fl, o := c.Flags(), &f.options
	fl.StringSliceVar(&f.models, "model", []string{"gpt2"}, "model files, directories or shapes")
	fl.StringVar(&o.Loss, "loss", "", "loss of the step (default: causal-lm for logits of tokens, classify otherwise)")
	fl.StringVar(&o.Output, "output", "", "the output that the loss reads (default: logits, or the only one)")
	fl.StringVar(&o.Head, "head", "", "tied: give a base model a head tied to its token embedding")
	fl.IntSliceVar(&o.Lengths, "length", []int{100}, "lengths of the records in tokens")
	fl.IntSliceVar(&o.Microbatches, "microbatch", []int{8}, "records of a microbatch")
	fl.StringSliceVar(&o.Variants, "variants", nil, "what to measure, of "+strings.Join(runtime.BenchVariants(), ", ")+" (default: all; logical with --logical, those of low memory with --memory low)")
	fl.StringVar((*string)(&o.Memory), "memory", "", "low: also measure the private steps with --memory low")
	fl.IntVar(&o.Rounds, "rounds", 5, "how often each is timed")
	fl.IntVar(&o.Logical, "logical", 0, "also time a whole private step of this many records, with noise and Adam")
	fl.Var(&o.MaxMemory, "max-memory", "skip what would need more, for example 8G (default: what is free)")
	fl.BoolVar(&f.noPeak, "no-peak", false, "leave peak memory out: it runs each variant once more")
	fl.BoolVar(&f.decode, "decode", false, "time serving instead: a token of each of --microbatch texts of --length tokens, against the session's runs alone")
	fl.StringVar(&f.shapes, "shapes", "", "folder for the models of shapes (default: in the user's cache)")
	fl.StringArrayVar(&f.peers, "peers", nil, "a program that times its own step in the same rounds (tools/reference)")
	fl.StringVar(&f.out, "out", "", "folder for bench.json and the figures")
	fl.StringSliceVar(&f.merge, "merge", nil, "measure nothing: join bench.json files")
	fl.StringVar(&f.peakOf, "peak-of", "", "run this variant alone and print the process's peak memory")
	_ = fl.MarkHidden("peak-of") // it exists
}

func (a *app) bench(ctx context.Context, f *benching) error {
	if f.peakOf != "" {
		return a.benchPeak(ctx, f)
	}
	var r *runtime.BenchReport
	var err error
	if len(f.merge) > 0 {
		r, err = mergeReports(f.merge)
	} else {
		r, err = a.benchModels(ctx, f)
	}
	interrupted := errors.Is(err, runtime.ErrInterrupted)
	if err != nil && !interrupted {
		return err
	}
	if f.out != "" {
		if err := writeBench(f.out, r); err != nil {
			return err
		}
	}
	return errors.Join(a.print(r, func() { a.benchTable(r) }), err)
}

// benchModels measures every model.
func (a *app) benchModels(ctx context.Context, f *benching) (_ *runtime.BenchReport, err error) {
	o := f.options
	for _, command := range f.peers {
		p := &runtime.BenchPeer{Command: command}
		defer func() { err = errors.Join(err, p.Close()) }()
		o.Peers = append(o.Peers, p)
	}
	var all *runtime.BenchReport
	for _, name := range f.models {
		o, err := a.benchOptions(ctx, f, o, name)
		if err != nil {
			return nil, err
		}
		measure := runtime.Bench
		if f.decode {
			measure = runtime.BenchDecode
		}
		r, err := measure(ctx, o)
		if r == nil {
			return nil, err
		}
		if all == nil {
			all = r
		} else {
			all.Cells = append(all.Cells, r.Cells...)
		}
		if err != nil {
			return all, err
		}
	}
	if all == nil {
		return nil, fmt.Errorf("%w: --model names nothing", errCommandLine)
	}
	return all, nil
}

// benchOptions settles the options of one model.
func (a *app) benchOptions(ctx context.Context, f *benching, o runtime.BenchOptions, name string) (runtime.BenchOptions, error) {
	o.Model, o.Name, o.Library, o.Threads = name, filepath.Base(filepath.Clean(name)), a.library, a.threads
	_, err := os.Stat(name)
	if shape, ok := convert.ShapeOf(name); ok && err != nil {
		dir, err := shapesDir(f.shapes)
		if err != nil {
			return o, err
		}
		a.notes([]string{"model " + name + ": " + filepath.Join(dir, name)})
		if o.Model, err = convert.NewShape(ctx, name, dir); err != nil {
			return o, err
		}
		if o.Loss == "" {
			o.Loss = shape.Loss
		}
	}
	if o.Loss == "" && !f.decode {
		loss, err := runtime.UsualLoss(o.Model, o.Output, o.Head)
		if err != nil {
			return o, err
		}
		o.Loss = loss
	}
	o.Message = func(text string) { a.notes([]string{text}) }
	if !f.noPeak {
		model := o.Model
		o.Peak = func(ctx context.Context, c runtime.BenchCell, variant string) (int64, error) {
			return a.peakProcess(ctx, f, model, c, variant)
		}
	}
	return o, nil
}

func shapesDir(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: --shapes is needed: %v", errCommandLine, err)
	}
	return filepath.Join(cache, "ghostwriter", "shapes"), nil
}

type peakReport struct {
	PeakBytes int64 `json:"peak_bytes"`
}

// benchPeak is what peakProcess runs.
func (a *app) benchPeak(ctx context.Context, f *benching) error {
	o := f.options
	if len(f.models) != 1 {
		return fmt.Errorf("%w: --peak-of takes one --model", errCommandLine)
	}
	o.Model, o.Library, o.Threads = f.models[0], a.library, a.threads
	bytes, err := runtime.BenchPeak(ctx, o, f.peakOf)
	if err != nil {
		return err
	}
	return a.print(peakReport{bytes}, func() { a.printf("%d\n", bytes) })
}

// peakProcess runs one variant in a process of its own.
func (a *app) peakProcess(ctx context.Context, f *benching, model string, c runtime.BenchCell, variant string) (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "--json", "--peak-of", variant, "--model", model, "--loss", c.Loss, "--output", f.options.Output, "--head", f.options.Head,
		"--length", strconv.Itoa(c.Length), "--microbatch", strconv.Itoa(c.Microbatch), "--logical", strconv.Itoa(f.options.Logical),
		"--ort-lib", a.library, "--threads", strconv.Itoa(a.threads))
	cmd.Stderr = a.stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	var r peakReport
	if err := json.Unmarshal(out, &r); err != nil {
		return 0, fmt.Errorf("the measuring process printed %q", out)
	}
	return r.PeakBytes, nil
}
