package decode

import (
	"math"
	"slices"
)

// A processor changes the scores of the next token of a text in place. ids are prompt and continuation so far.
type processor interface {
	process(ids []int32, scores []float32)
}

var negInf = float32(math.Inf(-1))

// processors are those of a configuration in transformers' order, for a prompt of that length.
func (c Config) processors(prompt int) []processor {
	var list []processor
	add := func(on bool, p processor) {
		if on {
			list = append(list, p)
		}
	}
	add(c.RepetitionPenalty != 1, repetition{float32(c.RepetitionPenalty)})
	add(c.FrequencyPenalty != 0 || c.PresencePenalty != 0, penalty{prompt, float32(c.FrequencyPenalty), float32(c.PresencePenalty)})
	add(len(c.LogitBias) > 0, bias(c.LogitBias))
	add(c.NoRepeatNGram > 0, noRepeat{c.NoRepeatNGram})
	add(len(c.Forbidden) > 0, c.forbidden())
	add(c.MinLength > 0 && len(c.EOS) > 0, minLength{c.MinLength, c.EOS})
	add(c.MinNewTokens > 0 && len(c.EOS) > 0, minLength{prompt + c.MinNewTokens, c.EOS})
	add(c.ForcedBOS != nil, forced{1, one(c.ForcedBOS)})
	add(c.ForcedEOS != nil, forced{prompt + c.MaxNewTokens - 1, c.ForcedEOS})
	add(c.RemoveInvalid, removeInvalid{})
	add(len(c.Suppress) > 0, suppress{c.Suppress})
	begin := prompt
	if prompt <= 1 && c.ForcedBOS != nil {
		begin++
	}
	add(len(c.BeginSuppress) > 0, suppressAt{begin, c.BeginSuppress})
	if c.Sample {
		list = append(list, c.warpers()...)
	}
	add(c.Renormalize, normalize{})
	return list
}

// repetition penalises every id that the text has.
type repetition struct{ penalty float32 }

func (p repetition) process(ids []int32, scores []float32) {
	seen := map[int32]bool{}
	for _, id := range ids {
		if seen[id] || int(id) >= len(scores) || id < 0 {
			continue
		}
		seen[id] = true
		if scores[id] < 0 {
			scores[id] *= p.penalty
		} else {
			scores[id] /= p.penalty
		}
	}
}

// noRepeat forbids tokens that would complete an n-gram which the text has.
type noRepeat struct{ n int }

func (p noRepeat) process(ids []int32, scores []float32) {
	if len(ids)+1 < p.n {
		return
	}
	last := ids[len(ids)+1-p.n:]
	for i := 0; i+p.n <= len(ids); i++ {
		if next := ids[i+p.n-1]; slices.Equal(ids[i:i+p.n-1], last) && int(next) < len(scores) {
			scores[next] = negInf
		}
	}
}

// forbid forbids the last token of sequences whose beginning the text ends with. As in transformers a sequence longer
// than the text so far is not looked at.
type forbid struct{ sequences [][]int32 }

// forbidden leaves out single ids that end a text, as transformers does.
func (c Config) forbidden() forbid {
	var f forbid
	for _, s := range c.Forbidden {
		if len(s) != 1 || !slices.Contains(c.EOS, s[0]) {
			f.sequences = append(f.sequences, s)
		}
	}
	return f
}

func (p forbid) process(ids []int32, scores []float32) {
	for _, s := range p.sequences {
		if n := len(s) - 1; n == 0 || len(s) <= len(ids) && slices.Equal(ids[len(ids)-n:], s[:n]) {
			scores[s[n]] = negInf
		}
	}
}

// minLength forbids ids in texts shorter than length.
type minLength struct {
	length int
	eos    []int32
}

func (p minLength) process(ids []int32, scores []float32) {
	if len(ids) < p.length {
		suppress{p.eos}.process(ids, scores)
	}
}

// forced leaves ids as the only choice for texts of that length.
type forced struct {
	length int
	ids    []int32
}

func (p forced) process(ids []int32, scores []float32) {
	if len(ids) != p.length {
		return
	}
	for i := range scores {
		scores[i] = negInf
	}
	for _, id := range p.ids {
		scores[id] = 0
	}
}

// removeInvalid replaces what is no number.
type removeInvalid struct{}

func (removeInvalid) process(_ []int32, scores []float32) {
	for i, x := range scores {
		switch {
		case x != x:
			scores[i] = 0
		case math.IsInf(float64(x), 1):
			scores[i] = math.MaxFloat32
		case math.IsInf(float64(x), -1):
			scores[i] = -math.MaxFloat32
		}
	}
}

// suppress forbids ids.
type suppress struct{ ids []int32 }

func (p suppress) process(_ []int32, scores []float32) {
	for _, id := range p.ids {
		if id >= 0 && int(id) < len(scores) {
			scores[id] = negInf
		}
	}
}

// suppressAt forbids ids in texts of that length.
type suppressAt struct {
	length int
	ids    []int32
}

func (p suppressAt) process(ids []int32, scores []float32) {
	if len(ids) == p.length {
		suppress{p.ids}.process(ids, scores)
	}
}

// normalize makes log-probabilities of scores.
type normalize struct{}

func (normalize) process(_ []int32, scores []float32) { logSoftmax(scores, scores) }
