package decode

import (
	"errors"
	"fmt"
	"math"
)

// EarlyStopping says when a beam search ends (see Config).
type EarlyStopping int

const (
	// StopHeuristic, transformers' False: when the best open text, scored at its present length, can't beat the worst
	// finished one.
	StopHeuristic EarlyStopping = iota
	// StopFirst, transformers' True: as soon as there are as many finished texts as beams.
	StopFirst
	// StopNever, transformers' "never": when no open text can beat the worst finished one at any length allowed.
	StopNever
)

// A Config holds every setting of a search, resolved: nothing in it is "unset". Default gives transformers' defaults.
type Config struct {
	MaxNewTokens int     // most tokens to add, ≥ 1
	EOS          []int32 // ids that end a text

	MinLength    int // of prompt and continuation together: no EOS before it
	MinNewTokens int // of the continuation

	Beams         int // 1: no beam search
	Return        int // texts that a beam search returns, ≤ Beams
	LengthPenalty float64
	EarlyStopping EarlyStopping

	Sample      bool
	Temperature float64 // > 0
	TopK        int     // 0: off
	TopP        float64 // 1: off
	MinP        float64 // 0: off
	TypicalP    float64 // 1: off
	EpsilonCut  float64 // 0: off
	EtaCut      float64 // 0: off
	Seed        uint64

	RepetitionPenalty float64 // 1: off; divides positive and multiplies negative scores of every id of prompt and text
	NoRepeatNGram     int     // 0: off
	// FrequencyPenalty times its count in the continuation, and PresencePenalty once, are taken from a token's score;
	// LogitBias is added to it. 0 and nil: off.
	FrequencyPenalty, PresencePenalty float64
	LogitBias                         map[int32]float64
	Forbidden                         [][]int32 // sequences that may not be completed (bad_words_ids); single EOS ids among them are ignored
	Suppress                          []int32   // never
	BeginSuppress                     []int32   // not as the first new token
	ForcedBOS                         *int32    // the token behind a prompt of length 1
	ForcedEOS                         []int32   // the last token where MaxNewTokens are reached; nil: off
	RemoveInvalid                     bool      // NaN becomes 0, infinities the largest number, instead of an error
	Renormalize                       bool      // log-softmax after all processors

	// Stops, if not nil, says whether a continuation ends for another reason than its last id, such as a stop string in
	// its text. It is asked after each new token and must not keep or change the ids.
	Stops func(new []int32) bool

	// TopLogProbs is how many of the likeliest tokens are reported with each token.
	TopLogProbs int
}

// Default returns the configuration of transformers' generate where nothing is set.
func Default() Config {
	return Config{
		MaxNewTokens: 20, Beams: 1, Return: 1, LengthPenalty: 1, Temperature: 1, TopK: 50, TopP: 1, TypicalP: 1, RepetitionPenalty: 1,
	}
}

// ErrConfig is wrapped by errors about settings.
var ErrConfig = errors.New("setting")

// Check refuses values that mean nothing, naming the setting as transformers does.
func (c Config) Check() error {
	for _, r := range []struct {
		name string
		bad  bool
		v    any
		want string
	}{
		{"max_new_tokens", c.MaxNewTokens < 1 || c.MaxNewTokens > math.MaxInt32, c.MaxNewTokens, "1 to 2147483647"},
		{"min_length", c.MinLength < 0, c.MinLength, "at least 0"},
		{"min_new_tokens", c.MinNewTokens < 0, c.MinNewTokens, "at least 0"},
		{"num_beams", c.Beams < 1 || c.Beams > maxBeams, c.Beams, fmt.Sprintf("1 to %d", maxBeams)},
		{"num_return_sequences", c.Return < 1 || c.Return > c.Beams, c.Return, "1 to num_beams"},
		{"length_penalty", !finite(c.LengthPenalty), c.LengthPenalty, "a finite number"},
		{"temperature", !(c.Temperature > 0) || !finite(c.Temperature), c.Temperature, "a positive number (for greedy decoding do not sample)"},
		{"top_k", c.TopK < 0, c.TopK, "at least 0"},
		{"top_p", !(c.TopP >= 0 && c.TopP <= 1), c.TopP, "0 to 1"},
		{"min_p", !(c.MinP >= 0 && c.MinP <= 1), c.MinP, "0 to 1"},
		{"typical_p", !(c.TypicalP > 0 && c.TypicalP <= 1), c.TypicalP, "above 0, at most 1"},
		{"epsilon_cutoff", !(c.EpsilonCut >= 0 && c.EpsilonCut < 1), c.EpsilonCut, "0 to below 1"},
		{"eta_cutoff", !(c.EtaCut >= 0 && c.EtaCut < 1), c.EtaCut, "0 to below 1"},
		{"repetition_penalty", !(c.RepetitionPenalty > 0) || !finite(c.RepetitionPenalty), c.RepetitionPenalty, "a positive number"},
		{"frequency_penalty", !finite(c.FrequencyPenalty), c.FrequencyPenalty, "a finite number"},
		{"presence_penalty", !finite(c.PresencePenalty), c.PresencePenalty, "a finite number"},
		{"no_repeat_ngram_size", c.NoRepeatNGram < 0, c.NoRepeatNGram, "at least 0"},
	} {
		if r.bad {
			return fmt.Errorf("%w %s %v: want %s", ErrConfig, r.name, r.v, r.want)
		}
	}
	for _, f := range c.Forbidden {
		if len(f) == 0 {
			return fmt.Errorf("%w bad_words_ids: a sequence is empty", ErrConfig)
		}
	}
	return c.checkBias(0)
}

// maxBeams bounds what a request can ask for.
const maxBeams = 1024

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// checkIDs refuses ids that the vocabulary has not.
func (c Config) checkIDs(vocabulary int) error {
	for _, l := range []struct {
		name string
		ids  [][]int32
	}{
		{"bad_words_ids", c.Forbidden}, {"suppress_tokens", [][]int32{c.Suppress, c.BeginSuppress}}, {"forced token ids", [][]int32{c.ForcedEOS, one(c.ForcedBOS)}},
	} {
		for _, ids := range l.ids {
			for _, id := range ids {
				if id < 0 || int(id) >= vocabulary {
					return fmt.Errorf("%w %s: id %d is not in the model's vocabulary of %d", ErrConfig, l.name, id, vocabulary)
				}
			}
		}
	}
	return c.checkBias(vocabulary)
}

func one(id *int32) []int32 {
	if id == nil {
		return nil
	}
	return []int32{*id}
}
