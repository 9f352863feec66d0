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
	model  *Model
	inputs []ort.Info
	output string
	rows   int64 // batch of the export, 0 where any will do
	fixed  int64 // sequence length of the export, 0 where any will do
}

// recomputeRows bounds the texts of one run.
const recomputeRows = 16

func newRecompute(m *Model, s *ort.Session) (*recompute, error) {
	r := &recompute{model: m, inputs: s.Inputs()}
	var err error
	if r.output, err = logitsOutput(s.Outputs(), m.options.Output); err != nil {
		return nil, err
	}
	for _, in := range r.inputs {
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
	byLength := map[int][]int{}
	for i, t := range texts {
		byLength[len(t.ids)] = append(byLength[len(t.ids)], i)
	}
	out := make([][]float32, len(texts))
	most := recomputeRows
	if r.rows > 0 {
		most = int(r.rows)
	}
	for length, group := range byLength {
		for part := range slices.Chunk(group, most) {
			rows := make([][]int32, len(part))
			for k, i := range part {
				rows[k] = texts[i].ids
			}
			logits, err := r.run(ctx, rows, length)
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
func (r *recompute) run(ctx context.Context, texts [][]int32, length int) ([][]float32, error) {
	feeds, err := r.feeds(texts, length)
	if err != nil {
		return nil, err
	}
	out, err := r.model.Run(ctx, feeds, r.output)
	if err != nil {
		return nil, err
	}
	at := make([]int, len(texts))
	for i := range at {
		at[i] = length - 1
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

// feeds makes the inputs: the texts, filled up at the end where the export fixed
// batch or length. Causal attention keeps the filling from what is before it.
func (r *recompute) feeds(texts [][]int32, length int) (map[string]*ort.Tensor, error) {
	rows, wide := int64(len(texts)), int64(length)
	if r.rows > 0 {
		rows = r.rows
	}
	if r.fixed > 0 {
		wide = r.fixed
	}
	columns := map[string][]int64{"token_type_ids": make([]int64, rows*wide)}
	for i := range rows {
		for t := range wide {
			id, mask := int64(0), int64(0)
			if int(i) < len(texts) && t < int64(length) {
				id, mask = int64(texts[i][t]), 1
			}
			if int(i) >= len(texts) {
				mask = 1 // a row of filling: any valid text
			}
			columns["input_ids"] = append(columns["input_ids"], id)
			columns["attention_mask"] = append(columns["attention_mask"], mask)
			columns["position_ids"] = append(columns["position_ids"], t)
		}
	}
	feeds := map[string]*ort.Tensor{}
	for _, in := range r.inputs {
		t, err := feedOf(in, columns, rows, wide)
		if err != nil {
			return nil, err
		}
		feeds[in.Name] = t
	}
	return feeds, nil
}

// feedOf makes one input of a whole text, in whose cache nothing is.
func feedOf(in ort.Info, columns map[string][]int64, rows, wide int64) (*ort.Tensor, error) {
	if v, ok := columns[in.Name]; ok {
		if in.Name == "position_ids" && len(in.Dims) == 2 && in.Dims[0] == 1 {
			rows, v = 1, v[:wide]
		}
		return ort.NewTensor([]int64{rows, wide}, v)
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
