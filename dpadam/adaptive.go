package dpadam

import (
	"crypto/cipher"
	"fmt"
	"math"
)

// Adaptive makes the clipping norm follow the quantile Quantile of the gradients' norms (Andrew,
// Thakkar, McMahan, Ramaswamy 2021, arXiv 1905.03871). Every sampled record gives the bit
//
//	b_i = 1 if |g_i| <= C_t, else 0,
//
// and with B the public expected batch the step releases, beside the sum,
//
//	b~ = (sum_i (b_i - 1/2) + N(0, sigma_b^2))/B + 1/2,
//	C_{t+1} = C_t exp(-Rate (b~ - Quantile)), kept within [MinNorm, MaxNorm].
//
// The noise on the sum is raised so that both together are one Gaussian mechanism with the
// plan's noise multiplier (doc.go). The plan's ClipNorm is C_1.
type Adaptive struct {
	Quantile   float64 `json:"quantile"`    // gamma, in (0, 1)
	Rate       float64 `json:"rate"`        // eta_C
	CountNoise float64 `json:"count_noise"` // sigma_b, standard deviation of the noise on the centred count, in records
	MinNorm    float64 `json:"min_norm"`
	MaxNorm    float64 `json:"max_norm"`

	// The count's lattice: steps of 2^CountExponent, of which every record moves it by exactly
	// half a record, and CountSigma, the standard deviation of its noise in steps.
	CountExponent int    `json:"count_exponent"`
	CountSigma    uint64 `json:"count_sigma"`
}

const (
	// DefaultClipRate is the eta_C of Andrew et al.'s experiments.
	DefaultClipRate = 0.2
	// maxClipRate bounds eta_C: beyond it one step overshoots every quantile.
	maxClipRate = 10
	// clipRange is how far C may move from the plan's: public bounds that keep the scaling of
	// sums within float64 and clipped gradients within float32.
	clipRange = 0x1p20
	// countStep is the finest step of the count's lattice.
	countStep = -30
	// maxCountShare bounds r = sigma/(2 sigma_b): at r = 1 the count alone would use up the
	// budget, and up to here float64 computes sigma_Delta to 1e-13.
	maxCountShare = 0.998
	// minCountSigma: from here on the sampler's bound of 128 standard deviations holds.
	minCountSigma = 1024
	// countChunk addresses the count's noise stream. Coordinates have chunks 0 to
	// maxDim/noiseChunk = 2^24 and never come here.
	countChunk = uint64(1) << 47
)

// bound fills in what the plan's clipping norm decides.
func (a *Adaptive) bound(clipNorm float64) {
	if a.Rate == 0 {
		a.Rate = DefaultClipRate
	}
	if a.MinNorm == 0 {
		a.MinNorm = max(clipNorm/clipRange, minClip)
	}
	if a.MaxNorm == 0 {
		a.MaxNorm = min(clipNorm*clipRange, maxClip)
	}
}

// settle fills in the count's noise and its lattice. The default sigma_b is B/20 (Andrew et al.:
// noise of 5 % on the fraction), and at least 2 sigma, so that a small batch raises the noise
// on the sum by no more than 3.3 %.
func (a *Adaptive) settle(s *Spec) error {
	if a.CountNoise == 0 {
		a.CountNoise = max(s.ExpectedBatch/20, 2*s.NoiseMultiplier)
	}
	if err := a.validateNoise(s); err != nil {
		return err
	}
	for e := countStep; e < 0; e++ {
		if sigma, fits := countLattice(s.Records, a.CountNoise, e); fits {
			a.CountExponent, a.CountSigma = e, sigma
			return nil
		}
	}
	return invalid("count noise", a.CountNoise, fmt.Sprintf("no lattice in 64 bits holds the count of %d records with it", s.Records))
}

// countLattice returns the noise of the count in steps of 2^exponent and whether int64 holds
// count and noise: N*2^(-exponent-1) + 128 s < 2^62.
func countLattice(records int64, noise float64, exponent int) (sigma uint64, fits bool) {
	s := math.Ceil(math.Ldexp(noise, -exponent))
	if !(s >= minCountSigma && s <= float64(maxLatticeSigma)) {
		return 0, false
	}
	return uint64(s), math.Ldexp(float64(records), -exponent-1)+maxNoiseSigmas*s < sumLimit
}

