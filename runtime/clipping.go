package runtime

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// clips reports whether the run clips gradients: always under privacy, without it when a norm is given.
func (o *FinetuneOptions) clips() bool { return !o.NoPrivacy || o.ClipNorm > 0 }

// validateClipping refuses settings that would be ignored, or that do not go together.
func (o *FinetuneOptions) validateClipping() error {
	for _, rule := range []struct {
		broken bool
		format string
		value  any
	}{
		{o.ClipGamma > 0 && o.clipRule() != ghost.Automatic, "--clip-gamma %v belongs to --clip auto", o.ClipGamma},
		{o.ClipRate > 0 && o.ClipQuantile == 0, "--clip-rate %v belongs to --clip-quantile, which lets the clipping norm adapt", o.ClipRate},
		{o.ClipCountNoise > 0 && o.ClipQuantile == 0, "--clip-count-noise %v belongs to --clip-quantile, which lets the clipping norm adapt", o.ClipCountNoise},
		{o.ClipQuantile >= 1, "--clip-quantile %v must be below 1", o.ClipQuantile},
		{o.ClipQuantile > 0 && o.NoPrivacy, "--clip-quantile %v is followed under noise; with --no-privacy give a fixed --clip-norm", o.ClipQuantile},
		{o.Clip == string(ghost.Automatic) && !o.clips(), "--clip %v: without privacy nothing is clipped unless --clip-norm is given", o.Clip},
		{o.ClipPer != "" && o.ClipQuantile > 0, "--clip-per %v can't be combined with --clip-quantile, which adapts one norm over all parameters", o.ClipPer},
		{o.ClipPer != "" && o.TwoPass, "--clip-per %v needs one pass: the second of --two-pass weighs each record's whole gradient", o.ClipPer},
		{o.ClipPer != "" && o.UnitColumn != "", "--clip-per %v is for records; with --unit-column a user's whole gradient is clipped by one norm", o.ClipPer},
		{o.ClipPer != "" && !o.clips(), "--clip-per %v: without privacy nothing is clipped unless --clip-norm is given", o.ClipPer},
		{o.ClipShares != "" && o.ClipPer == "", "--clip-shares %v belongs to --clip-per", o.ClipShares},
		{o.EMA >= 1, "--ema %v must be below 1", o.EMA},
	} {
		if rule.broken {
			return usage(rule.format, rule.value)
		}
	}
	return nil
}

// planClipping puts the way of clipping and the average into a plan's configuration.
func (o *FinetuneOptions) planClipping(c *dpadam.Config, groups []ghost.Group) {
	c.AverageDecay = o.EMA
	if !o.clips() {
		return
	}
	c.Clipping.Rule = string(o.clipRule())
	if o.ClipPer != "" {
		c.Clipping.Per, c.Clipping.Groups = o.ClipPer, planGroups(groups)
	}
	if o.clipRule() == ghost.Automatic {
		c.Clipping.Gamma = o.clipGamma()
	}
	if o.ClipQuantile > 0 {
		c.Clipping.Adaptive = &dpadam.Adaptive{Quantile: o.ClipQuantile, Rate: o.ClipRate, CountNoise: o.ClipCountNoise}
	}
}

// describeClipping says how a plan clips and averages; nothing of the plain way.
func describeClipping(s dpadam.Spec) string {
	var parts []string
	if s.Clipping != nil {
		parts = append(parts, "clipping "+s.Clipping.String())
		if a := s.Clipping.Adaptive; a != nil {
			parts = append(parts, fmt.Sprintf("C = %g follows the quantile %g at rate %g, count noise %.4g", s.ClipNorm, a.Quantile, a.Rate, a.CountNoise))
		}
	}
	if s.AverageDecay > 0 {
		parts = append(parts, fmt.Sprintf("the average of the weights is written, decay %g", s.AverageDecay))
	}
	return strings.Join(parts, "; ")
}

// clipTo is the norm to clip to in the present step; it follows C where the plan adapts it.
func (t *trainer) clipTo() float64 {
	if t.stepper == nil { // warming up
		return t.plan.ClipTo()
	}
	return t.stepper.ClipTo()
}

// clip is how the present step clips where the factors are computed outside of the graph.
func (t *trainer) clip() GradNormsOptions {
	return GradNormsOptions{Clip: t.options.clipRule(), ClipNorm: t.clipTo(), ClipGamma: t.options.clipGamma()}
}

// add adds the sum of a microbatch to the step, with the count of its records where the plan adapts C.
func (t *trainer) add(s *dpadam.Step, m microbatch, r *ran) error {
	n := len(m.records)
	if t.plan.Adapts() {
		return s.AddPartsCounted(t.parts(), n, r.within(n, t.clipTo()))
	}
	return s.AddParts(t.parts(), n)
}

// within counts the microbatch's records whose gradient is not longer than the clipping norm. Every record counts or
// does not, by a rule that looks at nothing else: one that was dropped has a gradient of zero and counts, one whose loss
// or gradient is not finite does not; padding is no record.
func (r *ran) within(records int, clip float64) int {
	limit := float64(float32(clip)) // as the graph compares
	n := records
	for i, real := range r.real { // a row is real for records that were not dropped only
		if real && !(r.finite[i] && r.norm[i] <= limit) {
			n--
		}
	}
	return n
}
