package runtime

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A dataset is a data file as token ids, one example a record, in its order.
type dataset struct {
	examples   []tokenize.Example
	units      [][]int // by unit of privacy, its records; nil where the unit is a record
	labelWords []int64 // of infill
	loss       string
	masks      *tokenize.MaskedLM // of masked language modelling
	draw       uint64             // how its examples are masked, of a training step; 0 as they were read
	buckets    tokenize.Buckets
	padID      int32
	startID    int32 // of a decoder beside an encoder
}

// A reader turns data files into datasets for one model.
type reader struct {
	options   *FinetuneOptions
	recipe    *recipe
	tokenizer *tokenize.Tokenizer
	config    modelConfig
	prepared  *ghost.Prepared
	mode      string
	decoder   bool // beside an encoder
	classes   int
	labels    []string // of the classes, where the model names them; nil otherwise
	maxLength int
	formatter tokenize.Formatter
	reserved  int64 // positions that the method takes
}

// newReader opens the tokenizer and settles mode and lengths.
func newReader(m *Model, o *FinetuneOptions) (*reader, error) {
	p, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	r := &reader{options: o, prepared: p, reserved: m.reserved()}
	if r.recipe, err = o.recipe(); err != nil {
		return nil, err
	}
	if r.config, err = m.readConfig(); err != nil {
		return nil, err
	}
	path := o.Tokenizer
	if path == "" {
		path = m.Dir()
	}
	if r.tokenizer, err = tokenize.Load(path); err != nil {
		return nil, usage("tokenizer: %w; name another with --tokenizer", err)
	}
	if err := r.settleMode(); err != nil {
		return nil, err
	}
	if err := r.settleLength(); err != nil {
		return nil, err
	}
	if r.labels, err = r.labelNames(m); err != nil {
		return nil, err
	}
	return r, r.newFormatter()
}

// settleMode chooses head or infill by the shape of the output.
func (r *reader) settleMode() error {
	p := r.prepared
	if p.Output == "" {
		return usage("the model has several outputs; choose one with --output")
	}
	shape := p.Values.Of(p.Output).Shape
	if r.recipe.text {
		if len(shape) != 3 {
			return usage("task %s needs logits [batch, tokens, vocabulary]; output %q has shape %v (a base model takes --head tied)", r.options.Task, p.Output, shape)
		}
		if r.options.Mode != "" {
			return usage("--mode is for classification; task %s trains a language model", r.options.Task)
		}
		if r.recipe.task == tokenize.TaskMLM && r.options.SamplePrompts != "" {
			return usage("--sample-prompts: a masked language model does not generate")
		}
		return r.settleDecoder()
	}
	r.mode = r.options.Mode
	if r.mode == "" {
		r.mode = map[int]string{2: ModeHead, 3: ModeInfill}[len(shape)]
	}
	if want := map[string]int{ModeHead: 2, ModeInfill: 3}[r.mode]; want != len(shape) {
		return usage("--mode %s does not fit output %q of shape %v", r.mode, p.Output, shape)
	}
	if r.mode == ModeHead {
		k, ok := shape[1].Const()
		if !ok {
			return usage("output %q of shape %v has no fixed number of classes", p.Output, shape)
		}
		r.classes = int(k)
		if names := r.recipe.task.Labels(); names != nil && len(names) > r.classes {
			return usage("task %s has %d classes, the model's output %q has %d", r.options.Task, len(names), p.Output, k)
		}
	}
	return nil
}

// settleDecoder recognises a model with an encoder and a decoder by its inputs.
func (r *reader) settleDecoder() error {
	r.decoder = r.prepared.Graph.Input("decoder_input_ids") != nil
	switch {
	case !r.decoder:
		return nil
	case r.options.SamplePrompts != "":
		return usage("--sample-prompts: generation by a model with an encoder and a decoder is not built yet")
	case r.recipe.task == tokenize.TaskMLM:
		return usage("task mlm trains an encoder; this model has a decoder beside it: give it prompts and completions (--task instruct)")
	case r.recipe.task == tokenize.TaskLM:
		return usage("task lm trains a decoder alone; this model has an encoder beside it: give it prompts and completions (--task instruct)")
	case r.config.DecoderStart < 0:
		return usage("the model has an encoder and a decoder, and its config.json names no decoder_start_token_id; without it the decoder's first input is unknown")
	}
	return nil
}

