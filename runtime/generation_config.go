package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
)

// A generationConfig is what Ghostwriter reads of generation_config.json or,
// where a directory has none, of the same keys in config.json, as transformers
// does. Nil and zero say nothing.
type generationConfig struct {
	EOS           json.RawMessage `json:"eos_token_id"`
	MaxLength     *int            `json:"max_length"`
	MaxNewTokens  *int            `json:"max_new_tokens"`
	MinLength     *int            `json:"min_length"`
	MinNewTokens  *int            `json:"min_new_tokens"`
	Sample        *bool           `json:"do_sample"`
	Beams         *int            `json:"num_beams"`
	Return        *int            `json:"num_return_sequences"`
	LengthPenalty *float64        `json:"length_penalty"`
	EarlyStopping json.RawMessage `json:"early_stopping"`
	Temperature   *float64        `json:"temperature"`
	TopK          *int            `json:"top_k"`
	TopP          *float64        `json:"top_p"`
	MinP          *float64        `json:"min_p"`
	TypicalP      *float64        `json:"typical_p"`
	EpsilonCut    *float64        `json:"epsilon_cutoff"`
	EtaCut        *float64        `json:"eta_cutoff"`
	Repetition    *float64        `json:"repetition_penalty"`
	NoRepeatNGram *int            `json:"no_repeat_ngram_size"`
	Forbidden     [][]int32       `json:"bad_words_ids"`
	Suppress      []int32         `json:"suppress_tokens"`
	BeginSuppress []int32         `json:"begin_suppress_tokens"`
	ForcedBOS     *int32          `json:"forced_bos_token_id"`
	ForcedEOS     json.RawMessage `json:"forced_eos_token_id"`
	RemoveInvalid bool            `json:"remove_invalid_values"`
	Renormalize   bool            `json:"renormalize_logits"`
	DecoderStart  *int64          `json:"decoder_start_token_id"`
	BOS           *int64          `json:"bos_token_id"`
	Pad           *int64          `json:"pad_token_id"`
	StopStrings   json.RawMessage `json:"stop_strings"`
	unsupported   []string
}

// neutral has the keys of generation_config.json that change what is generated
// and that are not supported, with the values that change nothing.
var neutral = map[string][]string{
	"sequence_bias": nil, "encoder_repetition_penalty": {"1", "1.0"}, "encoder_no_repeat_ngram_size": {"0"}, "num_beam_groups": {"1"},
	"diversity_penalty": {"0", "0.0"}, "penalty_alpha": {"0", "0.0"}, "guidance_scale": {"1", "1.0"}, "exponential_decay_length_penalty": nil,
	"watermarking_config": nil, "constraints": nil, "force_words_ids": nil, "dola_layers": nil, "forced_decoder_ids": nil,
}

// readGenerationConfig reads the generation settings of a model directory.
func readGenerationConfig(dir string) (generationConfig, error) {
	path := filepath.Join(dir, "generation_config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(dir, "config.json")
		data, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return generationConfig{}, nil
	}
	if err != nil {
		return generationConfig{}, usage("%s: %w", filepath.Base(path), err)
	}
	var c generationConfig
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &c); err != nil {
		return generationConfig{}, usage("%s: %v", path, err)
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return generationConfig{}, usage("%s: %v", path, err)
	}
	for _, key := range slices.Sorted(maps.Keys(neutral)) {
		v := string(bytes.TrimSpace(all[key]))
		if v != "" && v != "null" && !slices.Contains(neutral[key], v) {
			c.unsupported = append(c.unsupported, fmt.Sprintf("%s %s", key, v))
		}
	}
	return c, nil
}

// take overwrites a setting where the file has it.
func take[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply changes a configuration to what the file says; lengths are not in it.
func (g generationConfig) apply(c *decode.Config) error {
	take(&c.MinLength, g.MinLength)
	take(&c.MinNewTokens, g.MinNewTokens)
	take(&c.Sample, g.Sample)
	take(&c.Beams, g.Beams)
	take(&c.Return, g.Return)
	take(&c.LengthPenalty, g.LengthPenalty)
	take(&c.Temperature, g.Temperature)
	take(&c.TopK, g.TopK)
	take(&c.TopP, g.TopP)
	take(&c.MinP, g.MinP)
	take(&c.TypicalP, g.TypicalP)
	take(&c.EpsilonCut, g.EpsilonCut)
	take(&c.EtaCut, g.EtaCut)
	take(&c.RepetitionPenalty, g.Repetition)
	take(&c.NoRepeatNGram, g.NoRepeatNGram)
	c.Forbidden, c.Suppress, c.BeginSuppress = g.Forbidden, g.Suppress, g.BeginSuppress
	c.ForcedBOS, c.RemoveInvalid, c.Renormalize = g.ForcedBOS, g.RemoveInvalid, g.Renormalize
	for _, id := range idList(g.ForcedEOS) {
		c.ForcedEOS = append(c.ForcedEOS, int32(id))
	}
	if v := string(bytes.TrimSpace(g.EarlyStopping)); v != "" && v != "null" {
		var err error
		if c.EarlyStopping, err = earlyStopping(string(bytes.Trim(g.EarlyStopping, `"`))); err != nil {
			return usage("generation_config.json: %w", err)
		}
	}
	return nil
}

// earlyStopping reads transformers' three values.
func earlyStopping(s string) (decode.EarlyStopping, error) {
	switch s {
	case "true", "True":
		return decode.StopFirst, nil
	case "false", "False":
		return decode.StopHeuristic, nil
	case "never":
		return decode.StopNever, nil
	}
	return 0, fmt.Errorf("early stopping %q: want true, false or never", s)
}

// stops are the file's stop strings: one, or a list.
func (g generationConfig) stops() []string {
	var one string
	if json.Unmarshal(g.StopStrings, &one) == nil && one != "" {
		return []string{one}
	}
	var many []string
	if json.Unmarshal(g.StopStrings, &many) == nil {
		return many
	}
	return nil
}

// decoderStart is the id that an encoder–decoder model's decoder begins with:
// decoder_start_token_id, else bos_token_id, as in transformers.
func decoderStart(dir string, config modelConfig) (int32, error) {
	file, err := readGenerationConfig(dir)
	if err != nil {
		return 0, err
	}
	switch {
	case file.DecoderStart != nil:
		return int32(*file.DecoderStart), nil
	case config.DecoderStart >= 0:
		return int32(config.DecoderStart), nil
	case file.BOS != nil:
		return int32(*file.BOS), nil
	}
	return 0, usage("%s: neither generation_config.json nor config.json has a decoder_start_token_id, which an encoder–decoder model begins with", dir)
}
