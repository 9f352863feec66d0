package dpadam

import (
	"errors"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/pld"
)

// PRV is the accountant by privacy random variables (Gopi, Lee, Wutschitz 2021), for comparison with
// the literature: the rows "compose tradeoff functions" of Li et al. 2022 are its. Its bounds are those of the
// paper's Theorem 5.5 with an error of epsilon of 0.01, or 0.01 of epsilon below 1, and of delta of a
// thousandth; PLD is tighter and faster.
type PRV struct{ rdp *RDP }

// NewPRV returns a PRV accountant.
func NewPRV() *PRV { return &PRV{NewRDP()} }

// Name returns "prv".
func (*PRV) Name() string { return "prv" }

// Errors that the lattice is made for.
const (
	prvEpsilonError = 0.01
	prvDeltaShare   = 1e-3
)

// Epsilon returns the upper bound, the estimate and the lower bound at delta.
func (a *PRV) Epsilon(c Composition, delta float64) (Result, error) {
	bound, err := a.rdp.Epsilon(c, delta) // validates
	if err != nil {
		return Result{}, err
	}
	r := Result{Delta: delta, Accountant: a.Name()}
	if bound.Epsilon == 0 {
		return r, nil
	}
	width, err := a.rdp.Epsilon(c, prvDeltaShare*delta/4) // what lies beyond it is part of delta's error
	if err != nil {
		return Result{}, err
	}
	directions, err := lossesOf(c)
	if err != nil {
		return Result{}, err
	}
	for _, d := range directions {
		v, err := d.PRVEpsilon(delta, pld.PRVErrors{Epsilon: prvEpsilonError * math.Min(1, bound.Epsilon), Delta: prvDeltaShare * delta, Reach: width.Epsilon})
		if err != nil {
			return Result{}, unsupportedRange(err)
		}
		r.Epsilon, r.Estimate, r.Lower = math.Max(r.Epsilon, v.Upper), math.Max(r.Estimate, v.Estimate), math.Max(r.Lower, v.Lower)
	}
	if math.IsInf(r.Epsilon, 1) {
		return Result{}, fmt.Errorf("%w: prv at delta = %g, which is below what its transforms round; use pld", ErrUnsupported, delta)
	}
	return r, nil
}

// Delta returns the upper bound at epsilon.
func (a *PRV) Delta(c Composition, epsilon float64) (Result, error) {
	bound, err := a.rdp.Delta(c, epsilon) // validates; the error of delta is a thousandth of it
	if err != nil {
		return Result{}, err
	}
	r := Result{Epsilon: epsilon, Estimate: epsilon, Accountant: a.Name()}
	if bound.Delta == 0 {
		return r, nil
	}
	lost := math.Max(prvDeltaShare*bound.Delta, 1e-30)
	width, err := a.rdp.Epsilon(c, lost/4)
	if err != nil {
		return Result{}, err
	}
	directions, err := lossesOf(c)
	if err != nil {
		return Result{}, err
	}
	for _, d := range directions {
		v, err := d.PRVDelta(epsilon, pld.PRVErrors{Epsilon: prvEpsilonError * math.Min(1, math.Max(epsilon, 1e-3)), Delta: lost, Reach: width.Epsilon})
		if err != nil {
			return Result{}, unsupportedRange(err)
		}
		r.Delta = math.Max(r.Delta, v.Upper)
	}
	return r, nil
}

// unsupportedRange marks a lattice that would be too large.
func unsupportedRange(err error) error {
	if errors.Is(err, pld.ErrRange) {
		return fmt.Errorf("%w: %v", ErrUnsupported, err)
	}
	return err
}

// CLT is the epsilon at delta by the central limit theorem for Gaussian differential privacy (Bu, Dong, Long,
// Su 2020, "Deep Learning with Gaussian Differential Privacy", Corollary 4.1; Dong, Roth, Su 2022):
//
//	mu = sqrt(sum_i T_i q_i^2 (e^(1/sigma_i^2) - 1)).
//
// It is an approximation without a bound of its error, usually too small (1.54 where the truth is 2.41 for SST-2 at
// the paper's settings), and therefore no Accountant: nothing may be promised by it. Of add-remove
// neighbours and Poisson sampling only.
func CLT(c Composition, delta float64) (float64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	if err := checkDelta(delta); err != nil {
		return 0, err
	}
	mu2 := 0.0
	for _, e := range c.Events {
		m, ok := e.Mechanism.(PoissonSubsampledGaussian)
		if !ok || c.Relation != AddRemove {
			return 0, fmt.Errorf("%w: the central limit theorem and %T under %s", ErrUnsupported, e.Mechanism, c.Relation)
		}
		s := 1 / m.NoiseMultiplier
		if m.SampleRate == 1 {
			mu2 += float64(e.Count) * s * s // exact, without a limit
		} else {
			mu2 += float64(e.Count) * m.SampleRate * m.SampleRate * math.Expm1(s*s)
		}
	}
	b, err := pld.Composition{GaussianMu2: mu2}.Epsilon(delta)
	if errors.Is(err, pld.ErrRange) {
		return 0, errNoFinite
	}
	return b.Estimate, err
}
