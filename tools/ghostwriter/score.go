package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
)

// A scoreRequest is what the flags of score say.
type scoreRequest struct {
	refs      []string
	outputs   string
	split     string
	sacrebleu bool
	bleu      metrics.BLEUOptions
	value     float64 // of the smoothing
}

// A textReport is the scores of generated texts, with sacrebleu's where it is asked for.
type textReport struct {
	metrics.TextScores
	SacreBLEU *sacreReport `json:"sacrebleu,omitempty"`
}

type sacreReport struct {
	Score           float64   `json:"score"`
	Signature       string    `json:"signature"`
	Precisions      []float64 `json:"precisions"`
	BrevityPenalty  float64   `json:"bp"`
	OutputLength    int       `json:"sys_len"`
	ReferenceLength int       `json:"ref_len"`
}

func (a *app) scoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "score",
		Short: "Score files of outputs against references",
		Long: "Score computes the metrics that published figures are given in, as the programs that they come from\n" +
			"(docs/metrics.md). It needs no model and no library.",
		Example: "  ghostwriter score e2e --refs testset_w_refs.csv --outputs system.tsv\n" +
			"  ghostwriter score text --refs references.txt --outputs system.txt --sacrebleu\n" +
			"  ghostwriter score classify --refs labels.txt --outputs predictions.txt\n" +
			"  ghostwriter score dialog --refs answers.txt --outputs replies.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("%w: score what? see %s --help", errCommandLine, cmd.CommandPath())
		},
	}
	for _, task := range runtime.ReferenceTasks() {
		c.AddCommand(a.scoreTaskCommand(task))
	}
	c.AddCommand(a.scoreTextCommand(), a.scoreClassifyCommand(), a.scoreDialogCommand())
	return c
}

// scoreTaskCommand scores outputs against the references of a task's data file.
func (a *app) scoreTaskCommand(task string) *cobra.Command {
	var r scoreRequest
	c := &cobra.Command{
		Use:   task + " --refs FILE --outputs FILE",
		Short: "BLEU, NIST, ROUGE-L and CIDEr against the references of a data file of task " + task,
		Long: "The references of equal sources belong together. Outputs are a table of sources and outputs (a header MR, output, or\n" +
			"the name .tsv), in any order, or one output a line in the order of the sources.",
		Example: "  ghostwriter score " + task + " --refs test-file --outputs outputs.tsv --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(1); err != nil {
				return err
			}
			groups, err := runtime.ReadReferences(cmd.Context(), task, r.refs[0], r.split)
			if err != nil {
				return err
			}
			outputs, err := metrics.ReadOutputs(r.outputs)
			if err != nil {
				return err
			}
			items, err := metrics.Pair(groups, r.refs[0], outputs)
			if err != nil {
				return err
			}
			return a.reportTexts(items, &r)
		},
	}
	r.flags(c)
	c.Flags().StringVar(&r.split, "split", "", "the part of --refs, of a file that has several (train, valid)")
	return c
}

func (a *app) scoreTextCommand() *cobra.Command {
	var r scoreRequest
	c := &cobra.Command{
		Use:   "text --refs FILE… --outputs FILE",
		Short: "The same for any texts, one a line",
		Long: "Several references of an output are lines of --refs that an empty line ends, or several files (--refs twice) with a\n" +
			"line for every output. Without empty lines the lines of a single file are a reference each.",
		Example: "  ghostwriter score text --refs references.txt --outputs system.txt\n" +
			"  ghostwriter score text --refs first.txt --refs second.txt --outputs system.txt --sacrebleu --json",
		RunE: func(*cobra.Command, []string) error {
			items, err := r.items()
			if err != nil {
				return err
			}
			return a.reportTexts(items, &r)
		},
	}
	r.flags(c)
	return c
}

func (a *app) scoreDialogCommand() *cobra.Command {
	var r scoreRequest
	c := &cobra.Command{
		Use:     "dialog --refs FILE… --outputs FILE",
		Short:   "ParlAI's F1 of replies: words shared with the best answer",
		Long:    "Files are as for score text: an answer a line, several by empty lines or by several files.",
		Example: "  ghostwriter score dialog --refs answers.txt --outputs replies.txt --json",
		RunE: func(*cobra.Command, []string) error {
			items, err := r.items()
			if err != nil {
				return err
			}
			f1, err := metrics.MeanDialogF1(items)
			if err != nil {
				return err
			}
			report := struct {
				F1      float64 `json:"f1"`
				Outputs int     `json:"outputs"`
			}{f1, len(items)}
			return a.print(report, func() { a.printf("F1       %.4f\noutputs  %d\n", f1, len(items)) })
		},
	}
	r.fileFlags(c)
	return c
}

