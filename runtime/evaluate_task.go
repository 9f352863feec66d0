package runtime

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// NotCovered says what an evaluation's privacy is.
const NotCovered = "not covered by epsilon: these figures and texts are computed from the evaluation data as they are; do not release them if those are private"

// EvaluateOptions say what to evaluate. Model, Task and Data are needed.
type EvaluateOptions struct {
	Model string // a model directory or an ONNX file
	Task  string // one of Tasks
	Data  string // the task's evaluation file
	// Mismatched is MNLI's second file.
	Mismatched string
	// Split names the part of a file that has several; Sources and ExcludeSources choose records of DART and WebNLG.
	Split                   string
	Sources, ExcludeSources []string

	Tokenizer, Output, Head string // as for FinetuneOptions
	Mode                    string // ModeHead, ModeInfill, or "": by the model's output
	MaxLength               int    // tokens of a record; 0: the task's
	Batch                   int    // records of one forward pass; 0: up to 32, by memory
	Limit                   int    // the first so many records alone; 0: all

	// Outputs is the file that generated texts are written to, a table of sources and texts; "" for none. While it is
	// written they are kept in Outputs + ".partial", which a later call with the same model, data and options goes on from.
	Outputs string
	// Generate says how texts are generated; nil is PaperDecoding. Without Forbidden line breaks are.
	Generate *GenerateOptions
	// Perplexity asks for that of the references too where texts are generated; tasks lm, instruct and persona have it anyway.
	Perplexity bool

	Library, Device string
	Threads         int
	// Progress, if set, is told how far a stage is, from one goroutine; Message gets lines for a person.
	Progress func(stage string, done, total int)
	Message  func(text string)
}

// PaperDecoding is how Li et al. (2022) generate from tables: beam search with 5 beams, at most 100 new tokens, at least 5
// tokens in all. Evaluate forbids line breaks and padding beside it, as they do. Their settings for dialogues are not
// public; the same are used.
func PaperDecoding() GenerateOptions {
	one := 1.0
	return GenerateOptions{Beams: 5, Return: 1, Sample: Off, MaxNewTokens: 100, MinLength: 5, LengthPenalty: &one, RepetitionPenalty: 1, EarlyStopping: "false"}
}

// An Evaluation is a model's result on a task's evaluation file. What a task does not have is nil or 0.
type Evaluation struct {
	Task    string `json:"task"`
	Records int    `json:"records"`
	// Dropped are records that were not scored: too long, or their mask was cut off.
	Dropped int `json:"dropped"`

	*ClassScores
	Mismatched *ClassScores `json:"mismatched,omitempty"`

	// Loss is the mean over target tokens in nats, Perplexity its exponential.
	Loss       *float64 `json:"loss,omitempty"`
	Perplexity *float64 `json:"perplexity,omitempty"`
	Tokens     int      `json:"tokens,omitempty"`

	*metrics.TextScores
	DialogF1 *float64 `json:"dialog_f1,omitempty"`
	// Unanswered are sources that leave no room for a token within the model's positions; their text is empty.
	Unanswered  int    `json:"unanswered,omitempty"`
	OutputsFile string `json:"outputs_file,omitempty"`
}

// ClassScores are the scores of a classifier on one file. F1 is that of class 1 where there are two.
type ClassScores struct {
	Accuracy float64  `json:"accuracy"`
	F1       *float64 `json:"f1,omitempty"`
	MacroF1  float64  `json:"macro_f1"`
	Matthews float64  `json:"matthews"`
	Loss     float64  `json:"cross_entropy"` // mean over the rows, in nats
	Rows     int      `json:"rows"`
}

// Evaluate runs a model on a task's evaluation file: a classifier for accuracy and F1, a language model for perplexity; for
// tasks with references (e2e, dart, webnlg, persona) it generates a text for every distinct source and scores those
// (metrics.ScoreText; for persona ParlAI's F1).
//
// Nothing that it returns or writes is covered by ε; see NotCovered. It refuses to write into a folder called release.
func Evaluate(ctx context.Context, o EvaluateOptions) (_ *Evaluation, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	e := &evaluation{options: &o, result: &Evaluation{Task: o.Task}}
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.run(ctx); err != nil {
		return nil, err
	}
	return e.result, nil
}

