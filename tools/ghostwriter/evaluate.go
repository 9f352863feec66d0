package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

func (a *app) evaluateCommand() *cobra.Command {
	var o runtime.EvaluateOptions
	var search searchFlags
	var decoding runtime.GenerateOptions
	generation := pflag.NewFlagSet("", pflag.ContinueOnError)
	c := &cobra.Command{
		Use:   "evaluate MODEL --task TASK --data FILE",
		Short: "Run a model on a task's evaluation file and score it",
		Long: "Evaluate scores a classifier by accuracy and F1 (mnli: on the mismatched file too, with --mismatched), a language\n" +
			"model (lm, mlm, instruct) by perplexity, and where there are references (e2e, dart, webnlg) it generates a text for every\n" +
			"distinct source and scores those by BLEU, NIST, ROUGE-L and CIDEr; persona by ParlAI's F1 and perplexity.\n\n" +
			"Texts are generated as Li et al. (2022) do: 5 beams, at most 100 new tokens, at least 5 tokens in all, no line breaks;\n" +
			"the flags of generate change that. With --outputs they are written to a table; a call that was stopped goes on from\n" +
			"FILE.partial.\n\n" +
			"The figures and texts are computed from the evaluation data as they are: epsilon does not cover them.",
		Example: "  ghostwriter evaluate tuned/ --task e2e --data testset_w_refs.csv --outputs tuned.tsv\n" +
			"  ghostwriter evaluate nli/ --task mnli --data dev_matched.tsv --mismatched dev_mismatched.tsv --json\n" +
			"  ghostwriter evaluate tuned/ --task lm --data test.jsonl",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := search.apply(generation, &decoding); err != nil {
				return err
			}
			asPaper(&decoding)
			o.Model, o.Generate = args[0], &decoding
			return a.evaluate(cmd, &o)
		},
	}
	fl := c.Flags()
	fl.StringVar(&o.Task, "task", "", "the task whose data --data has")
	fl.StringVar(&o.Data, "data", "", "the evaluation file")
	fl.StringVar(&o.Mismatched, "mismatched", "", "MNLI's file of mismatched genres")
	fl.StringVar(&o.Split, "split", "", "the part of --data, of a file that has several (train, valid)")
	fl.StringSliceVar(&o.Sources, "sources", nil, "of DART and WebNLG, only the corpora of these names or patterns")
	fl.StringSliceVar(&o.ExcludeSources, "exclude-sources", nil, "of DART and WebNLG, all but the corpora of these names or patterns")
	fl.StringVar(&o.Outputs, "outputs", "", "a file for the generated texts, a table of sources and texts")
	fl.StringVar(&o.Mode, "mode", "", "head or infill (default: by the model's output)")
	fl.StringVar(&o.Tokenizer, "tokenizer", "", "tokenizer file or directory (default: the model's own)")
	fl.StringVar(&o.Output, "output", "", "the output with the logits (default: logits, or the only one)")
	fl.StringVar(&o.Head, "head", "", "tied: a base model without a head gets one tied to its token embedding")
	fl.IntVar(&o.MaxLength, "max-length", 0, "most tokens of a record (default: the task's)")
	fl.IntVar(&o.Batch, "batch", 0, "records of one forward pass (default: up to 32, by memory)")
	fl.IntVar(&o.Limit, "limit", 0, "only the first so many records (default: all)")
	fl.BoolVar(&o.Perplexity, "perplexity", false, "of e2e, dart and webnlg the references' perplexity too")
	search.register(generation, &decoding)
	generation.VisitAll(func(f *pflag.Flag) {
		if usage, ok := paperUsage[f.Name]; ok {
			f.Usage = usage
		}
		if fl.Lookup(f.Name) == nil && f.Name != "return" && f.Name != "stop" {
			fl.AddFlag(f)
		}
	})
	return c
}

// paperUsage words the flags whose defaults are not generate's.
var paperUsage = map[string]string{
	"beams":          "beams of a beam search (default 5; 1 with --sample)",
	"max-new-tokens": "most tokens to add (default 100)",
	"min-length":     "fewest tokens of prompt and continuation together (default 5)",
}

