package decode

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Why a text ended.
const (
	FinishStop   = "stop"   // an end-of-sequence id, or a stop string
	FinishLength = "length" // MaxNewTokens are there
)

// A Token is one choice.
type Token struct {
	ID int32
	// LogProb is the natural logarithm of the probability that the model gave the token, before any processor.
	LogProb float64
	// Top are the Config.TopLogProbs likeliest tokens, the likeliest first, before any processor.
	Top []TokenLogProb
}

// A TokenLogProb is a token and its log-probability.
type TokenLogProb struct {
	ID      int32
	LogProb float64
}

// A Sampler continues one text token by token, greedily or by sampling. It is not safe for concurrent use.
type Sampler struct {
	config     Config
	prompt     int
	ids        []int32
	processors []processor
	random     *rand.ChaCha8
	finish     string
	checked    bool
	scores     []float32 // memory for processed logits
}

// NewSampler begins behind a prompt of at least one token; Config.Beams must be 1.
func NewSampler(c Config, prompt []int32) (*Sampler, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Beams != 1 {
		return nil, fmt.Errorf("%w num_beams %d: a sampler follows one text", ErrConfig, c.Beams)
	}
	return &Sampler{config: c, prompt: len(prompt), ids: slices.Clone(prompt), processors: c.processors(len(prompt)), random: newRandom(c.Seed)}, nil
}

// newRandom is ChaCha8 under the key (seed, 0, 0, 0), little endian.
func newRandom(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// IDs are prompt and continuation so far; they must not be changed.
func (s *Sampler) IDs() []int32 { return s.ids }

// New are the tokens added so far; they must not be changed.
func (s *Sampler) New() []int32 { return s.ids[s.prompt:] }

// Finish says why the text ended, "" while it has not.
func (s *Sampler) Finish() string { return s.finish }

// Push chooses the next token by the logits [vocabulary] of the last position, which it leaves as they are.
func (s *Sampler) Push(logits []float32) (Token, error) {
	if s.finish != "" {
		return Token{}, fmt.Errorf("the text has ended (%s)", s.finish)
	}
	if err := s.config.admit(logits, &s.checked); err != nil {
		return Token{}, err
	}
	scores := logits
	if len(s.processors) > 0 {
		s.scores = append(s.scores[:0], logits...)
		scores = s.scores
	}
	for _, p := range s.processors {
		p.process(s.ids, scores)
	}
	id := argmax(scores)
	if s.config.Sample {
		var err error
		if id, err = draw(scores, uniform(s.random)); err != nil {
			return Token{}, err
		}
	}
	s.ids = append(s.ids, id)
	switch {
	case slices.Contains(s.config.EOS, id), s.config.Stops != nil && s.config.Stops(s.New()):
		s.finish = FinishStop
	case len(s.ids)-s.prompt >= s.config.MaxNewTokens:
		s.finish = FinishLength
	}
	return describe(id, logits, s.config.TopLogProbs), nil
}

// admit checks logits, and on the first call the configuration against the vocabulary.
func (c Config) admit(logits []float32, checked *bool) error {
	if !*checked {
		if err := c.checkIDs(len(logits)); err != nil {
			return err
		}
		*checked = true
	}
	if c.RemoveInvalid {
		return nil
	}
	return checkLogits(logits)
}

// describe reports a token with log-probabilities of the raw logits.
func describe(id int32, logits []float32, top int) Token {
	most, log := logSumExp(logits)
	at := func(i int) float64 { return float64(logits[i]) - most - log }
	t := Token{ID: id, LogProb: at(int(id))}
	for _, i := range largest(logits, top) {
		t.Top = append(t.Top, TokenLogProb{int32(i), at(i)})
	}
	return t
}

// Describe reports a token that stands in a text with the log-probabilities of the logits [vocabulary] before it. The error
// wraps ErrConfig for an id that the vocabulary has not.
func Describe(id int32, logits []float32, top int) (Token, error) {
	if id < 0 || int(id) >= len(logits) {
		return Token{}, fmt.Errorf("%w: id %d is not in the model's vocabulary of %d", ErrConfig, id, len(logits))
	}
	if err := checkLogits(logits); err != nil {
		return Token{}, err
	}
	return describe(id, logits, top), nil
}

// uniform is a number in [0, 1) with 53 random bits.
func uniform(r *rand.ChaCha8) float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// draw inverts the distribution that the scores give, ids ascending, at u in [0, 1). Nothing of probability 0 is drawn.
func draw(scores []float32, u float64) (int32, error) {
	most, log := logSumExp(scores)
	var likely []int32 // those of any probability
	var probs []float32
	total := 0.0
	for i, x := range scores {
		if x == negInf {
			continue
		}
		if p := probability(x, most, log); p != 0 {
			likely, probs = append(likely, int32(i)), append(probs, p)
			total += float64(p)
		}
	}
	if !(total > 0) {
		return 0, fmt.Errorf("every token is forbidden")
	}
	last, sum := likely[0], 0.0
	for k, p := range probs {
		last = likely[k]
		if sum += float64(p); u*total < sum {
			break
		}
	}
	return last, nil
}
