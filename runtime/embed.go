package runtime

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// EmbedOptions say how a text becomes one vector.
type EmbedOptions struct {
	TextOptions
	// Pooling joins the tokens' vectors: "mean", "cls" (the first token),
	// "last" (the last), "max". "" takes what the model directory says
	// (1_Pooling/config.json of sentence-transformers), else mean.
	Pooling string
	// Raw leaves the vectors at their own length; otherwise it is 1.
	Raw bool
}

// Embed tokenizes texts and gives each a vector, from the output with a vector
// of every token (last_hidden_state, token_embeddings, or the only one of rank
// 3) or, where the export pools by itself, with one of every text
// (sentence_embedding). Padding takes no part. It is safe for concurrent use.
func (m *Model) Embed(ctx context.Context, texts []string, o EmbedOptions) ([][]float32, error) {
	pairs := make([]TextPair, len(texts))
	for i, t := range texts {
		pairs[i].Text = t
	}
	encoded, err := m.EncodeTexts(ctx, pairs, o.TextOptions)
	if err != nil {
		return nil, err
	}
	return m.EmbedIDs(ctx, encoded, o)
}

// EmbedIDs is Embed of what EncodeTexts returned.
func (m *Model) EmbedIDs(ctx context.Context, texts []tokenize.Encoding, o EmbedOptions) ([][]float32, error) {
	pool, err := m.pooling(o.Pooling)
	if err != nil {
		return nil, err
	}
	output, err := m.vectorOutput()
	if err != nil {
		return nil, err
	}
	run, err := m.textRun(output)
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(texts))
	err = run.each(ctx, texts, o.BatchTokens, func(b batchOutput, row, text int) error {
		v, err := b.vector(row, len(texts[text].IDs), pool)
		if err == nil && !o.Raw {
			err = unit(v)
		}
		if err != nil {
			return fmt.Errorf("text %d: %w", text+1, err)
		}
		out[text] = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// vectorOutputs are the names that exporters give to vectors, the best first.
var vectorOutputs = []string{"sentence_embedding", "last_hidden_state", "token_embeddings", "hidden_states"}

// vectorOutput finds the output with vectors of texts or tokens.
func (m *Model) vectorOutput() (string, error) {
	s, err := m.session()
	if err != nil {
		return "", err
	}
	outputs, byName, wide := s.Outputs(), map[string]bool{}, []string{}
	for _, o := range outputs {
		byName[o.Name] = true
		if o.Name != "logits" && len(o.Dims) == 3 {
			wide = append(wide, o.Name)
		}
	}
	if chosen := m.options.Output; chosen != "" {
		if !byName[chosen] {
			return "", usage("the model has no output %q; it has %s", chosen, infoNames(outputs))
		}
		return chosen, nil
	}
	for _, name := range vectorOutputs {
		if byName[name] {
			return name, nil
		}
	}
	if len(wide) == 1 {
		return wide[0], nil
	}
	return "", usage("the model gives no vectors of its tokens (outputs %s): a base model has an output last_hidden_state; or choose one with --output", infoNames(outputs))
}

// vector pools the vectors of a text's n tokens, row by row of [batch, tokens,
// size]; a row of [batch, size] is taken as it is.
func (b batchOutput) vector(row, n int, pool pooling) ([]float32, error) {
	shape := b.shape
	switch {
	case len(shape) == 2 && shape[0] > int64(row) && shape[1] > 0:
		size := int(shape[1])
		return slices.Clone(b.values[row*size : (row+1)*size]), nil
	case len(shape) == 3 && shape[0] > int64(row) && shape[1] >= int64(n) && shape[2] > 0:
		wide, size := int(shape[1]), int(shape[2])
		at := row * wide * size
		return pool(b.values[at:at+n*size], size), nil
	}
	return nil, usage("output %q has shape %v; vectors are [batch, tokens, size] or [batch, size]", b.name, shape)
}

// unit scales v to the length 1; a zero vector stays.
func unit(v []float32) error {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return fmt.Errorf("the model's vectors are not finite: its weights may be damaged")
	}
	if sum == 0 {
		return nil
	}
	scale := 1 / math.Sqrt(sum)
	for i, x := range v {
		v[i] = float32(float64(x) * scale)
	}
	return nil
}