// flags are those of scores of texts.
func (r *scoreRequest) flags(c *cobra.Command) {
	r.fileFlags(c)
	fl := c.Flags()
	fl.BoolVar(&r.sacrebleu, "sacrebleu", false, "BLEU as sacrebleu computes it too, with its signature")
	fl.StringVar((*string)(&r.bleu.Tokenizer), "tokenize", "", "sacrebleu's tokenizer: 13a (default), intl, char, none")
	fl.StringVar((*string)(&r.bleu.Smoothing), "smooth-method", "", "sacrebleu's smoothing: exp (default), none, floor, add-k")
	fl.Float64Var(&r.value, "smooth-value", 0, "value of floor and add-k (default: 0.1, 1)")
	fl.BoolVar(&r.bleu.Lowercase, "lowercase", false, "sacrebleu on lower case")
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("smooth-value") {
			r.bleu.SmoothingValue = &r.value
		}
		if n := changed(cmd.Flags().Changed, "tokenize", "smooth-method", "smooth-value", "lowercase"); n > 0 && !r.sacrebleu {
			return fmt.Errorf("%w: --tokenize, --smooth-method, --smooth-value and --lowercase are sacrebleu's: add --sacrebleu", errCommandLine)
		}
		return run(cmd, args)
	}
}

func (r *scoreRequest) fileFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&r.refs, "refs", nil, "the references")
	c.Flags().StringVar(&r.outputs, "outputs", "", "the outputs")
}

// check refuses missing files; most bounds the number of --refs.
func (r *scoreRequest) check(most int) error {
	switch {
	case len(r.refs) == 0 || r.outputs == "":
		return fmt.Errorf("%w: give --refs and --outputs", errCommandLine)
	case len(r.refs) > most:
		return fmt.Errorf("%w: --refs is given %d times; it may be %d", errCommandLine, len(r.refs), most)
	}
	return nil
}

// maxReferenceFiles bounds --refs of score text.
const maxReferenceFiles = 1000

func (r *scoreRequest) items() ([]metrics.Item, error) {
	if err := r.check(maxReferenceFiles); err != nil {
		return nil, err
	}
	return metrics.TextItems(r.outputs, r.refs...)
}

// reportTexts scores texts and prints the result.
func (a *app) reportTexts(items []metrics.Item, r *scoreRequest) error {
	scores, err := metrics.ScoreText(items)
	if err != nil {
		return err
	}
	report := textReport{TextScores: scores}
	if r.sacrebleu {
		if report.SacreBLEU, err = sacre(items, r.bleu); err != nil {
			return err
		}
	}
	return a.print(report, func() { a.printTextScores(report) })
}

func sacre(items []metrics.Item, o metrics.BLEUOptions) (*sacreReport, error) {
	s, err := metrics.SacreBLEU(items, o)
	if err != nil {
		return nil, err
	}
	signature, err := o.Signature(items)
	if err != nil {
		return nil, err
	}
	return &sacreReport{s.Score, signature, s.Precisions, s.BrevityPenalty, s.OutputLength, s.ReferenceLength}, nil
}

func (a *app) printTextScores(r textReport) {
	a.printf("BLEU         %.4f\nNIST         %.4f  (padded, as the E2E challenge: %.4f)\nROUGE-L      %.4f\nCIDEr        %.4f\noutputs      %d\n",
		r.BLEU, r.NIST, r.Padded, r.ROUGEL, r.CIDEr, r.Outputs)
	if s := r.SacreBLEU; s != nil {
		precisions := make([]string, len(s.Precisions))
		for i, p := range s.Precisions {
			precisions[i] = fmt.Sprintf("%.1f", p)
		}
		ratio := 0.0
		if s.ReferenceLength > 0 {
			ratio = float64(s.OutputLength) / float64(s.ReferenceLength)
		}
		a.printf("BLEU|%s = %.2f %s (BP = %.3f ratio = %.3f hyp_len = %d ref_len = %d)\n", s.Signature, s.Score,
			strings.Join(precisions, "/"), s.BrevityPenalty, ratio, s.OutputLength, s.ReferenceLength)
	}
}