// settleLength bounds sequences by --max-length, the task's default and the
// model's positions.
func (r *reader) settleLength() error {
	r.maxLength = r.options.MaxLength
	if r.maxLength == 0 {
		r.maxLength = r.recipe.options.MaxLength
	}
	limit := r.config.Positions
	if limit > 0 && limit <= r.reserved {
		return usage("--prefix-length %d leaves nothing of the model's %d positions", r.reserved, limit)
	}
	limit = max(limit-r.reserved, 0)
	if fixed, ok := fixedLength(r.prepared); ok {
		limit = fixed
	}
	if limit > 0 && int64(r.maxLength) > limit {
		if r.options.MaxLength > 0 {
			return usage("--max-length %d is more than the model's %d positions", r.maxLength, limit)
		}
		r.maxLength = int(limit)
	}
	return nil
}

// fixedLength is the sequence length of a model that was exported with one, for
// its encoder or its decoder.
func fixedLength(p *ghost.Prepared) (int64, bool) {
	for _, in := range p.Graph.Inputs {
		if (in.Name == "input_ids" || in.Name == "decoder_input_ids") && len(in.Dims) == 2 && in.Dims[1].Param == "" && in.Dims[1].Value > 0 {
			return in.Dims[1].Value, true
		}
	}
	return 0, false
}

func (r *reader) newFormatter() error {
	var err error
	task := r.recipe.task
	switch {
	case r.decoder:
		r.formatter, err = tokenize.NewSequenceToSequence(r.tokenizer, task, r.maxLength)
	case task == tokenize.TaskE2E:
		r.formatter, err = tokenize.NewTableToText(r.tokenizer, r.maxLength)
	case task.Triples():
		r.formatter, err = tokenize.NewTriplesToText(r.tokenizer, r.maxLength)
	case task == tokenize.TaskPersona:
		r.formatter, err = tokenize.NewDialog(r.tokenizer, r.maxLength)
	case task == tokenize.TaskLM:
		r.formatter, err = tokenize.NewLM(r.tokenizer, r.maxLength)
	case task == tokenize.TaskMLM:
		r.formatter, err = tokenize.NewMaskedLM(r.tokenizer, r.maxLength)
	case task == tokenize.TaskInstruct:
		r.formatter, err = tokenize.NewInstruct(r.tokenizer, r.maxLength)
	case r.mode == ModeInfill:
		template, terr := tokenize.InfillTemplateOf(task)
		if terr != nil {
			return usage("%w", terr)
		}
		r.formatter, err = tokenize.NewInfill(r.tokenizer, template, tokenize.InfillOptions{MaxLength: r.maxLength, SentenceLimit: min(200, r.maxLength)})
	default:
		r.formatter, err = tokenize.NewClassify(r.tokenizer, task.Pairs(), r.maxLength)
	}
	if err != nil {
		return usage("task %s: %w", r.options.Task, err)
	}
	return nil
}

// read reads a data file. Its length is the number of rows: an example that is
// too long keeps its place and contributes zero. unitColumn, if it is not empty,
// groups the records; split is the part of a file that has several (train, valid).
// more follow the file's, as if it held them.
func (r *reader) read(ctx context.Context, path, split, unitColumn string, more ...tokenize.Record) (*dataset, error) {
	records, err := tokenize.ReadFile(ctx, path, r.format(split, unitColumn))
	if err != nil {
		return nil, dataError(path, err)
	}
	return r.dataset(ctx, path, append(records, more...), unitColumn)
}

// format says how the rows of a file are laid out.
func (r *reader) format(split, unitColumn string) tokenize.DataFormat {
	return tokenize.DataFormat{
		Task: r.recipe.task, Classes: r.classes, LabelNames: r.labels, UnitColumn: unitColumn, Split: split,
		Sources: r.options.Sources, ExcludeSources: r.options.ExcludeSources,
	}
}

