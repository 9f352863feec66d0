package runtime

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A modelConfig is what Ghostwriter reads of a model directory's config.json;
// everything is optional.
type modelConfig struct {
	Positions  int64   // longest sequence, 0 where unknown
	Vocabulary int64   // 0 where unknown
	EOS        []int64 // end-of-sequence ids
	ModelType  string
	// DecoderStart is the id that an encoder–decoder model's decoder starts with,
	// -1 where unknown.
	DecoderStart int64
}

// readConfig reads dir/config.json; an absent file gives a zero config.
func readConfig(dir string) (modelConfig, error) {
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return modelConfig{DecoderStart: -1}, nil
	}
	if err != nil {
		return modelConfig{}, usage("config.json: %w", err)
	}
	var file struct {
		NPositions *int64          `json:"n_positions"`
		MaxPos     *int64          `json:"max_position_embeddings"`
		Vocab      int64           `json:"vocab_size"`
		EOS        json.RawMessage `json:"eos_token_id"`
		Pad        *int64          `json:"pad_token_id"`
		ModelType  string          `json:"model_type"`
		Start      *int64          `json:"decoder_start_token_id"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return modelConfig{}, usage("%s: %v", filepath.Join(dir, "config.json"), err)
	}
	c := modelConfig{Vocabulary: file.Vocab, ModelType: file.ModelType, EOS: idList(file.EOS), DecoderStart: -1}
	if file.Start != nil {
		c.DecoderStart = *file.Start
	}
	for _, p := range []*int64{file.NPositions, file.MaxPos} {
		if p != nil {
			c.Positions = *p
		}
	}
	// RoBERTa counts positions from behind the padding id.
	if slices.Contains([]string{"roberta", "xlm-roberta", "camembert"}, c.ModelType) && file.Pad != nil {
		c.Positions -= *file.Pad + 1
	}
	return c, nil
}

// idList reads an id or a list of ids.
func idList(raw json.RawMessage) []int64 {
	var one int64
	if json.Unmarshal(raw, &one) == nil && len(raw) > 0 && string(raw) != "null" {
		return []int64{one}
	}
	var many []int64
	if json.Unmarshal(raw, &many) == nil {
		return many
	}
	return nil
}

// Dir is the model directory: where configuration and tokenizer lie.
func (m *Model) Dir() string {
	d := filepath.Dir(m.file.Path)
	if filepath.Base(d) == "onnx" {
		if _, err := os.Stat(filepath.Join(d, "config.json")); err != nil {
			return filepath.Dir(d)
		}
	}
	return d
}
