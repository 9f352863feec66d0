package tokenize

import (
	"encoding/json"
	"fmt"
	"strings"
)

// modelJSON has the fields of both model types; parseModel checks which belong to which.
type modelJSON struct {
	Type                    string          `json:"type"`
	Vocab                   json.RawMessage `json:"vocab"`
	UnkToken                *string         `json:"unk_token"`
	ContinuingSubwordPrefix *string         `json:"continuing_subword_prefix"`

	// BPE
	Merges          json.RawMessage `json:"merges"`
	Dropout         *float64        `json:"dropout"`
	EndOfWordSuffix *string         `json:"end_of_word_suffix"`
	FuseUnk         bool            `json:"fuse_unk"`
	ByteFallback    bool            `json:"byte_fallback"`
	IgnoreMerges    bool            `json:"ignore_merges"`

	// WordPiece
	MaxInputCharsPerWord *int `json:"max_input_chars_per_word"`
}

// parseModel builds the model and gives its unknown token ("" for none).
func parseModel(raw json.RawMessage) (model, string, error) {
	if isNull(raw) {
		return nil, "", fmt.Errorf("it is missing")
	}
	// The type first: a model that is not supported has fields of its own.
	var tag component
	if err := json.Unmarshal(raw, &tag); err != nil {
		return nil, "", jsonError(err)
	}
	if tag.Type != "" && tag.Type != "BPE" && tag.Type != "WordPiece" {
		return nil, "", unsupported(tag.Type, "BPE (byte-level)", "WordPiece")
	}
	var m modelJSON
	if err := decodeStrict(raw, &m); err != nil {
		return nil, "", err
	}
	vocab, err := decodeVocab(m.Vocab)
	if err != nil {
		return nil, "", fmt.Errorf("vocab: %w", err)
	}
	typ := m.Type
	if typ == "" { // files before tokenizers 0.9 do not say
		typ = "WordPiece"
		if !isNull(m.Merges) {
			typ = "BPE"
		}
	}
	if typ == "BPE" {
		return m.bpe(vocab)
	}
	return m.wordPiece(vocab)
}

func (m *modelJSON) bpe(vocab map[string]int) (model, string, error) {
	switch {
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, "", fmt.Errorf("BPE dropout is not supported: it makes ids random; set it to null")
	case text(m.ContinuingSubwordPrefix) != "":
		return nil, "", fmt.Errorf("BPE continuing_subword_prefix %s is not supported", shown(*m.ContinuingSubwordPrefix))
	case text(m.EndOfWordSuffix) != "":
		return nil, "", fmt.Errorf("BPE end_of_word_suffix %s is not supported; supported: byte-level BPE without one", shown(*m.EndOfWordSuffix))
	case m.ByteFallback:
		return nil, "", fmt.Errorf("BPE byte_fallback is not supported; supported: byte-level BPE without it")
	case m.MaxInputCharsPerWord != nil:
		return nil, "", fmt.Errorf("max_input_chars_per_word does not belong to a BPE model")
	}
	pairs, err := decodeList[mergePair](m.Merges, maxMerges)
	if err != nil {
		return nil, "", fmt.Errorf("merges: %w", err)
	}
	merges := make([][2]string, len(pairs))
	for i, p := range pairs {
		merges[i] = p
	}
	built, err := newBPEModel(vocab, merges, bpeOptions{unknown: text(m.UnkToken), fuseUnknown: m.FuseUnk, ignoreMerges: m.IgnoreMerges})
	if err != nil {
		return nil, "", err
	}
	return built, text(m.UnkToken), nil
}

func (m *modelJSON) wordPiece(vocab map[string]int) (model, string, error) {
	if !isNull(m.Merges) || m.Dropout != nil || m.EndOfWordSuffix != nil || m.FuseUnk || m.ByteFallback || m.IgnoreMerges {
		return nil, "", fmt.Errorf("a WordPiece model has no merges, dropout, suffix, fuse_unk, byte_fallback or ignore_merges")
	}
	o := wordPieceOptions{unknown: "[UNK]", prefix: "##", maxChars: 100}
	if m.UnkToken != nil {
		o.unknown = *m.UnkToken
	}
	if m.ContinuingSubwordPrefix != nil {
		o.prefix = *m.ContinuingSubwordPrefix
	}
	if m.MaxInputCharsPerWord != nil {
		o.maxChars = *m.MaxInputCharsPerWord
	}
	built, err := newWordPieceModel(vocab, o)
	if err != nil {
		return nil, "", err
	}
	return built, o.unknown, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// mergePair is a merge, written "a b" or ["a","b"].
type mergePair [2]string

// UnmarshalJSON reads either form.
func (p *mergePair) UnmarshalJSON(data []byte) error {
	var parts []string
	if data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		parts = strings.Split(s, " ")
	} else if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("a merge joins two tokens, this one %d", len(parts))
	}
	*p = mergePair{parts[0], parts[1]}
	return nil
}