func (a *Adaptive) validateNoise(s *Spec) error {
	if !(a.CountNoise > 0) || math.IsInf(a.CountNoise, 0) {
		return invalid("count noise", a.CountNoise, "must be a finite number > 0")
	}
	if r := s.NoiseMultiplier / (2 * a.CountNoise); !(r <= maxCountShare) {
		return invalid("count noise", a.CountNoise, fmt.Sprintf(
			"must be at least %.6g: below half the noise multiplier (now %.6g) the count alone would cost more than the plan allows",
			s.NoiseMultiplier/(2*maxCountShare), s.NoiseMultiplier))
	}
	return nil
}

// validate checks a resolved plan's adaptive clipping.
func (a *Adaptive) validate(s *Spec) error {
	if s.Lattice == nil {
		return invalid("clipping quantile", a.Quantile, "is estimated under noise: without privacy give a fixed clipping norm")
	}
	if !(a.Quantile > 0 && a.Quantile < 1) {
		return invalid("clipping quantile", a.Quantile, "must be in (0, 1)")
	}
	if !(a.Rate > 0 && a.Rate <= maxClipRate) {
		return invalid("clipping rate", a.Rate, fmt.Sprintf("must be in (0, %g]", float64(maxClipRate)))
	}
	if !(a.MinNorm >= minClip && a.MinNorm >= s.ClipNorm/clipRange && a.MinNorm <= s.ClipNorm) {
		return invalid("least clipping norm", a.MinNorm, fmt.Sprintf("must be in [%g, %g]", max(minClip, s.ClipNorm/clipRange), s.ClipNorm))
	}
	if !(a.MaxNorm <= maxClip && a.MaxNorm <= s.ClipNorm*clipRange && a.MaxNorm >= s.ClipNorm) {
		return invalid("largest clipping norm", a.MaxNorm, fmt.Sprintf("must be in [%g, %g]", s.ClipNorm, min(maxClip, s.ClipNorm*clipRange)))
	}
	if err := a.validateNoise(s); err != nil {
		return err
	}
	if a.CountExponent < countStep || a.CountExponent > -1 {
		return invalid("exponent of the count's lattice", a.CountExponent, fmt.Sprintf("must be in [%d, -1]", countStep))
	}
	want, fits := countLattice(s.Records, a.CountNoise, a.CountExponent)
	if !fits {
		return invalid("exponent of the count's lattice", a.CountExponent, "64-bit counts could overflow")
	}
	if a.CountSigma < want || a.CountSigma > maxLatticeSigma {
		return invalid("sigma of the count's lattice", a.CountSigma, fmt.Sprintf("must be in [%d, %d]", want, maxLatticeSigma))
	}
	if _, fits := countLattice(s.Records, math.Ldexp(float64(a.CountSigma), a.CountExponent), a.CountExponent); !fits {
		return invalid("sigma of the count's lattice", a.CountSigma, "64-bit counts could overflow")
	}
	return nil
}

// sumMultiplier is the noise on the sum over C: the plan's noise multiplier, or with adaptive
// clipping, where the count takes its part of the budget (Andrew et al. 2021, Theorem 1),
//
//	sigma_Delta = (sigma^-2 - (2 sigma_b)^-2)^(-1/2) = sigma/sqrt((1-r)(1+r)),  r = sigma/(2 sigma_b).
func (s *Spec) sumMultiplier() float64 {
	a := s.adaptive()
	if a == nil {
		return s.NoiseMultiplier
	}
	r := s.NoiseMultiplier / (2 * a.CountNoise)
	return s.NoiseMultiplier / math.Sqrt((1-r)*(1+r))
}

// scalingError is what scaling sums by C_1/C_t in float64 may add to the sensitivity, relative to
// C/gamma (doc.go).
func (s *Spec) scalingError() float64 {
	if s.adaptive() == nil {
		return 0
	}
	return float64(s.Records) * 0x1p-51
}

