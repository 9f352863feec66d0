package runtime

import (
	"context"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// recompute is a stepper without memory: every turn runs the whole texts. It
// needs nothing but input_ids and logits, and is the oracle of the steppers that
// keep a cache.
type recompute struct {
	model   *Model
	inputs  []ort.Info
	output  string
	rows    int64    // batch of the export, 0 where any will do
	fixed   int64    // sequence length of the export, 0 where any will do
	encoder *encoder // where it is a file of its own
	seq2seq bool     // texts have sources
	whole   bool     // encoder and decoder are one file
}

// recomputeRows bounds the texts of one run.
const recomputeRows = 16

func (m *Model) newRecompute(e *encoder) (*recompute, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	r := &recompute{model: m, inputs: s.Inputs(), encoder: e, seq2seq: e != nil}
	if r.output, err = logitsOutput(s.Outputs(), m.options.Output); err != nil {
		return nil, err
	}
	for _, in := range r.inputs {
		if in.Name == "decoder_input_ids" {
			r.whole, r.seq2seq = true, true
		}
		if in.Name == "input_ids" && len(in.Dims) == 2 {
			r.rows, r.fixed = max(0, in.Dims[0]), max(0, in.Dims[1])
		}
	}
	return r, nil
}

func (r *recompute) close() {}

// next runs texts of one length together: nothing stands behind a text that a
// model which is not strictly causal could see.
func (r *recompute) next(ctx context.Context, texts []text) ([][]float32, error) {
	together := map[cohort][]int{}
	for i, t := range texts {
		key := cohort{len(t.source), len(t.ids)}
		together[key] = append(together[key], i)
	}
	out := make([][]float32, len(texts))
	most := recomputeRows
	if r.rows > 0 {
		most = int(r.rows)
	}
	for _, group := range together {
		for part := range slices.Chunk(group, most) {
			rows := make([]text, len(part))
			for k, i := range part {
				rows[k] = texts[i]
			}
			logits, err := r.run(ctx, rows)
			if err != nil {
				return nil, err
			}
			for k, i := range part {
				out[i] = logits[k]
			}
		}
	}
	return out, nil
}

// run computes the last logits of texts of equal length.
func (r *recompute) run(ctx context.Context, texts []text) ([][]float32, error) {
	feeds, err := r.feeds(ctx, texts)
	if err != nil {
		return nil, err
	}
	out, err := r.model.Run(ctx, feeds, r.output)
	if err != nil {
		return nil, err
	}
	at := make([]int, len(texts))
	for i := range at {
		at[i] = len(texts[i].ids) - 1
	}
	return logitRows(out[r.output], r.output, at)
}

// logitRows takes the logits of position at[i] of row i out of [batch, tokens,
// vocabulary].
func logitRows(t *ort.Tensor, name string, at []int) ([][]float32, error) {
	shape := t.Shape()
	if len(shape) != 3 || shape[0] < int64(len(at)) || shape[2] == 0 {
		return nil, usage("output %q has shape %v; a language model's logits are [batch, tokens, vocabulary]", name, shape)
	}
	logits, err := singles(t)
	if err != nil {
		return nil, usage("output %q: %w", name, err)
	}
	v := int(shape[2])
	rows := make([][]float32, len(at))
	for i, p := range at {
		if int64(p) >= shape[1] {
			return nil, usage("output %q has shape %v for %d tokens; a language model's logits are [batch, tokens, vocabulary]", name, shape, p+1)
		}
		begin := (i*int(shape[1]) + p) * v
		rows[i] = logits[begin : begin+v : begin+v]
	}
	return rows, nil
}

// A column is one integer input, [rows, wide].
type column struct {
	data []int64
	wide int64
}

// feeds makes the inputs: the texts, filled up at the end where the export fixed
// batch or length. Causal attention keeps the filling from what is before it.
func (r *recompute) feeds(ctx context.Context, texts []text) (map[string]*ort.Tensor, error) {
	rows := int64(len(texts))
	if r.rows > 0 {
		rows = r.rows
	}
	ids, sources := make([][]int32, len(texts)), make([][]int32, len(texts))
	for i, t := range texts {
		ids[i], sources[i] = t.ids, t.source
	}
	columns, prefix := map[string]column{}, ""
	if r.seq2seq {
		addText(columns, "encoder_", rows, 0, sources)
	}
	if r.whole {
		prefix = "decoder_"
		addText(columns, "", rows, 0, sources)
	}
	addText(columns, prefix, rows, r.fixed, ids)
	feeds := map[string]*ort.Tensor{}
	for _, in := range r.inputs {
		t, err := feedOf(in, columns, rows)
		if in.Name == encoderStates && r.encoder != nil {
			t, err = r.encoder.run(ctx, sources)
		}
		if err != nil {
			return nil, err
		}
		feeds[in.Name] = t
	}
	return feeds, nil
}

// addText makes the inputs that begin with prefix of texts of equal length.
func addText(columns map[string]column, prefix string, rows, fixed int64, texts [][]int32) {
	wide := max(fixed, int64(len(texts[0])))
	var ids, mask, positions []int64
	for i := range rows {
		for t := range wide {
			id, seen := int64(0), int64(0)
			if int(i) < len(texts) && t < int64(len(texts[i])) {
				id, seen = int64(texts[i][t]), 1
			}
			if int(i) >= len(texts) {
				seen = 1 // a row of filling: any valid text
			}
			ids, mask, positions = append(ids, id), append(mask, seen), append(positions, t)
		}
	}
	columns[prefix+"input_ids"] = column{ids, wide}
	columns[prefix+"attention_mask"] = column{mask, wide}
	columns[prefix+"position_ids"] = column{positions, wide}
	columns[prefix+"token_type_ids"] = column{make([]int64, rows*wide), wide}
}

// feedOf makes one input of a whole text, in whose cache nothing is.
func feedOf(in ort.Info, columns map[string]column, rows int64) (*ort.Tensor, error) {
	if c, ok := columns[in.Name]; ok {
		if strings.HasSuffix(in.Name, "position_ids") && len(in.Dims) == 2 && in.Dims[0] == 1 {
			rows, c.data = 1, c.data[:c.wide]
		}
		return ort.NewTensor([]int64{rows, c.wide}, c.data)
	}
	if in.Name == "use_cache_branch" {
		return ort.NewTensor([]int64{1}, []bool{false})
	}
	if strings.HasPrefix(in.Name, "past_key_values") || strings.HasPrefix(in.Name, "past_") {
		shape := slices.Clone(in.Dims) // [batch, heads, 0, size]: nothing is past
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
	return nil, usage("the model's input %q is not one that a text has; there are input_ids, attention_mask, token_type_ids and position_ids", in.Name)
}
