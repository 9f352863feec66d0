package decode

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// The processors of this file are those of the OpenAI API, which transformers has not.

// A penalty lowers the score of tokens that the continuation has; c[j] is how often it has token j:
//
//	score[j] −= c[j]·frequency + [c[j] > 0]·presence
type penalty struct {
	prompt              int // its tokens don't count
	frequency, presence float32
}

func (p penalty) process(ids []int32, scores []float32) {
	seen := map[int32]bool{}
	for _, id := range ids[min(p.prompt, len(ids)):] {
		if id < 0 || int(id) >= len(scores) {
			continue
		}
		scores[id] -= p.frequency
		if !seen[id] {
			seen[id] = true
			scores[id] -= p.presence
		}
	}
}

// A bias is added to the scores of tokens.
type bias map[int32]float64

func (p bias) process(_ []int32, scores []float32) {
	for id, b := range p {
		if id >= 0 && int(id) < len(scores) {
			scores[id] += float32(b)
		}
	}
}

// checkBias refuses numbers that are none, and ids that the vocabulary has not.
func (c Config) checkBias(vocabulary int) error {
	for _, id := range slices.Sorted(maps.Keys(c.LogitBias)) {
		if id < 0 || vocabulary > 0 && int(id) >= vocabulary {
			return fmt.Errorf("%w logit_bias: id %d is not in the model's vocabulary of %d", ErrConfig, id, vocabulary)
		}
		if b := c.LogitBias[id]; math.IsNaN(b) || math.IsInf(b, 1) {
			return fmt.Errorf("%w logit_bias of id %d is %v: want a number", ErrConfig, id, b)
		}
	}
	return nil
}