// check refuses what can be refused before anything is read.
func (o *EvaluateOptions) check() error {
	for _, needed := range []struct{ flag, value string }{{"the model", o.Model}, {"--task", o.Task}, {"--data", o.Data}} {
		if needed.value == "" {
			return usage("%s is missing", needed.flag)
		}
	}
	if !slices.Contains(Tasks(), o.Task) {
		return usage("unknown task %q; there are %s", o.Task, strings.Join(Tasks(), ", "))
	}
	task := tokenize.Task(o.Task)
	switch {
	case o.Mismatched != "" && task != tokenize.TaskMNLI:
		return usage("a second file of mismatched genres is MNLI's; task %s has one", o.Task)
	case o.Outputs != "" && !generates(task):
		return usage("task %s generates no texts to write to %s", o.Task, o.Outputs)
	case o.Mode != "" && o.Mode != ModeHead && o.Mode != ModeInfill:
		return usage("--mode %q: there are %s, %s", o.Mode, ModeHead, ModeInfill)
	}
	for flag, n := range map[string]int{"--max-length": o.MaxLength, "--batch": o.Batch, "--limit": o.Limit} {
		if n < 0 {
			return usage("%s %d must not be negative", flag, n)
		}
	}
	if o.Outputs == "" {
		return nil
	}
	path, err := filepath.Abs(o.Outputs)
	if err != nil {
		return usage("--outputs: %w", err)
	}
	if slices.Contains(strings.Split(filepath.ToSlash(filepath.Dir(path)), "/"), "release") {
		return usage("--outputs %s: generated texts are not covered by epsilon and are not written into a folder called release", o.Outputs)
	}
	if exists(o.Outputs) {
		return usage("--outputs %s exists: score it with `ghostwriter score`, or remove it", o.Outputs)
	}
	return nil
}

// generates says whether a task's evaluation generates texts.
func generates(task tokenize.Task) bool { return hasReferences(task) && task != tokenize.TaskInstruct }

// An evaluation is one call of Evaluate.
type evaluation struct {
	options  *EvaluateOptions
	model    *Model
	prepared *ghost.Prepared
	env      *ort.Env
	reader   *reader
	result   *Evaluation
}

func (e *evaluation) open() (err error) {
	o := e.options
	if e.model, err = Open(o.Model, Options{Library: o.Library, Threads: o.Threads, Device: o.Device, Output: o.Output, Head: o.Head, Tokenizer: o.Tokenizer}); err != nil {
		return err
	}
	if e.prepared, err = e.model.Prepared(); err != nil {
		return err
	}
	if e.env, err = e.model.Env(); err != nil {
		return err
	}
	e.reader, err = newReader(e.model, &FinetuneOptions{
		Task: o.Task, Mode: o.Mode, Tokenizer: o.Tokenizer, MaxLength: o.MaxLength, Threads: o.Threads,
		Sources: o.Sources, ExcludeSources: o.ExcludeSources,
	})
	return err
}

func (e *evaluation) close() error {
	if e.model == nil {
		return nil
	}
	return e.model.Close()
}

func (e *evaluation) run(ctx context.Context) error {
	o := e.options
	records, err := e.read(ctx, o.Data)
	if err != nil {
		return err
	}
	e.result.Records = len(records)
	switch {
	case !e.reader.recipe.text:
		return e.classes(ctx, records)
	case !generates(e.reader.recipe.task):
		return e.perplexity(ctx, records)
	case o.Perplexity || e.reader.recipe.task == tokenize.TaskPersona:
		if err := e.perplexity(ctx, records); err != nil {
			return err
		}
	}
	return e.texts(ctx, records)
}

func (e *evaluation) read(ctx context.Context, path string) ([]tokenize.Record, error) {
	o := e.options
	records, err := tokenize.ReadFile(ctx, path, e.reader.format(o.Split, ""))
	if err != nil {
		return nil, dataError(path, err)
	}
	if o.Limit > 0 {
		records = records[:min(len(records), o.Limit)]
	}
	return records, nil
}

func (e *evaluation) progress(stage string, done, total int) {
	if e.options.Progress != nil {
		e.options.Progress(stage, done, total)
	}
}

func (e *evaluation) message(text string) {
	if e.options.Message != nil {
		e.options.Message(text)
	}
}
