package dpadam

import (
	"fmt"
	"math"
)

// Accumulator adds up the clipped sums of a step's microbatches. Under a noisy plan each
// sum is rounded to the lattice, K += round(S/gamma), in int64: addition is exact, so the
// order of the microbatches does not matter, and the whole vector has the sensitivity that
// the plan's lattice states. Without noise it is a plain float64 sum.
//
// It belongs to one step: Noiser.Release empties it, and under adaptive clipping moves its
// clipping norm to the next step's.
type Accumulator struct {
	plan         *Plan
	lattice      Lattice
	k            []int64   // noisy plans
	f            []float64 // plans without noise
	records      int64
	doubled      int64   // sum of 2b-1 over the records (adaptive plans)
	clip         float64 // C_t, the plan's C unless it adapts
	microbatches int64
	parts        []float64 // squared norms of a sum's stretches
	whole        [1]Part   // a sum that is one part
	level        level
	err          error // the first failure; the step cannot be released any more
}

// NewAccumulator returns an empty accumulator of the plan's d coordinates (8 bytes each).
func NewAccumulator(p *Plan) *Accumulator {
	a := &Accumulator{plan: p, clip: p.spec.ClipNorm, level: bestLevel(),
		parts: make([]float64, (p.spec.Dim+updateStretch-1)/updateStretch)}
	if p.Noisy() {
		a.lattice = *p.spec.Lattice
		a.k = make([]int64, p.spec.Dim)
	} else {
		a.f = make([]float64, p.spec.Dim)
	}
	return a
}

// Records is the number of records added since the last reset. It is secret: debug
// output only.
func (a *Accumulator) Records() int64 { return a.records }

// normTolerance is how far the float32 norm of a sum may lie above records*C before Add
// calls it unclipped. The plan's overflow proof includes it; the privacy proof rests on
// the clipping itself (C*(1-rho)), not on this check.
const normTolerance = 1e-3

// normTolerance is 0 for units that are added alone: their norm is exact, and the check is
// what the proof rests on.
func (s *Spec) normTolerance() float64 {
	if s.RecordsPerUnit > 0 {
		return 0
	}
	return normTolerance
}

// Add adds the clipped sum of one microbatch. records is the number of its sampled
// records, those included whose gradient was deselected or is zero, without padding. It is an
// error, and the step cannot be released, if the sum is not finite or longer than
// records*C (ErrSensitivity), or if there are more records or microbatches than the plan
// proves its noise for (ErrMisuse).
func (a *Accumulator) Add(sum []float32, records int) error {
	if a.err == nil {
		if a.err = a.takesSums(); a.err == nil {
			a.err = a.add(sum, records, 1)
		}
	}
	return a.err
}

// takesSums refuses plans whose sums are not added by Add.
func (a *Accumulator) takesSums() error {
	switch {
	case a.plan.spec.RecordsPerUnit > 0:
		return fmt.Errorf("%w: the plan's units are added one at a time (AddUnit)", ErrMisuse)
	case a.plan.Adapts():
		return fmt.Errorf("%w: under adaptive clipping a sum is added with the count of its records (AddCounted)", ErrMisuse)
	}
	return nil
}

// add adds factor*sum.
func (a *Accumulator) add(sum []float32, records int, factor float64) error {
	if int64(len(sum)) != a.plan.spec.Dim {
		return fmt.Errorf("%w: sum has %d coordinates, the plan %d", ErrMisuse, len(sum), a.plan.spec.Dim)
	}
	a.whole[0] = Part{Data: sum}
	defer func() { a.whole[0] = Part{} }()
	return a.addParts(a.whole[:], records, factor)
}

// addParts adds factor times the parts.
func (a *Accumulator) addParts(parts []Part, records int, factor float64) error {
	s := &a.plan.spec
	if err := checkParts(parts, s.Dim); err != nil {
		return err
	}
	if records < 0 || a.records+int64(records) > s.Records {
		return fmt.Errorf("%w: %d more records after %d, the plan has %d", ErrMisuse, records, a.records, s.Records)
	}
	if a.k != nil && a.microbatches+1 > a.lattice.MaxMicrobatches {
		return fmt.Errorf("%w: more than %d microbatches: each but the last of a bucket must hold at least %d records",
			ErrMisuse, a.lattice.MaxMicrobatches, s.Microbatch)
	}
	a.records += int64(records)
	a.microbatches++
	if factor == 0 {
		return nil
	}
	limit := math.Inf(1)
	if a.clip > 0 {
		limit = float64(records) * a.clip * (1 + s.normTolerance())
	}
	square := 0.0
	for _, p := range parts {
		if a.k != nil {
			square += a.addLattice(p, factor)
		} else {
			square += a.addPlain(p, factor)
		}
	}
	return checkNorm(math.Sqrt(square), limit)
}

// addLattice scales by C_1/C_t, which is 1 unless the plan adapts C, rounds and adds, and returns
// the squared norm of what it added. |S_j| <= |S| <= limit <= N*C_t*(1+2^-9) is checked before the
// step can be released, so no K_j can have overflowed then (latticeAt).
func (a *Accumulator) addLattice(p Part, factor float64) float64 {
	inv := math.Ldexp(a.plan.spec.ClipNorm/a.clip, -a.lattice.Exponent)
	k := a.k[p.Start:]
	return a.overStretches(len(p.Data), func(lo, hi int) float64 { return a.level.addRounded(k[lo:hi], p.Data[lo:hi], factor, inv) })
}

func (a *Accumulator) addPlain(p Part, factor float64) float64 {
	f := a.f[p.Start:]
	return a.overStretches(len(p.Data), func(lo, hi int) float64 { return a.level.addPlain(f[lo:hi], p.Data[lo:hi], factor) })
}

// overStretches adds up, in order, what add returns for each stretch of n coordinates.
func (a *Accumulator) overStretches(n int, add func(lo, hi int) float64) float64 {
	parallel(n, updateStretch, func(lo, hi int) { a.parts[lo/updateStretch] = add(lo, hi) })
	return total(a.parts[:(n+updateStretch-1)/updateStretch])
}

// total adds in order, so that a sum does not depend on which goroutine was faster.
func total(parts []float64) (sum float64) {
	for _, x := range parts {
		sum += x
	}
	return sum
}

// checkNorm also refuses NaN and Inf. The norm itself is a function of private data: the
// message does not carry it.
func checkNorm(norm, limit float64) error {
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return fmt.Errorf("%w: the clipped sum of a microbatch is not finite; records that are not finite must be deselected", ErrSensitivity)
	}
	if norm > limit {
		return fmt.Errorf("%w: the clipped sum of a microbatch is longer than its records times the clipping norm", ErrSensitivity)
	}
	return nil
}

// Reset empties the accumulator, whatever state it is in.
func (a *Accumulator) Reset() {
	clear(a.k)
	clear(a.f)
	a.empty()
}

func (a *Accumulator) empty() { a.records, a.doubled, a.microbatches, a.err = 0, 0, 0, nil }
