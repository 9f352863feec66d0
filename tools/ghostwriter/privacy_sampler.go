package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// Names of samplers. ghostwriter samples by the first; the others are priced for runs of other systems.
const (
	samplerPoisson            = "poisson"
	samplerTruncated          = "truncated-poisson"
	samplerWithoutReplacement = "without-replacement"
)

// A samplerInput is what the flags say about how batches were drawn.
type samplerInput struct {
	name                     string
	records, batch, maxBatch int64
}

func (s *samplerInput) add(fl *pflag.FlagSet) {
	fl.StringVar(&s.name, "sampler", samplerPoisson, "how batches were drawn: poisson; truncated-poisson (with --records and --max-batch);\n"+
		"without-replacement (with --records and --batch, instead of --sample-rate; by rdp, for replace-one)")
	fl.Int64Var(&s.records, "records", 0, "N, of the samplers that need it")
	fl.Int64Var(&s.batch, "batch", 0, "records of a batch drawn without replacement")
	fl.Int64Var(&s.maxBatch, "max-batch", 0, "records that a truncated batch has at most")
}

// samplerNeeds lists the flags of each sampler; a flag of another one is refused.
var samplerNeeds = map[string][]string{
	samplerPoisson:            {},
	samplerTruncated:          {"records", "max-batch"},
	samplerWithoutReplacement: {"records", "batch"},
}

// needs is what a question needs under this sampler.
func (s *samplerInput) needs(question []string) []string {
	out := slices.Clone(question)
	if s.name == samplerWithoutReplacement {
		out = slices.DeleteFunc(out, func(n string) bool { return n == "sample-rate" })
	}
	return append(out, samplerNeeds[s.name]...)
}

// resolve refuses what contradicts the sampler and chooses its only relation and accountant where none was
// given.
func (s *samplerInput) resolve(in *accountingInput, given func(string) bool) error {
	own, ok := samplerNeeds[s.name]
	if !ok {
		return fmt.Errorf("%w: --sampler %q: there are %s, %s and %s", errCommandLine, s.name, samplerPoisson, samplerTruncated, samplerWithoutReplacement)
	}
	for _, name := range []string{"records", "batch", "max-batch"} {
		if given(name) && !slices.Contains(own, name) {
			return fmt.Errorf("%w: --%s with --sampler %s: that sampler has no such number", errCommandLine, name, s.name)
		}
	}
	if s.name != samplerPoisson && given("phases") {
		return fmt.Errorf("%w: --phases and --sampler %s: phases are Poisson-sampled", errCommandLine, s.name)
	}
	if s.name == samplerWithoutReplacement {
		if given("sample-rate") {
			return fmt.Errorf("%w: --sample-rate with --sampler %s: it follows from --batch and --records", errCommandLine, s.name)
		}
		if !given("relation") {
			in.relationName = string(dpadam.ReplaceOne)
		}
		if !given("accountant") {
			in.accountantName = "rdp"
		}
	}
	return nil
}

// mechanism is one step of the sampler.
func (s *samplerInput) mechanism(p dpadam.Phase) dpadam.Mechanism {
	switch s.name {
	case samplerTruncated:
		return dpadam.TruncatedPoissonGaussian{Records: s.records, SampleRate: p.SampleRate, MaxBatch: s.maxBatch, NoiseMultiplier: p.NoiseMultiplier}
	case samplerWithoutReplacement:
		return dpadam.WithoutReplacementGaussian{Records: s.records, Batch: s.batch, NoiseMultiplier: p.NoiseMultiplier}
	}
	return dpadam.PoissonSubsampledGaussian{SampleRate: p.SampleRate, NoiseMultiplier: p.NoiseMultiplier}
}
