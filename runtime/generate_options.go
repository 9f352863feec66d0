package runtime

import (
	crand "crypto/rand"
	"encoding/binary"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A Switch is a setting that is on, off, or left to the model's
// generation_config.json.
type Switch int

// The states of a Switch.
const (
	Unset Switch = iota
	On
	Off
)

// A TokenLogProb is a token and the natural logarithm of its probability.
type TokenLogProb = decode.TokenLogProb

// GenerateOptions say how to continue prompts. Meaning and defaults are those
// of generate in transformers 4.57: a zero value is unset, and what is unset
// comes from the model's generation_config.json (from config.json where there
// is none), then from transformers' defaults.
type GenerateOptions struct {
	// MaxNewTokens bounds the continuation. Without it MaxLength bounds prompt
	// and continuation together; without either 20 tokens are added.
	MaxNewTokens, MaxLength int
	// EOS are the ids that end a continuation; an empty list, not nil, is none.
	EOS []int64
	// MinNewTokens and MinLength forbid EOS before that many tokens, of the
	// continuation and of the whole.
	MinNewTokens, MinLength int

	// Beams above 1 search with that many beams; Return is how many of their
	// texts Continue returns. LengthPenalty (nil: 1) divides a text's
	// log-probability by its length to that power. EarlyStopping is "true",
	// "false" or "never".
	Beams, Return int
	LengthPenalty *float64
	EarlyStopping string

	// Sample draws tokens instead of taking the likeliest.
	Sample Switch
	// Temperature divides the logits. TopK keeps the k likeliest tokens (unset:
	// 50; negative: all), TopP the likeliest ones of that mass, MinP those at
	// least that likely relative to the likeliest, TypicalP the most typical.
	Temperature          float64
	TopK                 int
	TopP, MinP, TypicalP float64
	// Seed makes sampling repeatable: prompt i of a call draws with Seed + i.
	// Nil takes a random one.
	Seed *uint64

	// RepetitionPenalty weakens every token that prompt or continuation has.
	// NoRepeatNGram forbids to repeat sequences of that many tokens. Forbidden
	// are sequences that may not occur, Suppress tokens.
	RepetitionPenalty float64
	NoRepeatNGram     int
	// FrequencyPenalty times its count in the continuation, and PresencePenalty
	// once, are taken from a token's logit, and LogitBias is added to it, as the
	// OpenAI API has them.
	FrequencyPenalty, PresencePenalty float64
	LogitBias                         map[int32]float64
	Forbidden                         [][]int32
	Suppress                          []int32

	// Stop ends a continuation whose text contains one of these strings, across
	// tokens' borders; its text is cut before the first. They need a tokenizer:
	// Tokenizer, or the model's own.
	Stop      []string
	Tokenizer *tokenize.Tokenizer `json:"-"`

	// TopLogProbs reports that many of the likeliest tokens with each.
	TopLogProbs int

	// OnToken, if set, is called for each token as it is chosen, prompts by
	// index, from one goroutine; not for beam search, whose texts are only known
	// at the end. An error of it stops the generation.
	OnToken func(prompt int, t Token) error `json:"-"`
	// OnDone, if set, is called with the continuations of each prompt as soon as they are whole, prompts by index and in no
	// order, from one goroutine. An error of it stops the generation.
	OnDone func(prompt int, c []Continuation) error `json:"-"`
}

// A generationPlan is what options and configuration come to, for prompts of
// any length.
type generationPlan struct {
	config decode.Config // without lengths
	new    int           // most new tokens, 0 where total is given
	total  int           // most tokens altogether, 0 where 20 are added
	stop   []string
	seed   uint64
}

// defaultNewTokens are added where nothing is said.
const defaultNewTokens = 20

// plan resolves options.
func (o GenerateOptions) plan(dir string, config modelConfig) (generationPlan, error) {
	if o.MaxNewTokens < 0 {
		return generationPlan{}, usage("--max-new-tokens %d must be positive", o.MaxNewTokens)
	}
	if o.MaxLength < 0 || o.TopLogProbs < 0 {
		return generationPlan{}, usage("negative max length %d or top log-probabilities %d", o.MaxLength, o.TopLogProbs)
	}
	file, err := readGenerationConfig(dir)
	if err != nil {
		return generationPlan{}, err
	}
	if len(file.unsupported) > 0 {
		return generationPlan{}, usage("generation_config.json asks for %v, which is not supported; remove it from the file", file.unsupported)
	}
	p := generationPlan{config: decode.Default(), stop: o.Stop}
	if err := file.apply(&p.config); err != nil {
		return p, err
	}
	if p.stop == nil {
		p.stop = file.stops()
	}
	if err := o.override(&p.config); err != nil {
		return p, err
	}
	p.lengths(o, file)
	eos := o.EOS
	if eos == nil {
		eos = idList(file.EOS)
	}
	for _, id := range eos {
		p.config.EOS = append(p.config.EOS, int32(id))
	}
	p.seed = seedOf(o.Seed)
	check := p.config
	if err := check.Check(); err != nil {
		return p, usage("%w", err)
	}
	return p, nil
}

// override applies the options that are set.
func (o GenerateOptions) override(c *decode.Config) error {
	set(&c.MinLength, o.MinLength)
	set(&c.MinNewTokens, o.MinNewTokens)
	set(&c.Beams, o.Beams)
	set(&c.Return, o.Return)
	set(&c.Temperature, o.Temperature)
	set(&c.TopP, o.TopP)
	set(&c.MinP, o.MinP)
	set(&c.TypicalP, o.TypicalP)
	set(&c.RepetitionPenalty, o.RepetitionPenalty)
	set(&c.NoRepeatNGram, o.NoRepeatNGram)
	set(&c.FrequencyPenalty, o.FrequencyPenalty)
	set(&c.PresencePenalty, o.PresencePenalty)
	if o.LogitBias != nil {
		c.LogitBias = o.LogitBias
	}
	if set(&c.TopK, o.TopK); o.TopK < 0 {
		c.TopK = 0
	}
	if o.LengthPenalty != nil {
		c.LengthPenalty = *o.LengthPenalty
	}
	if o.Forbidden != nil {
		c.Forbidden = o.Forbidden
	}
	if o.Suppress != nil {
		c.Suppress = o.Suppress
	}
	if o.Sample != Unset {
		c.Sample = o.Sample == On
	}
	c.TopLogProbs = o.TopLogProbs
	if o.EarlyStopping != "" {
		var err error
		if c.EarlyStopping, err = earlyStopping(o.EarlyStopping); err != nil {
			return usage("%w", err)
		}
	}
	return nil
}

// set overwrites a setting by a value that is not zero.
func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

// lengths resolves what bounds a text: the options, then the file.
func (p *generationPlan) lengths(o GenerateOptions, file generationConfig) {
	switch {
	case o.MaxNewTokens > 0:
		p.new = o.MaxNewTokens
	case o.MaxLength > 0:
		p.total = o.MaxLength
	case file.MaxNewTokens != nil && *file.MaxNewTokens > 0:
		p.new = *file.MaxNewTokens
	case file.MaxLength != nil && *file.MaxLength > 0 && *file.MaxLength != defaultNewTokens:
		p.total = *file.MaxLength
	}
}

// forPrompt is the configuration for a prompt of n tokens in a model of so many
// positions (0: unknown), the i-th of a call.
func (p generationPlan) forPrompt(n, i int, positions int64) (decode.Config, error) {
	c := p.config
	c.Seed = p.seed + uint64(i)
	switch {
	case p.new > 0:
		c.MaxNewTokens = p.new
	case p.total > 0:
		total := p.total
		if positions > 0 {
			total = min(total, int(positions))
		}
		if c.MaxNewTokens = total - n; c.MaxNewTokens <= 0 {
			return c, usage("prompt %d has %d tokens and prompt and continuation together may have %d: say how many may follow with --max-new-tokens", i+1, n, total)
		}
	default:
		c.MaxNewTokens = defaultNewTokens
		if positions > 0 {
			c.MaxNewTokens = min(c.MaxNewTokens, int(positions)-n)
		}
	}
	if positions > 0 && (c.MaxNewTokens <= 0 || int64(n+c.MaxNewTokens) > positions) {
		return c, usage("prompt %d: %d tokens and %d new ones are more than the model's %d positions", i+1, n, max(1, c.MaxNewTokens), positions)
	}
	c.Forbidden = slices.Clone(c.Forbidden)
	return c, nil
}

// seedOf is the caller's seed, or one from the system.
func seedOf(seed *uint64) uint64 {
	if seed != nil {
		return *seed
	}
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(b[:])
}
