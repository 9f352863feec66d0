package dpadam

import (
	"crypto/cipher"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// A plan with Spec.RecordsPerUnit = k > 0 protects units of several records, such as all records of one user. N, q, the
// expected batch, delta and the steps then count units. A sampled unit's example is the sum of the gradients of at most k
// of its records; it is clipped as a whole and added alone (Step.AddUnit), so that its sensitivity is C however many
// records it has. Clipping each record and sampling units would have the sensitivity k*C.

// unitRho pays for computing the norm of a unit's gradient. The norm is that of the very numbers that are added, summed
// in float64 in pieces of at most 2^16, so its relative error is at most (2^16 + d/2^16)*2^-53 < 1e-7 for d <= 2^40.
const unitRho = 1e-6

// UnitOfColumn is the unit of privacy of a plan whose units are the groups of records that share a value of a column.
func UnitOfColumn(column string) string {
	return fmt.Sprintf("one user: all records that share a value of %q", column)
}

// maxRecordsPerUnit bounds k.
const maxRecordsPerUnit = 1 << 30

// resolveUnit checks what a plan of units needs of the rest of the configuration.
func resolveUnit(c Config, s *Spec) error {
	if s.RecordsPerUnit = c.RecordsPerUnit; s.RecordsPerUnit == 0 {
		return nil
	}
	if c.Unit == "" {
		s.Unit = "one user"
	}
	if c.Rho == 0 && c.ClipNorm > 0 {
		s.Rho = unitRho
	}
	return s.validateUnit()
}

// validateUnit: units are added one at a time, so a microbatch is one unit.
func (s *Spec) validateUnit() error {
	switch {
	case s.RecordsPerUnit == 0:
		return nil
	case s.RecordsPerUnit < 0 || s.RecordsPerUnit > maxRecordsPerUnit:
		return invalid("records per unit", s.RecordsPerUnit, fmt.Sprintf("must be in [1, %d]", maxRecordsPerUnit))
	case s.Unit == recordUnit:
		return invalid("unit", fmt.Sprintf("%q", s.Unit), "must name the unit whose records are clipped together")
	case s.Microbatch != 1 || s.Buckets != 1:
		return invalid("microbatch", s.Microbatch, "must be 1, with 1 padding bucket, where a unit has several records: units are added one at a time")
	case s.Evaluation != nil:
		return invalid("evaluations", s.Evaluation.Count, "can't be paid for where a unit has several records: one unit changes an evaluation by as many records as it has there")
	case s.ClipNorm > 0 && s.Rho < unitRho:
		return invalid("rho", s.Rho, fmt.Sprintf("must be at least %g, the error of a unit's norm", unitRho))
	}
	return nil
}

// RecordsPerUnit is k, the largest number of a unit's records that make its example; 0 where the unit is a record.
func (p *Plan) RecordsPerUnit() int { return p.spec.RecordsPerUnit }

// AddUnit adds factor*sum, the clipped example of one sampled unit (see Accumulator.AddUnit).
func (st *Step) AddUnit(sum []float32, factor float64) error {
	if err := st.running(); err != nil {
		return err
	}
	return st.stepper.acc.AddUnit(sum, factor)
}

// AddUnit adds factor*sum as the example of one unit: sum is the sum of the gradients of its chosen records, factor what
// clips it to the plan's ClipTo. A factor of 0 adds nothing, whatever sum holds: that is how a unit is added whose
// gradient is not finite. It is an error, after which the step can't be released, if the product is not finite or longer
// than C (ErrSensitivity), or if the plan's units are records (ErrMisuse).
func (a *Accumulator) AddUnit(sum []float32, factor float64) error {
	switch {
	case a.err != nil:
	case a.plan.Adapts():
		a.err = fmt.Errorf("%w: under adaptive clipping a unit is added with its bit (AddUnitCounted)", ErrMisuse)
	default:
		a.err = a.addUnit(sum, factor)
	}
	return a.err
}

func (a *Accumulator) addUnit(sum []float32, factor float64) error {
	switch {
	case a.plan.spec.RecordsPerUnit == 0:
		return fmt.Errorf("%w: the plan's unit of privacy is a record; its gradients are added as the clipped sums of microbatches", ErrMisuse)
	case !(factor >= 0) || math.IsInf(factor, 0):
		return fmt.Errorf("%w: a unit's factor must be finite and not negative", ErrMisuse)
	}
	return a.add(sum, 1, factor)
}

// ChooseRecords picks the records of a unit that make its example in this step: min(k, records) of the numbers 0 to
// records-1, ascending, appended to dst. unit is the unit's number in the sample. Every subset of that size is equally
// likely, independently in every step and for every unit; the choice is a function of a secret key, the charge, the unit
// and the number of its own records, so that nobody else's records change it.
func (st *Step) ChooseRecords(dst []int, unit, records int) ([]int, error) {
	s := st.stepper
	if s.chooser == nil {
		return dst, fmt.Errorf("%w: the plan's unit of privacy is a record", ErrMisuse)
	}
	return s.chooser.choose(dst, st.permit.index, unit, records)
}

// A chooser draws subsets. Its streams are (charge, unit) under a key of its own.
type chooser struct {
	block cipher.Block
	most  int
	src   stream
}

// newChooser returns nil for a plan whose units are records.
func newChooser(p *Plan, key [keyBytes]byte) (*chooser, error) {
	if p.spec.RecordsPerUnit == 0 {
		return nil, nil
	}
	block, err := newCipher(key)
	clear(key[:])
	return &chooser{block: block, most: p.spec.RecordsPerUnit}, err
}

// choose draws a subset of size k of n by Floyd's method (Bentley and Floyd 1987): for j = n-k ... n-1 draw t uniformly
// from 0..j; take t, or j if t is taken already. Every subset has probability 1/C(n,k).
func (c *chooser) choose(dst []int, index uint64, unit, n int) ([]int, error) {
	if unit < 0 || int64(unit) >= maxRecords || n < 0 || index >= maxIndex {
		return dst, invalid("unit", unit, "must be a unit of the sample, with a number of records >= 0")
	}
	first := len(dst)
	if n <= c.most {
		for i := range n {
			dst = append(dst, i)
		}
		return dst, nil
	}
	c.src.open(c.block, index, uint64(unit))
	for j := n - c.most; j < n; j++ {
		t := int(c.src.below(uint64(j) + 1))
		if slices.Contains(dst[first:], t) {
			t = j
		}
		dst = append(dst, t)
	}
	c.src.wipe()
	slices.Sort(dst[first:])
	return dst, nil
}

// below returns a uniform number below n > 0, exactly: of w*n/2^64 the whole part, words w whose fraction falls into the
// 2^64 mod n values that would be too many rejected (Lemire 2019).
func (s *stream) below(n uint64) uint64 {
	for {
		whole, fraction := bits.Mul64(s.next(), n)
		if fraction >= -n%n {
			return whole
		}
	}
}
