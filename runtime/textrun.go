package runtime

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// defaultBatchTokens bounds rows × longest row of one forward pass over texts.
const defaultBatchTokens = 8192

// A textRun is a forward pass over encoded texts of any number and length: it
// packs them into batches of rows of similar length, pads and runs them.
type textRun struct {
	model      *Model
	inputs     []ort.Info
	output     string
	pad        int32
	vocabulary int64
	rows, wide int64 // of the export, 0 where any will do
	masked     bool  // padding can be hidden
}

func (m *Model) textRun(output string) (*textRun, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	config, err := m.readConfig()
	if err != nil {
		return nil, err
	}
	r := &textRun{model: m, inputs: s.Inputs(), output: output, vocabulary: config.Vocabulary}
	if t, err := m.Tokenizer(); err == nil {
		r.pad = t.PadID()
	}
	for _, in := range r.inputs {
		switch in.Name {
		case "input_ids":
			if len(in.Dims) == 2 {
				r.rows, r.wide = max(0, in.Dims[0]), max(0, in.Dims[1])
			}
		case "attention_mask", "input_mask":
			r.masked = true
		}
	}
	return r, nil
}

// A batchOutput is the output of one batch, its elements in single precision.
type batchOutput struct {
	name   string
	shape  []int64
	values []float32
}

// each runs the model over all texts and calls take once for every text, with
// the output, the row that the text has in it and the text's index.
func (r *textRun) each(ctx context.Context, texts []tokenize.Encoding, budget int, take func(out batchOutput, row, text int) error) error {
	for i, t := range texts {
		if err := r.check(t); err != nil {
			return usage("text %d: %w", i+1, err)
		}
	}
	if budget <= 0 {
		budget = defaultBatchTokens
	}
	for _, part := range r.pack(texts, budget) {
		feeds, err := r.feeds(texts, part)
		if err != nil {
			return err
		}
		outputs, err := r.model.Run(ctx, feeds, r.output)
		if err != nil {
			return err
		}
		out := batchOutput{name: r.output, shape: outputs[r.output].Shape()}
		if out.values, err = singles(outputs[r.output]); err != nil {
			return usage("output %q: %w", r.output, err)
		}
		for row, i := range part {
			if err := take(out, row, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// check refuses a text that the model can't read.
func (r *textRun) check(t tokenize.Encoding) error {
	switch n := int64(len(t.IDs)); {
	case n == 0:
		return usage("it is empty: the model needs a token to read")
	case r.wide > 0 && n > r.wide:
		return usage("it has %d tokens and the export reads %d: shorten it, or export with a dynamic sequence length", n, r.wide)
	case r.wide > n && !r.masked:
		return usage("it has %d tokens, the export reads exactly %d and has no attention_mask to hide padding: export with a dynamic sequence length", n, r.wide)
	case t.TypeIDs != nil && len(t.TypeIDs) != len(t.IDs):
		return usage("it has %d ids and %d segment ids", n, len(t.TypeIDs))
	}
	for _, id := range t.IDs {
		if id < 0 || r.vocabulary > 0 && int64(id) >= r.vocabulary {
			return usage("id %d is not in the model's vocabulary of %d: use the tokenizer the model was trained with", id, r.vocabulary)
		}
	}
	return nil
}

// pack sorts texts by length and cuts the list into batches with
// rows × longest row ≤ budget. Without a mask a batch has one length.
func (r *textRun) pack(texts []tokenize.Encoding, budget int) [][]int {
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(texts[a].IDs), len(texts[b].IDs)) })
	var parts [][]int
	for at := 0; at < len(order); {
		end := at + 1
		for ; end < len(order); end++ {
			n := len(texts[order[end]].IDs)
			if r.wide > 0 {
				n = int(r.wide)
			}
			full := r.rows > 0 && end-at == int(r.rows)
			uneven := !r.masked && len(texts[order[at]].IDs) != len(texts[order[end]].IDs)
			if full || uneven || n*(end-at+1) > budget && r.rows == 0 {
				break
			}
		}
		parts = append(parts, order[at:end])
		at = end
	}
	return parts
}

// feeds makes one batch's inputs: texts padded at their end, rows added where
// the export fixed their number.
func (r *textRun) feeds(texts []tokenize.Encoding, part []int) (map[string]*ort.Tensor, error) {
	examples := make([]*tokenize.Example, len(part))
	wide := int(r.wide)
	for i, k := range part {
		examples[i] = &tokenize.Example{IDs: texts[k].IDs, TypeIDs: texts[k].TypeIDs}
		if r.wide == 0 {
			wide = max(wide, len(texts[k].IDs))
		}
	}
	b, err := tokenize.Pad(examples, wide, max(int(r.rows), len(part)), r.pad)
	if err != nil {
		return nil, err
	}
	feeds := map[string]*ort.Tensor{}
	for _, in := range r.inputs {
		if feeds[in.Name], err = textInput(in, b); err != nil {
			return nil, err
		}
	}
	return feeds, nil
}

// textInput makes one input of a padded batch.
func textInput(in ort.Info, b *tokenize.Batch) (*ort.Tensor, error) {
	shape := []int64{int64(b.Rows), int64(b.Length)}
	switch in.Name {
	case "input_ids":
		return ort.NewTensor(shape, b.InputIDs)
	case "attention_mask", "input_mask":
		return ort.NewTensor(shape, b.AttentionMask)
	case "token_type_ids", "segment_ids":
		return ort.NewTensor(shape, b.TokenTypeIDs)
	case "position_ids":
		if len(in.Dims) == 2 && in.Dims[0] == 1 { // one row for all texts
			return ort.NewTensor([]int64{1, shape[1]}, b.PositionIDs[:b.Length])
		}
		return ort.NewTensor(shape, b.PositionIDs)
	case "use_cache_branch":
		return ort.NewTensor([]int64{1}, []bool{false})
	}
	if strings.HasPrefix(in.Name, "past_") {
		return emptyPast(in, shape[0])
	}
	return nil, usage("the model's input %q is not one that a text has; there are input_ids, attention_mask, token_type_ids and position_ids", in.Name)
}

// emptyPast is a cache that holds no token: [batch, heads, 0, size], or
// [2, batch, heads, 0, size].
func emptyPast(in ort.Info, rows int64) (*ort.Tensor, error) {
	shape := slices.Clone(in.Dims)
	for i, d := range shape {
		switch {
		case d >= 0:
		case i == 0 || i == 1 && len(shape) == 5:
			shape[i] = rows
		default:
			shape[i] = 0
		}
	}
	return ort.NewZeros(in.DType, shape)
}
