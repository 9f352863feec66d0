package dpadam

import (
	"fmt"
	"math"
)

// Lattice fixes the noise of a plan in integers (doc.go has the proof).
type Lattice struct {
	Exponent        int     `json:"exponent"`         // gamma = 2^Exponent
	Sigma           uint64  `json:"sigma"`            // s, standard deviation of G in lattice units
	MaxMicrobatches int64   `json:"max_microbatches"` // M, no batch has more
	Overhead        float64 `json:"overhead"`         // R*sqrt(d)*gamma/C, the part of the sensitivity that rounding adds (adaptive: and scaling)
}

// Gamma is the lattice step.
func (l Lattice) Gamma() float64 { return math.Ldexp(1, l.Exponent) }

// NoiseStd is the standard deviation of the noise on the sum, s*gamma: sigma*C and a
// little more. Under adaptive clipping it is that of the first step and grows with C.
func (l Lattice) NoiseStd() float64 { return float64(l.Sigma) * l.Gamma() }

const (
	// Wanted of the lattice: a standard deviation of at least 2^40 steps, at most 2^-11 of
	// noise for the rounding.
	wantedLatticeSigma = uint64(1) << 40
	wantedOverhead     = 0x1p-11
	// Demanded: the noise must be fine against single precision and not wasted.
	minLatticeSigma = uint64(1) << 26
	maxOverhead     = 0.05
	// sumLimit bounds |K|+|Z| with room for the two halves of int64.
	sumLimit = 0x1p62
)

// maxMicrobatches is M: with b buckets, sum_k ceil(n_k/m) <= N/m + b.
func maxMicrobatches(s *Spec) int64 { return s.Records/int64(s.Microbatch) + int64(s.Buckets) }

// roundings is R: how far, in units of sqrt(d), rounding can move a unit's neighbours apart.
// Microbatches may be packed anew, each of M sums on either side is off by 1/2 a coordinate;
// units that are added alone (RecordsPerUnit) leave the others' roundings as they are, and
// only the unit's own counts.
func roundings(s *Spec) float64 {
	if s.RecordsPerUnit > 0 {
		return 0.5
	}
	return float64(maxMicrobatches(s))
}

// latticeAt returns the lattice of step 2^exponent and whether int64 holds every sum:
//
//	Delta_K = C/gamma (1 + a) + R sqrt(d),  s = ceil(sigma_Delta*Delta_K),
//	N*C/gamma*(1+2^-9) + M + 128 s < 2^62    (2^-9: the tolerance of Accumulator.Add)
//
// with sigma_Delta = sigma and a = 0, or with adaptive clipping Spec.sumMultiplier and
// Spec.scalingError.
func latticeAt(s *Spec, exponent int) (Lattice, bool) {
	m := maxMicrobatches(s)
	c := math.Ldexp(s.ClipNorm, -exponent)
	rounding := roundings(s)*math.Sqrt(float64(s.Dim))*(1+1e-12) + c*s.scalingError()
	l := Lattice{Exponent: exponent, MaxMicrobatches: m, Overhead: rounding / c}
	sigma := math.Ceil(s.sumMultiplier() * (c + rounding) * (1 + 1e-12))
	if !(sigma >= 1 && sigma <= float64(maxLatticeSigma)) {
		return l, false
	}
	l.Sigma = uint64(sigma)
	return l, float64(s.Records)*c*(1+0x1p-9)+float64(m)+maxNoiseSigmas*sigma < sumLimit
}

// chooseLattice takes the coarsest step that is fine enough, or the finest that int64 holds.
func chooseLattice(s Spec) (Lattice, error) {
	if err := checkClipNorm(s.ClipNorm); err != nil {
		return Lattice{}, err
	}
	if err := s.validateSizes(); err != nil {
		return Lattice{}, err
	}
	_, top := math.Frexp(s.ClipNorm)
	var best Lattice
	found := false
	for e := top - 62; e < top+62; e++ { // from fine to coarse
		l, fits := latticeAt(&s, e)
		if !fits {
			continue
		}
		if found && (l.Sigma < wantedLatticeSigma || l.Overhead > wantedOverhead) {
			break
		}
		best, found = l, true
	}
	if !found {
		return best, invalid("records", s.Records, "too many for 64-bit sums at this noise multiplier and clipping norm")
	}
	return best, best.validate(&s)
}

// validate checks that the lattice carries the plan's guarantee.
func (l Lattice) validate(s *Spec) error {
	if l.Exponent < -300 || l.Exponent > 300 {
		return invalid("lattice exponent", l.Exponent, "must be in [-300, 300]")
	}
	want, fits := latticeAt(s, l.Exponent)
	switch {
	case !fits:
		return invalid("lattice exponent", l.Exponent, "64-bit sums could overflow")
	case l.MaxMicrobatches != want.MaxMicrobatches:
		return invalid("maximal number of microbatches", l.MaxMicrobatches, fmt.Sprintf("must be %d", want.MaxMicrobatches))
	case l.Sigma < want.Sigma:
		return invalid("lattice sigma", l.Sigma, fmt.Sprintf("must be at least %d", want.Sigma))
	case l.Sigma > maxLatticeSigma || l.Sigma < minLatticeSigma:
		return invalid("lattice sigma", l.Sigma, fmt.Sprintf("must be in [%d, %d]; the noise multiplier is too small for so many records",
			minLatticeSigma, maxLatticeSigma))
	case !(l.Overhead <= maxOverhead):
		return invalid("rounding overhead", l.Overhead, fmt.Sprintf(
			"must be at most %g of the clipping norm; take microbatches of more records (now %d) or fewer trainable coordinates (now %d)",
			maxOverhead, s.Microbatch, s.Dim))
	case math.Abs(l.Overhead-want.Overhead) > 1e-9*want.Overhead:
		return invalid("rounding overhead", l.Overhead, fmt.Sprintf("must be %g", want.Overhead))
	}
	return nil
}
