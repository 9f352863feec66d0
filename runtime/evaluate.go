package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"unicode/utf8"
)

// A Score is a model's result on a data set.
type Score struct {
	// Loss is the mean over what is scored, in nats: tokens for a language
	// model, records for a classifier.
	Loss float64
	// Accuracy is the share of records whose class is predicted; NaN for
	// language models.
	Accuracy float64
	Scored   int // tokens or records
}

// overTokens reports a loss that scores tokens, not records.
func (d *dataset) overTokens() bool {
	return d.loss == "causal-lm" || d.loss == "masked-lm" || d.loss == "seq2seq"
}

// score evaluates the weights on a data set, forward only.
func (s *stepSet) score(ctx context.Context, d *dataset, w *Weights, size int, fixed bool) (Score, error) {
	var sum float64
	var out Score
	right := 0
	err := s.forward(ctx, d, d.kept(), w, size, fixed, func(records []int, loss []float64, prediction []int64) error {
		for row, i := range records {
			n := 1
			if d.overTokens() {
				n = d.examples[i].Scored()
			}
			sum += float64(n) * loss[row]
			out.Scored += n
			if prediction != nil && prediction[row] == int64(d.examples[i].Label) {
				right++
			}
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	out.Loss, out.Accuracy = sum/float64(out.Scored), math.NaN()
	if !d.overTokens() {
		out.Accuracy = float64(right) / float64(out.Scored)
	}
	return out, nil
}

// kept lists the records that are not dropped.
func (d *dataset) kept() (records []int) {
	for i, e := range d.examples {
		if e.Len() > 0 {
			records = append(records, i)
		}
	}
	return records
}

// forward computes losses, and classes where there are some (nil otherwise), of some records of a data set, and calls
// take after every run with the run's records.
func (s *stepSet) forward(ctx context.Context, d *dataset, records []int, w *Weights, size int, fixed bool,
	take func(records []int, loss []float64, prediction []int64) error) error {
	for _, m := range d.pack(records, size, fixed) {
		st, err := s.at(m.edge)
		if err != nil {
			return err
		}
		batch, _, err := d.collate(m.records, m.edge, m.rows, st.program.Data)
		if err != nil {
			return err
		}
		loss, prediction, err := st.runLosses(ctx, batch, w)
		if err != nil {
			return hideData(err)
		}
		if err := take(m.records, loss, prediction); err != nil {
			return err
		}
	}
	return nil
}

// validate scores the validation data after a step. Unless they are public the
// result goes to debug/ only: ε covers the training data, not these.
func (f *finetune) validate(ctx context.Context, step int64) error {
	if f.valid == nil {
		return nil
	}
	o := f.options
	if !o.ValidPublic && f.debug == nil {
		if step == 0 && o.DPEvaluate == 0 {
			o.Progress.Message("--valid is not scored: its loss would be computed from data that epsilon does not cover; say --valid-public, pay for it with --dp-evaluate, or look at it with --debug")
		}
		return nil
	}
	s, err := f.losses.score(ctx, f.valid, f.trainer.released(), f.trainer.size, f.trainer.fixed)
	if err != nil {
		return err
	}
	m := metric{Step: step, ValidLoss: nullable(s.Loss), ValidAccuracy: nullable(s.Accuracy)}
	epsilon, err := f.epsilon()
	if err != nil {
		return err
	}
	m.Epsilon = nullable(epsilon)
	if f.debug != nil {
		if err := f.debug.valid(m); err != nil {
			return err
		}
	}
	if o.ValidPublic {
		f.metrics = append(f.metrics, m)
		if f.score = s.Accuracy; math.IsNaN(s.Accuracy) {
			f.score = -s.Loss
		}
	}
	text := fmt.Sprintf("valid after step %d: loss %.4f over %d scored", step, s.Loss, s.Scored)
	if !math.IsNaN(s.Accuracy) {
		text += fmt.Sprintf(", accuracy %.4f", s.Accuracy)
	}
	o.Progress.Message(text)
	return nil
}

// samples generates from public prompts with the written model, greedily
// whatever the model's configuration says: what is released is a function of the
// weights and the prompts.
func (f *finetune) samples(ctx context.Context) (err error) {
	o := f.options
	if o.SamplePrompts == "" {
		return nil
	}
	m, err := Open(f.out.path, Options{Library: o.Library, Threads: o.Threads, Device: o.Device, Output: o.Output, Head: o.Head})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	prompts, err := ReadPrompts(o.SamplePrompts)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, p := range prompts {
		ids, err := f.reader.tokenizer.Encode(p)
		if err != nil {
			return usage("--sample-prompts: %w", err)
		}
		out, err := m.Generate(ctx, [][]int32{ids}, GenerateOptions{MaxNewTokens: o.sampleTokens(), EOS: f.reader.endTokens(), Sample: Off, Beams: 1, Return: 1})
		if err != nil {
			return err
		}
		line := struct {
			Prompt string `json:"prompt"`
			Text   string `json:"text"`
			// NotPrivate is the run's stamp.
			NotPrivate string `json:"not_private,omitempty"`
		}{p, f.reader.tokenizer.Decode(out[0], true), f.plan.Stamp()}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return f.out.release("samples.jsonl", b.Bytes())
}

func (o *FinetuneOptions) sampleTokens() int {
	if o.MaxNewTokens > 0 {
		return o.MaxNewTokens
	}
	return 32
}

// endTokens are the ids that end a generated text.
func (r *reader) endTokens() []int64 {
	if eos := r.tokenizer.Specials().EOS; eos >= 0 {
		return []int64{int64(eos)}
	}
	return r.config.EOS
}

// ReadPrompts reads prompts, one a line; a trailing carriage return is dropped.
func ReadPrompts(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("prompts: %w", err)
	}
	if len(data) == 0 {
		return nil, usage("prompts: %s is empty", path)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i, l := range lines {
		if !utf8.ValidString(l) {
			return nil, usage("prompts: %s: line %d is not UTF-8", path, i+1)
		}
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	return lines, nil
}
