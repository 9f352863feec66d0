package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// searchFlags are the flags of a search whose zero values mean something, so that what was given must be told from what
// was not.
type searchFlags struct {
	sample        bool
	lengthPenalty float64
	topK          int
	seed          uint64
	topP, minP    float64
}

func (s *searchFlags) register(fl *pflag.FlagSet, o *runtime.GenerateOptions) {
	fl.IntVar(&o.MaxNewTokens, "max-new-tokens", 0, "most tokens to add")
	fl.IntVar(&o.MaxLength, "max-length", 0, "most tokens of prompt and continuation together")
	fl.IntVar(&o.MinNewTokens, "min-new-tokens", 0, "fewest tokens to add before the text may end")
	fl.IntVar(&o.MinLength, "min-length", 0, "fewest tokens of prompt and continuation together")
	fl.Int64SliceVar(&o.EOS, "eos", nil, "token ids that end a text (default: the model's own)")
	fl.StringArrayVar(&o.Stop, "stop", nil, "a text that ends the continuation and is cut off (several times for several)")
	fl.IntVar(&o.Beams, "beams", 0, "beams of a beam search (default 1: none)")
	fl.IntVar(&o.Return, "return", 0, "how many of a beam search's texts are given for each prompt (default 1)")
	fl.Float64Var(&s.lengthPenalty, "length-penalty", 1, "a text's log-probability is divided by its length to this power")
	fl.StringVar(&o.EarlyStopping, "early-stopping", "", "when a beam search ends: true, false or never (default false)")
	fl.BoolVar(&s.sample, "sample", false, "draw tokens instead of taking the likeliest")
	fl.Float64Var(&o.Temperature, "temperature", 0, "divides the logits (default 1)")
	fl.IntVar(&s.topK, "top-k", 50, "draw among this many likeliest tokens; 0 among all")
	fl.Float64Var(&s.topP, "top-p", 1, "draw among the likeliest tokens of this mass")
	fl.Float64Var(&s.minP, "min-p", 0, "draw among tokens at least this likely relative to the likeliest")
	fl.Float64Var(&o.TypicalP, "typical-p", 0, "draw among the most typical tokens of this mass (default 1: all)")
	fl.Uint64Var(&s.seed, "seed", 0, "repeats a sample (default: a new one each time)")
	fl.Float64Var(&o.RepetitionPenalty, "repetition-penalty", 0, "above 1 weakens tokens that the text has (default 1)")
	fl.IntVar(&o.NoRepeatNGram, "no-repeat-ngram-size", 0, "sequences of this many tokens occur once (default 0: off)")
}

// positive are flags that mean nothing at 0 when they are given.
var positive = []string{"max-new-tokens", "max-length", "beams", "return", "temperature", "typical-p", "repetition-penalty"}

// apply passes on the flags that were given.
func (s *searchFlags) apply(fl *pflag.FlagSet, o *runtime.GenerateOptions) error {
	for _, name := range positive {
		if v := fl.Lookup(name).Value.String(); fl.Changed(name) && v == "0" {
			return fmt.Errorf("%w: --%s 0 must be positive", errCommandLine, name)
		}
	}
	for name, n := range map[string]int{"max-new-tokens": o.MaxNewTokens, "max-length": o.MaxLength, "beams": o.Beams, "return": o.Return, "top-k": s.topK, "min-length": o.MinLength, "min-new-tokens": o.MinNewTokens, "no-repeat-ngram-size": o.NoRepeatNGram} {
		if n < 0 {
			return fmt.Errorf("%w: --%s %d must not be negative", errCommandLine, name, n)
		}
	}
	given := fl.Changed
	if given("eos") && o.EOS == nil {
		o.EOS = []int64{}
	}
	if given("length-penalty") {
		o.LengthPenalty = &s.lengthPenalty
	}
	if given("sample") {
		o.Sample = runtime.Off
		if s.sample {
			o.Sample = runtime.On
		}
	}
	if given("top-k") {
		if o.TopK = s.topK; s.topK == 0 {
			o.TopK = -1
		}
	}
	if given("seed") {
		o.Seed = &s.seed
	}
	const smallest = 1e-30 // what a mass of 0 comes to: the likeliest token alone
	if given("top-p") {
		if o.TopP = s.topP; s.topP == 0 {
			o.TopP = smallest
		}
	}
	o.MinP = s.minP
	return nil
}
