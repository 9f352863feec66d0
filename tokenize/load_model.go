package tokenize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// modelJSON has the fields of all model types; each type's function checks that no other's are there.
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

	// Unigram
	UnkID *int `json:"unk_id"`
}

// builtModel is a model with what other parts need to know of it.
type builtModel struct {
	model
	unknown string // its unknown token, "" for none
	suffix  string // what ends a word
}

// modelTypes are the models of a tokenizer.json by their type.
var modelTypes = map[string]func(m *modelJSON) (builtModel, error){
	"BPE": (*modelJSON).bpe, "Unigram": (*modelJSON).unigram, "WordLevel": (*modelJSON).wordLevel, "WordPiece": (*modelJSON).wordPiece,
}

// parseModel builds the model.
func parseModel(raw json.RawMessage) (builtModel, error) {
	if isNull(raw) {
		return builtModel{}, fmt.Errorf("it is missing")
	}
	// The type first: a model that is not supported has fields of its own.
	var tag component
	if err := json.Unmarshal(raw, &tag); err != nil {
		return builtModel{}, jsonError(err)
	}
	if _, ok := modelTypes[tag.Type]; !ok && tag.Type != "" {
		return builtModel{}, unsupported(tag.Type, slices.Sorted(maps.Keys(modelTypes))...)
	}
	var m modelJSON
	if err := decodeStrict(raw, &m); err != nil {
		return builtModel{}, err
	}
	if m.Type == "" { // files before tokenizers 0.9 do not say
		m.Type = m.guess()
	}
	return modelTypes[m.Type](&m)
}

// guess tells the type from the fields that are there.
func (m *modelJSON) guess() string {
	switch {
	case !isNull(m.Merges):
		return "BPE"
	case m.ContinuingSubwordPrefix == nil && m.MaxInputCharsPerWord == nil && bytes.HasPrefix(bytes.TrimSpace(m.Vocab), []byte("[")):
		return "Unigram"
	}
	return "WordPiece"
}

// foreign names the fields that are set and belong to other types.
func (m *modelJSON) foreign(typ string, own ...string) error {
	set := map[string]bool{
		"unk_token": m.UnkToken != nil, "continuing_subword_prefix": m.ContinuingSubwordPrefix != nil, "merges": !isNull(m.Merges),
		"dropout": m.Dropout != nil, "end_of_word_suffix": m.EndOfWordSuffix != nil, "fuse_unk": m.FuseUnk, "byte_fallback": m.ByteFallback,
		"ignore_merges": m.IgnoreMerges, "max_input_chars_per_word": m.MaxInputCharsPerWord != nil, "unk_id": m.UnkID != nil,
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] && !slices.Contains(own, name) {
			return fmt.Errorf("%s does not belong to a %s model", name, typ)
		}
	}
	return nil
}

func (m *modelJSON) bpe() (builtModel, error) {
	err := m.foreign("BPE", "unk_token", "continuing_subword_prefix", "merges", "dropout", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges")
	if err != nil {
		return builtModel{}, err
	}
	if m.Dropout != nil && *m.Dropout != 0 {
		return builtModel{}, fmt.Errorf("BPE dropout is not supported: it makes ids random; set it to null")
	}
	vocab, err := decodeVocab(m.Vocab)
	if err != nil {
		return builtModel{}, fmt.Errorf("vocab: %w", err)
	}
	pairs, err := decodeList[mergePair](m.Merges, maxMerges)
	if err != nil {
		return builtModel{}, fmt.Errorf("merges: %w", err)
	}
	merges := make([][2]string, len(pairs))
	for i, p := range pairs {
		merges[i] = p
	}
	built, err := newBPEModel(vocab, merges, bpeOptions{unknown: text(m.UnkToken), prefix: text(m.ContinuingSubwordPrefix),
		suffix: text(m.EndOfWordSuffix), fuseUnknown: m.FuseUnk, byteFallback: m.ByteFallback, ignoreMerges: m.IgnoreMerges})
	return builtModel{model: built, unknown: text(m.UnkToken), suffix: text(m.EndOfWordSuffix)}, err
}

func (m *modelJSON) wordLevel() (builtModel, error) {
	if err := m.foreign("WordLevel", "unk_token"); err != nil {
		return builtModel{}, err
	}
	vocab, err := decodeVocab(m.Vocab)
	if err != nil {
		return builtModel{}, fmt.Errorf("vocab: %w", err)
	}
	unknown := "<unk>"
	if m.UnkToken != nil {
		unknown = *m.UnkToken
	}
	built, err := newWordLevelModel(vocab, unknown)
	return builtModel{model: built, unknown: unknown}, err
}

func (m *modelJSON) unigram() (builtModel, error) {
	if err := m.foreign("Unigram", "unk_id", "byte_fallback"); err != nil {
		return builtModel{}, err
	}
	vocab, err := decodeList[unigramPiece](m.Vocab, maxVocabTokens)
	if err != nil {
		return builtModel{}, fmt.Errorf("vocab: %w", err)
	}
	if m.UnkID == nil {
		return builtModel{}, fmt.Errorf("unk_id is missing; without it a text with an unknown character has no ids")
	}
	built, err := newUnigramModel(vocab, *m.UnkID, m.ByteFallback)
	if err != nil {
		return builtModel{}, err
	}
	return builtModel{model: built, unknown: built.pieces[built.unknown]}, nil
}

// UnmarshalJSON reads ["piece", score].
func (p *unigramPiece) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("a piece and its score are expected")
	}
	if err := json.Unmarshal(parts[0], &p.piece); err != nil {
		return err
	}
	return json.Unmarshal(parts[1], &p.score)
}

func (m *modelJSON) wordPiece() (builtModel, error) {
	if err := m.foreign("WordPiece", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"); err != nil {
		return builtModel{}, err
	}
	vocab, err := decodeVocab(m.Vocab)
	if err != nil {
		return builtModel{}, fmt.Errorf("vocab: %w", err)
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
	return builtModel{model: built, unknown: o.unknown}, err
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
