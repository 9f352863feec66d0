package decode

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// never is the score of what can't be chosen; its value is transformers', so that sums of it round the same way.
const never float32 = -1e9

// A Beam is a beam search for one prompt, after transformers' _beam_search. It is not safe for concurrent use.
//
// Each turn the caller computes the logits of Texts and calls Advance. The first turn has one text, the prompt; every
// later one has Config.Beams texts, and Parents says which text of the turn before each continues by one token.
type Beam struct {
	config  Config
	prompt  int
	length  int // of every running text
	running []hypothesis
	parents []int
	done    []hypothesis // Beams entries, best first; open where not finished
	better  bool         // an open text may still beat a finished one
	over    bool
	random  *rand.ChaCha8
	list    []processor
	checked bool
}

// A hypothesis is a text with its score.
type hypothesis struct {
	ids      []int32
	logs     []float64 // what Token.LogProb is, of each new token
	score    float32
	finished bool
}

// A Result is a finished text of a beam search.
type Result struct {
	New []int32 // the continuation
	// LogProbs are the log-probabilities of the new tokens, before any processor.
	LogProbs []float64
	// Score is the sum of processed log-probabilities over length^length_penalty.
	Score  float64
	Finish string
}

// NewBeam begins behind a prompt of at least one token.
func NewBeam(c Config, prompt []int32) (*Beam, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b := &Beam{config: c, prompt: len(prompt), length: len(prompt), better: true, random: newRandom(c.Seed), list: c.processors(len(prompt))}
	b.running = []hypothesis{{ids: slices.Clone(prompt)}}
	b.parents = []int{-1}
	for range c.Beams {
		b.done = append(b.done, hypothesis{ids: slices.Clone(prompt), score: never})
	}
	return b, nil
}

// Done reports whether the search is over.
func (b *Beam) Done() bool { return b.over }

// Texts are the texts, prompt included, whose next logits Advance takes. They must not be changed.
func (b *Beam) Texts() [][]int32 {
	out := make([][]int32, len(b.running))
	for i, h := range b.running {
		out[i] = h.ids
	}
	return out
}

// Parents says for each of Texts which text of the turn before it continues; −1 for the prompt.
func (b *Beam) Parents() []int { return b.parents }

// A candidate continues running text from by one token.
type candidate struct {
	from  int
	id    int32
	score float32
	stops bool
}

// Advance takes the logits [vocabulary] of each of Texts, which it leaves as they are.
func (b *Beam) Advance(logits [][]float32) error {
	if len(logits) != len(b.running) || b.over {
		return fmt.Errorf("%d rows of logits for %d texts", len(logits), len(b.running))
	}
	scores, err := b.scores(logits)
	if err != nil {
		return err
	}
	top, err := b.choose(scores)
	if err != nil {
		return err
	}
	hypotheses := make([]hypothesis, len(top))
	for i, c := range top {
		hypotheses[i] = b.extend(c, logits[c.from])
	}
	b.keepRunning(top, hypotheses)
	b.keepFinished(top, hypotheses)
	b.length++
	b.decide(top)
	return nil
}

// scores are the running scores plus the processed log-probabilities.
func (b *Beam) scores(logits [][]float32) ([][]float32, error) {
	scores := make([][]float32, len(logits))
	for i, row := range logits {
		if err := b.config.admit(row, &b.checked); err != nil {
			return nil, err
		}
		scores[i] = make([]float32, len(row))
		logSoftmax(scores[i], row)
		for _, p := range b.list {
			p.process(b.running[i].ids, scores[i])
		}
		for k := range scores[i] {
			scores[i][k] += b.running[i].score
		}
	}
	return scores, nil
}

// choose takes enough candidates that Beams of them go on even if every other one ends: the best, or a sample without
// replacement.
func (b *Beam) choose(scores [][]float32) ([]candidate, error) {
	vocabulary := len(scores[0])
	flat := slices.Concat(scores...)
	keep := max(2, 1+len(b.config.EOS)) * b.config.Beams
	if len(scores) == 1 && possible(flat) < keep {
		// transformers' other beams of the first turn hold the same text at a score of −1e9.
		for k := 1; k < b.config.Beams; k++ {
			for _, x := range scores[0] {
				flat = append(flat, x+never)
			}
		}
	}
	if keep > len(flat) {
		return nil, fmt.Errorf("%w num_beams %d: a vocabulary of %d has not enough tokens to continue with", ErrConfig, b.config.Beams, vocabulary)
	}
	index := largest(flat, keep)
	if b.config.Sample {
		var err error
		if index, err = drawSeveral(flat, keep, b.random); err != nil {
			return nil, err
		}
	}
	top := make([]candidate, keep)
	for i, k := range index {
		top[i] = candidate{from: k / vocabulary % len(scores), id: int32(k % vocabulary), score: flat[k]}
		top[i].stops = slices.Contains(b.config.EOS, top[i].id) || b.length+1-b.prompt >= b.config.MaxNewTokens
		if f := b.config.Stops; f != nil && !top[i].stops {
			top[i].stops = f(append(slices.Clone(b.running[top[i].from].ids[b.prompt:]), top[i].id))
		}
	}
	return top, nil
}

