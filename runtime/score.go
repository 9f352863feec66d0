package runtime

import (
	"context"

	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
)

// Score gives the tokens of a text with the log-probability of each after those
// before it, and the top likeliest in its place. The first has none: its LogProb
// is 0 and its Top empty.
func (m *Model) Score(ctx context.Context, ids []int32, top int) ([]Token, error) {
	if err := m.checkScored(ids, top); err != nil {
		return nil, err
	}
	r, err := m.newRecompute(nil)
	if err != nil {
		return nil, err
	}
	if r.seq2seq {
		return nil, usage("an encoder-decoder model has no log-probabilities of its source")
	}
	feeds, err := r.feeds(ctx, []text{{ids: ids}})
	if err != nil {
		return nil, err
	}
	run, err := m.Run(ctx, feeds, r.output)
	if err != nil {
		return nil, err
	}
	out := make([]Token, len(ids))
	out[0].ID = ids[0]
	logits := run[r.output]
	for i := 1; i < len(ids); i++ {
		row, err := logitRows(logits, r.output, []int{i - 1})
		if err != nil {
			return nil, err
		}
		t, err := decode.Describe(ids[i], row[0], top)
		if err != nil {
			return nil, usage("%w", err)
		}
		out[i] = Token{ID: t.ID, LogProb: t.LogProb, Top: t.Top}
	}
	return out, nil
}

func (m *Model) checkScored(ids []int32, top int) error {
	if len(ids) == 0 || top < 0 {
		return usage("%d tokens to score, and the %d likeliest of each", len(ids), top)
	}
	longest, err := m.MaxTokens()
	if err != nil {
		return err
	}
	if longest > 0 && len(ids) > longest {
		return usage("%d tokens to score are more than the model's %d positions", len(ids), longest)
	}
	config, err := m.readConfig()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id < 0 || config.Vocabulary > 0 && int64(id) >= config.Vocabulary {
			return usage("id %d is not in the model's vocabulary of %d", id, config.Vocabulary)
		}
	}
	return nil
}
