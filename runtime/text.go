package runtime

import (
	"context"
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A TextPair is what an encoder reads: one text, or two (question and passage,
// premise and hypothesis). Pair is "" where there is one.
type TextPair struct {
	Text string `json:"text"`
	Pair string `json:"pair,omitempty"`
}

// TextOptions say how texts become batches; zero values are the defaults.
type TextOptions struct {
	// MaxLength bounds a text's tokens, special ones included; 0 takes the
	// longest sequence that config.json gives. A longer text is an error, or is
	// cut at its end (of a pair the longer text first) with Truncate.
	MaxLength int
	Truncate  bool
	// BatchTokens bounds rows × longest row of one forward pass; default 8192.
	BatchTokens int
}

// Tokenizer returns the model's own tokenizer, opened on first use: that of its
// directory, or of Options.Tokenizer.
func (m *Model) Tokenizer() (*tokenize.Tokenizer, error) {
	m.text.Lock()
	defer m.text.Unlock()
	if m.tokenizer != nil {
		return m.tokenizer, nil
	}
	path := m.options.Tokenizer
	if path == "" {
		path = m.Dir()
	}
	t, err := tokenize.Load(path)
	if err != nil {
		return nil, usage("%w; the model directory needs a tokenizer.json or vocabulary files, or name one with --tokenizer", err)
	}
	m.tokenizer = t
	return t, nil
}

// EncodeTexts gives each text's ids and segment ids, special tokens added. A text
// without a token and one that is too long are errors that give its number.
func (m *Model) EncodeTexts(ctx context.Context, texts []TextPair, o TextOptions) ([]tokenize.Encoding, error) {
	t, err := m.Tokenizer()
	if err != nil {
		return nil, err
	}
	longest, err := m.longest(o)
	if err != nil {
		return nil, err
	}
	out := make([]tokenize.Encoding, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if out[i], err = encodeText(t, text, longest, o.Truncate); err != nil {
			return nil, usage("text %d: %w", i+1, err)
		}
	}
	return out, nil
}

// longest is the most tokens that a text may have, 0 where nothing says.
func (m *Model) longest(o TextOptions) (int, error) {
	if o.MaxLength < 0 {
		return 0, usage("a maximum length of %d tokens: it must be positive", o.MaxLength)
	}
	config, err := m.readConfig()
	if err != nil {
		return 0, err
	}
	n := int(config.Positions)
	if o.MaxLength > 0 && (n == 0 || o.MaxLength < n) {
		n = o.MaxLength
	}
	return n, nil
}

// encodeText encodes one text or pair within longest tokens; 0 is no bound.
func encodeText(t *tokenize.Tokenizer, text TextPair, longest int, truncate bool) (tokenize.Encoding, error) {
	e, err := encodeWhole(t, text)
	if err != nil {
		return e, err
	}
	if n := len(e.IDs); longest > 0 && n > longest {
		if !truncate {
			return e, fmt.Errorf("it has %d tokens and the model reads %d: shorten it, or let it be truncated", n, longest)
		}
		if text.Pair == "" {
			e, err = t.EncodeTruncated(text.Text, longest)
		} else {
			e, err = t.EncodePairTruncated(text.Text, text.Pair, longest)
		}
	}
	if err == nil && len(e.IDs) == 0 {
		return e, fmt.Errorf("it is empty: the model needs a token to read")
	}
	return e, err
}

func encodeWhole(t *tokenize.Tokenizer, text TextPair) (tokenize.Encoding, error) {
	if text.Pair != "" {
		return t.EncodePair(text.Text, text.Pair)
	}
	ids, err := t.Encode(text.Text)
	return tokenize.Encoding{IDs: ids, TypeIDs: make([]int32, len(ids))}, err
}
