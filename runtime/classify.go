package runtime

import (
	"context"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// ClassifyOptions say how to classify; the zero value is the usual way.
type ClassifyOptions struct {
	TextOptions
	// RawScores returns the logits as they are.
	RawScores bool
}

// A Classification is a classifier's answer to one text.
type Classification struct {
	// Labels are the names of the classes (config.json's id2label, LABEL_k where
	// it has none), Scores what each got, in the order of the classes.
	Labels []string
	Scores []float64
}

// Best is the class with the largest score, the first of equal ones.
func (c Classification) Best() int {
	best := 0
	for i, s := range c.Scores {
		if s > c.Scores[best] {
			best = i
		}
	}
	return best
}

// Classify tokenizes texts and gives each its scores: the softmax of the logits,
// the sigmoid of each for several labels at once or one only, the numbers
// themselves for a regression (config.json's problem_type), as transformers'
// text-classification pipeline. One text's result does not depend on the others
// beyond rounding. It is safe for concurrent use.
func (m *Model) Classify(ctx context.Context, texts []TextPair, o ClassifyOptions) ([]Classification, error) {
	encoded, err := m.EncodeTexts(ctx, texts, o.TextOptions)
	if err != nil {
		return nil, err
	}
	return m.ClassifyIDs(ctx, encoded, o)
}

// ClassifyIDs is Classify of what EncodeTexts returned.
func (m *Model) ClassifyIDs(ctx context.Context, texts []tokenize.Encoding, o ClassifyOptions) ([]Classification, error) {
	labels, err := m.readLabels()
	if err != nil {
		return nil, err
	}
	output, err := m.classOutput()
	if err != nil {
		return nil, err
	}
	run, err := m.textRun(output)
	if err != nil {
		return nil, err
	}
	out := make([]Classification, len(texts))
	err = run.each(ctx, texts, o.BatchTokens, func(b batchOutput, row, text int) error {
		logits, err := b.classes(row)
		if err != nil {
			return err
		}
		scores, err := classScores(logits, labels.problem, o.RawScores)
		if err != nil {
			return fmt.Errorf("text %d: %w", text+1, err)
		}
		out[text] = Classification{Labels: make([]string, len(scores)), Scores: scores}
		for k := range scores {
			out[text].Labels[k] = labels.name(k)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// classOutput finds the output with a classifier's scores.
func (m *Model) classOutput() (string, error) {
	s, err := m.session()
	if err != nil {
		return "", err
	}
	outputs := s.Outputs()
	for _, o := range outputs {
		if o.Name == m.options.Output || m.options.Output == "" && (o.Name == "logits" || len(outputs) == 1) {
			if o.HasShape && len(o.Dims) == 3 {
				return "", usage("output %q is %v: scores of every token, not of a text; a classifier's logits are [batch, classes]", o.Name, o)
			}
			return o.Name, nil
		}
	}
	if m.options.Output != "" {
		return "", usage("the model has no output %q; it has %s", m.options.Output, infoNames(outputs))
	}
	return "", usage("no output is called logits; choose one of %s with --output", infoNames(outputs))
}

// classes is one row of [batch, classes]; [batch] has one class.
func (b batchOutput) classes(row int) ([]float32, error) {
	shape := b.shape
	if len(shape) == 1 {
		shape = []int64{shape[0], 1}
	}
	if len(shape) != 2 || shape[0] <= int64(row) || shape[1] == 0 {
		return nil, usage("output %q has shape %v; a classifier's logits are [batch, classes]", b.name, b.shape)
	}
	return b.values[row*int(shape[1]) : (row+1)*int(shape[1])], nil
}

// classScores turns logits z into scores:
//
//	one label of several:  p_k = exp(z_k − max z) / Σ_j exp(z_j − max z)
//	any number, or one:    p_k = 1 / (1 + exp(−z_k))
func classScores(z []float32, problem string, raw bool) ([]float64, error) {
	out := make([]float64, len(z))
	top := math.Inf(-1)
	for k, v := range z {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("the model's scores are not finite (class %d): its weights may be damaged", k)
		}
		out[k] = float64(v)
		top = max(top, out[k])
	}
	switch {
	case raw || problem == problemRegression:
		return out, nil
	case problem == problemMulti || len(z) == 1:
		for k, v := range out {
			out[k] = 1 / (1 + math.Exp(-v))
		}
		return out, nil
	}
	var sum float64
	for k, v := range out {
		out[k] = math.Exp(v - top)
		sum += out[k]
	}
	for k := range out {
		out[k] /= sum
	}
	return out, nil
}