// asPaper fills in what the flags leave open.
func asPaper(g *runtime.GenerateOptions) {
	paper := runtime.PaperDecoding()
	if g.Sample == runtime.On { // beams are for searching
		paper.Beams = 1
	}
	g.Beams = cmp.Or(g.Beams, paper.Beams)
	g.Return = paper.Return
	g.MaxNewTokens = cmp.Or(g.MaxNewTokens, paper.MaxNewTokens)
	g.MinLength = cmp.Or(g.MinLength, paper.MinLength)
	g.RepetitionPenalty = cmp.Or(g.RepetitionPenalty, paper.RepetitionPenalty)
	g.EarlyStopping = cmp.Or(g.EarlyStopping, paper.EarlyStopping)
	g.Sample = cmp.Or(g.Sample, paper.Sample)
	g.LengthPenalty = cmp.Or(g.LengthPenalty, paper.LengthPenalty)
}

func (a *app) evaluate(cmd *cobra.Command, o *runtime.EvaluateOptions) error {
	fmt.Fprintln(a.stderr, runtime.NotCovered)
	o.Library, o.Device, o.Threads = a.library, a.device, a.threads
	p := &stageProgress{w: a.stderr}
	if f, ok := a.stderr.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	o.Progress, o.Message = p.at, func(text string) { fmt.Fprintln(a.stderr, text) }
	result, err := runtime.Evaluate(cmd.Context(), *o)
	p.end()
	if err != nil {
		return err
	}
	return a.print(result, func() { a.printEvaluation(result) })
}

func (a *app) printEvaluation(r *runtime.Evaluation) {
	a.printf("records      %d", r.Records)
	if r.Dropped > 0 {
		a.printf("  (%d not scored: too long)", r.Dropped)
	}
	a.printf("\n")
	for _, s := range []struct {
		name   string
		scores *runtime.ClassScores
	}{{"", r.ClassScores}, {" (mismatched)", r.Mismatched}} {
		if s.scores == nil {
			continue
		}
		a.printf("accuracy     %.4f%s\n", s.scores.Accuracy, s.name)
		if s.scores.F1 != nil {
			a.printf("F1           %.4f%s\n", *s.scores.F1, s.name)
		}
		a.printf("macro F1     %.4f%s\nMatthews     %.4f%s\n", s.scores.MacroF1, s.name, s.scores.Matthews, s.name)
	}
	if r.Perplexity != nil {
		a.printf("perplexity   %.4f  (%d tokens, %.4f nats each)\n", *r.Perplexity, r.Tokens, *r.Loss)
	}
	if r.TextScores != nil {
		a.printTextScores(textReport{TextScores: *r.TextScores})
	}
	if r.DialogF1 != nil {
		a.printf("F1           %.4f\n", *r.DialogF1)
	}
	if r.Unanswered > 0 {
		a.printf("unanswered   %d  (the source leaves no room within the model's positions)\n", r.Unanswered)
	}
	if r.OutputsFile != "" {
		a.printf("texts        %s\n", r.OutputsFile)
	}
}

// A stageProgress shows how far the stages of a run are: a bar on a terminal, a line now and then elsewhere.
type stageProgress struct {
	w        io.Writer
	terminal bool
	stage    string
	bar      *progressbar.ProgressBar
	begun    time.Time
	first    int
	shown    time.Time
}

// at is runtime.EvaluateOptions.Progress.
func (p *stageProgress) at(stage string, done, total int) {
	if stage != p.stage {
		p.end()
		p.stage, p.begun, p.first, p.shown = stage, time.Now(), done, time.Now()
		if p.terminal {
			p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionShowCount(),
				progressbar.OptionSetDescription(stage), progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(30))
		}
	}
	if p.bar != nil {
		_ = p.bar.Set(done) // a bar that can't be drawn must not stop a run
		return
	}
	if time.Since(p.shown) < 5*time.Second {
		return
	}
	p.shown = time.Now()
	left := time.Since(p.begun) / time.Duration(max(1, done-p.first)) * time.Duration(total-done)
	fmt.Fprintf(p.w, "%s %d/%d, %s left\n", stage, done, total, left.Round(time.Second))
}

// end leaves the cursor on a line of its own.
func (p *stageProgress) end() {
	if p.bar != nil {
		fmt.Fprintln(p.w)
		p.bar = nil
	}
}