// dataset formats records; path names them in errors.
func (r *reader) dataset(ctx context.Context, path string, records []tokenize.Record, unitColumn string) (_ *dataset, err error) {
	d := &dataset{loss: r.loss(), padID: r.tokenizer.PadID(), startID: int32(r.config.DecoderStart)}
	if d.examples, err = tokenize.FormatAll(ctx, r.formatter, records, r.options.Threads); err != nil {
		return nil, dataError(path, err)
	}
	if unitColumn != "" {
		d.units = groupUnits(records, d.examples)
	}
	switch f := r.formatter.(type) {
	case *tokenize.Infill:
		for _, id := range f.LabelWords() {
			d.labelWords = append(d.labelWords, int64(id))
		}
	case *tokenize.MaskedLM:
		d.masks = f
	}
	if fixed, ok := fixedLength(r.prepared); ok {
		d.buckets, err = tokenize.NewBuckets(int(fixed))
	} else {
		d.buckets, err = tokenize.DefaultBuckets(r.maxLength)
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	return d, r.checkVocabulary(path, d)
}

// dataError keeps a context's end what it is and marks everything else as bad
// input. tokenize's errors name file, row and field, never content.
func dataError(path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var row *tokenize.RowError
	if errors.As(err, &row) && row.File == "" {
		row.File = path
	}
	return usage("%w", err)
}

// loss is the loss of the task and mode.
func (r *reader) loss() string {
	switch {
	case r.decoder:
		return "seq2seq"
	case r.recipe.task == tokenize.TaskMLM:
		return "masked-lm"
	case r.recipe.text:
		return "causal-lm"
	case r.mode == ModeInfill:
		return "infill"
	}
	return "classify"
}

// checkVocabulary refuses a data set with an id that the model has no row for,
// before anything is trained.
func (r *reader) checkVocabulary(path string, d *dataset) error {
	limits := r.prepared.IndexLimit()
	for _, input := range []string{"input_ids", "decoder_input_ids"} {
		limit, ok := limits[input]
		if !ok {
			continue
		}
		if err := tokenize.CheckIDs(d.examples, int(limit.Rows)); err != nil {
			return usage("%s: %w (its table %q); the tokenizer and the model don't belong together", path, err, limit.Table)
		}
		if r.decoder && int64(d.startID) >= limit.Rows {
			return usage("config.json: decoder_start_token_id is %d, but the model's table %q has %d rows", d.startID, limit.Table, limit.Rows)
		}
	}
	return nil
}

// longest is the largest bucket that any example falls into, and the edges in
// use: functions of the data that stay inside.
func (d *dataset) edge(i int) int {
	e, _ := d.buckets.Edge(d.examples[i].Len())
	return e
}

// drawn is the data set as training step n sees it: texts of masked language modelling are masked anew in every step
// (RoBERTa's dynamic masking), by the record's own text and n. Others stay what they are.
func (d *dataset) drawn(n int64) *dataset {
	if d.masks == nil {
		return d
	}
	again := *d
	again.draw = uint64(n)
	return &again
}

// example is record k's.
func (d *dataset) example(k int) *tokenize.Example {
	if d.draw == 0 {
		return &d.examples[k]
	}
	e := d.masks.Draw(d.examples[k], d.draw)
	return &e
}

// collate pads examples of one bucket into a batch of rows rows for the model's
// inputs.
func (d *dataset) collate(indices []int, edge, rows int, inputs []*ir.ValueInfo) (*Batch, []bool, error) {
	list := make([]*tokenize.Example, len(indices))
	for i, k := range indices {
		list[i] = d.example(k)
	}
	b, err := tokenize.Pad(list, edge, rows, d.padID)
	if err != nil {
		return nil, nil, err
	}
	out := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{}}
	wide := []int64{int64(rows), int64(edge)}
	columns := map[string][]int64{
		"input_ids": b.InputIDs, "attention_mask": b.AttentionMask, "token_type_ids": b.TokenTypeIDs, "position_ids": b.PositionIDs,
		"input_mask": b.AttentionMask, "segment_ids": b.TokenTypeIDs,
	}
	if d.loss == "seq2seq" {
		columns["decoder_input_ids"], columns["decoder_attention_mask"] = b.Shifted(d.startID, d.padID)
	}
	for _, in := range inputs {
		v, ok := columns[in.Name]
		if !ok {
			return nil, nil, usage("the model's input %q is not one that a text has; there are %v", in.Name, slices.Sorted(maps.Keys(columns)))
		}
		shape := wide
		if len(in.Dims) == 2 && in.Dims[0].Param == "" && in.Dims[0].Value == 1 && in.Name == "position_ids" {
			shape, v = []int64{1, int64(edge)}, v[:edge] // one row for all records
		}
		if out.Inputs[in.Name], err = ort.NewTensor(shape, v); err != nil {
			return nil, nil, err
		}
	}
	if err := d.collateLoss(out, b, wide); err != nil {
		return nil, nil, err
	}
	return out, b.Real, nil
}

func (d *dataset) collateLoss(out *Batch, b *tokenize.Batch, wide []int64) error {
	var err error
	put := func(name string, shape []int64, v []int64) {
		if err == nil {
			out.Loss[name], err = ort.NewTensor(shape, v)
		}
	}
	switch d.loss {
	case "causal-lm", "masked-lm", "seq2seq":
		put("labels", wide, b.Labels)
	case "infill":
		put("mask_position", wide[:1], b.MaskPosition)
		put("label_words", []int64{int64(len(d.labelWords))}, d.labelWords)
		put("labels", wide[:1], b.ClassLabels)
	default:
		put("labels", wide[:1], b.ClassLabels)
	}
	return err
}

// exists reports whether a file or folder is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