// possible counts the scores that are not forbidden.
func possible(scores []float32) (n int) {
	for _, x := range scores {
		if x > negInf {
			n++
		}
	}
	return n
}

// drawSeveral draws indices without replacement. Where fewer than n are possible, the rest are the best impossible ones.
func drawSeveral(scores []float32, n int, r *rand.ChaCha8) ([]int, error) {
	left := slices.Clone(scores)
	var out []int
	for range n {
		i, err := draw(left, uniform(r))
		if err != nil {
			break
		}
		out = append(out, int(i))
		left[i] = negInf
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("every token is forbidden")
	}
	for _, i := range largest(scores, len(scores)) {
		if len(out) < n && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out, nil
}

func (b *Beam) extend(c candidate, logits []float32) hypothesis {
	h := b.running[c.from]
	return hypothesis{
		ids:  append(slices.Clone(h.ids), c.id),
		logs: append(slices.Clone(h.logs), describe(c.id, logits, 0).LogProb), score: c.score,
	}
}

// keepRunning takes the best Beams candidates that do not end.
func (b *Beam) keepRunning(top []candidate, hypotheses []hypothesis) {
	scores := make([]float32, len(top))
	for i, c := range top {
		if scores[i] = c.score; c.stops {
			scores[i] += never
		}
	}
	b.running, b.parents = nil, nil
	for _, i := range largest(scores, b.config.Beams) {
		h := hypotheses[i]
		h.score = scores[i]
		b.running, b.parents = append(b.running, h), append(b.parents, top[i].from)
	}
}

// keepFinished puts texts that ended among the first Beams candidates among the finished, if they are better.
func (b *Beam) keepFinished(top []candidate, hypotheses []hypothesis) {
	full := b.full() && b.config.EarlyStopping == StopFirst
	over := float32(math.Pow(float64(b.length+1-b.prompt), b.config.LengthPenalty))
	merged := slices.Clone(b.done)
	for i, h := range hypotheses {
		h.score = top[i].score / over
		if full {
			h.score += never
		}
		if !b.better {
			h.score += never
		}
		if h.finished = top[i].stops && i < b.config.Beams; !h.finished {
			h.score += never
		}
		merged = append(merged, h)
	}
	scores := make([]float32, len(merged))
	for i, h := range merged {
		scores[i] = h.score
	}
	b.done = nil
	for _, i := range largest(scores, b.config.Beams) {
		b.done = append(b.done, merged[i])
	}
}

// full reports whether there are as many finished texts as beams.
func (b *Beam) full() bool {
	return !slices.ContainsFunc(b.done, func(h hypothesis) bool { return !h.finished })
}

// decide ends the search when nothing can improve, enough is finished, or nothing can go on.
func (b *Beam) decide(top []candidate) {
	length := b.length - b.prompt
	if b.config.EarlyStopping == StopNever && b.config.LengthPenalty > 0 {
		length = b.config.MaxNewTokens
	}
	possible := b.running[0].score / float32(math.Pow(float64(length), b.config.LengthPenalty))
	worst := b.done[0].score
	for _, h := range b.done {
		worst = min(worst, h.score)
	}
	improves := false
	for _, h := range b.done {
		bound := never
		if h.finished {
			bound = worst
		}
		improves = improves || possible > bound
	}
	b.better = b.better && improves
	goesOn := slices.ContainsFunc(top, func(c candidate) bool { return !c.stops })
	b.over = !b.better || b.full() && b.config.EarlyStopping == StopFirst || !goesOn
}

// Results are the best Config.Return texts, the best first.
func (b *Beam) Results() []Result {
	var out []Result
	for _, h := range b.done[:b.config.Return] {
		r := Result{New: h.ids[b.prompt:], LogProbs: h.logs, Score: float64(h.score), Finish: FinishLength}
		if n := len(r.New); n > 0 && (slices.Contains(b.config.EOS, r.New[n-1]) || b.config.Stops != nil && b.config.Stops(r.New)) {
			r.Finish = FinishStop
		}
		out = append(out, r)
	}
	return out
}