// next is C_{t+1}, from C_t and the noised count in steps of the lattice: post-processing.
func (a *Adaptive) next(norm float64, noised int64, expectedBatch float64) float64 {
	fraction := math.Ldexp(float64(noised), a.CountExponent)/expectedBatch + 0.5
	return min(max(norm*math.Exp(-a.Rate*(fraction-a.Quantile)), a.MinNorm), a.MaxNorm)
}

// countSteps is the centred count sum_i (b_i - 1/2) in steps of the lattice: every record is
// worth +-2^(-CountExponent-1) of them, whatever its bit.
func (a *Adaptive) countSteps(doubled int64) int64 { return doubled << (-a.CountExponent - 1) }

// ClipNorm is C_t, the clipping norm of the step to come.
func (a *Accumulator) ClipNorm() float64 { return a.clip }

// SetClipNorm restores C_t of an adaptive plan, a checkpoint's. It must be within the plan's
// bounds; under another plan only the plan's own is accepted.
func (a *Accumulator) SetClipNorm(c float64) error {
	s := &a.plan.spec
	lo, hi := s.ClipNorm, s.ClipNorm
	if ad := s.adaptive(); ad != nil {
		lo, hi = ad.MinNorm, ad.MaxNorm
	}
	if !(c >= lo && c <= hi) {
		return invalid("clipping norm", c, fmt.Sprintf("must be in [%g, %g] under this plan", lo, hi))
	}
	a.clip = c
	return nil
}

// AddCounted is Add under an adaptive plan: within is the number of the records whose gradient's
// norm is at most the clipping norm. A record without a gradient (cut out, or all zero) is within;
// one whose gradient is not finite is not. Every record has exactly one bit.
func (a *Accumulator) AddCounted(sum []float32, records, within int) error {
	if a.err == nil {
		if a.err = a.takesCounted(records, within); a.err == nil {
			if a.err = a.add(sum, records, 1); a.err == nil {
				a.doubled += int64(2*within - records)
			}
		}
	}
	return a.err
}

// takesCounted refuses plans whose sums are not added with a count, and counts that can't be.
func (a *Accumulator) takesCounted(records, within int) error {
	switch {
	case a.plan.spec.adaptive() == nil:
		return fmt.Errorf("%w: the plan's clipping norm is fixed, nothing is counted", ErrMisuse)
	case a.plan.spec.RecordsPerUnit > 0:
		return fmt.Errorf("%w: the plan's units are added one at a time (AddUnitCounted)", ErrMisuse)
	case within < 0 || within > records:
		return fmt.Errorf("%w: the records within the clipping norm must be among the %d of the microbatch", ErrMisuse, records)
	}
	return nil
}

// AddUnitCounted is AddUnit under an adaptive plan: within says whether the norm of the unit's
// gradient is at most the clipping norm. A unit without a gradient is within, one whose gradient is
// not finite is not.
func (a *Accumulator) AddUnitCounted(sum []float32, factor float64, within bool) error {
	if a.err != nil {
		return a.err
	}
	if a.plan.spec.adaptive() == nil {
		a.err = fmt.Errorf("%w: the plan's clipping norm is fixed, nothing is counted", ErrMisuse)
		return a.err
	}
	if a.err = a.addUnit(sum, factor); a.err != nil {
		return a.err
	}
	if within {
		a.doubled++
	} else {
		a.doubled--
	}
	return nil
}

// AddUnitCounted is AddUnit under adaptive clipping (Accumulator.AddUnitCounted).
func (st *Step) AddUnitCounted(sum []float32, factor float64, within bool) error {
	if err := st.running(); err != nil {
		return err
	}
	return st.stepper.acc.AddUnitCounted(sum, factor, within)
}

// adapt releases the count and moves the clipping norm. It uses the charge's key, in a stream of
// its own.
func (n *Noiser) adapt(block cipher.Block, index uint64, acc *Accumulator) {
	a := n.plan.spec.adaptive()
	src := &n.scratch[0].src
	src.open(block, index, countChunk)
	z := n.scratch[0].z[:1]
	n.count.fill(z, src)
	acc.clip = a.next(acc.clip, a.countSteps(acc.doubled)+z[0], n.plan.spec.ExpectedBatch)
}
