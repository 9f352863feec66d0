package dpadam

import (
	"crypto/cipher"
	"fmt"
	"math"
)

// Sampler draws Poisson samples: record i is in the batch of charge t if and only if
//
//	PRF(key, t, i) < floor(q*2^64),
//
// where PRF is word i mod 2^16 of the AES-256-CTR stream (t, i / 2^16). Every record is
// decided independently and exactly; the inclusion probability is floor(q*2^64)/2^64, equal
// to the accounted q for q >= 2^-11 and at most 2^-64 below it for smaller ones, never above
// (a smaller rate never costs more). The sample is a pure function of key, t and i, so every
// rank of a distributed run can decide its own records.
type Sampler struct {
	block     cipher.Block
	rows      int
	threshold uint64
	all       bool
	src       stream
}

// SamplingKey is the secret that fixes every sample. It prints as "secret".
type SamplingKey struct{ key [keyBytes]byte }

// String hides the key.
func (SamplingKey) String() string { return "secret" }

// GoString hides the key.
func (SamplingKey) GoString() string { return "secret" }

// NewSamplingKey returns a fresh key from the operating system (a function of the seed under
// a seeded plan). It is separate from the noise and never written anywhere; a resumed run
// takes another one.
func NewSamplingKey(p *Plan) (SamplingKey, error) {
	key, err := freshKey(p.spec.Seed, "sampling")
	return SamplingKey{key}, err
}

// chunkRecords is the number of records decided by one stream.
const chunkRecords = 1 << 16

// NewSampler returns a sampler over rows records, 0 to the plan's N. More rows than N are
// refused: the noise is proven for batches of at most N records.
func NewSampler(p *Plan, rows int, key SamplingKey) (*Sampler, error) {
	if rows < 0 || int64(rows) > p.spec.Records {
		return nil, invalid("rows of the data set", rows, fmt.Sprintf(
			"must be in [0, %d], the public number of records; declare a larger one", p.spec.Records))
	}
	block, err := newCipher(key.key)
	if err != nil {
		return nil, err
	}
	t, all := inclusionThreshold(p.spec.SampleRate)
	return &Sampler{block: block, rows: rows, threshold: t, all: all}, nil
}

// inclusionThreshold returns floor(q*2^64), and whether q is 1, which does not fit. q*2^64
// is exact in float64 (a change of exponent) and the conversion truncates.
func inclusionThreshold(q float64) (threshold uint64, all bool) {
	if q >= 1 {
		return 0, true
	}
	return uint64(math.Ldexp(q, 64)), false
}

// Sample appends the records of the batch of charge index to dst, ascending. The batch may be
// empty. Its size is secret. A Sampler is not safe for concurrent use.
func (s *Sampler) Sample(dst []int, index uint64) ([]int, error) {
	if index >= maxIndex {
		return dst, invalid("charge index", index, fmt.Sprintf("must be below %d", maxIndex))
	}
	for start := 0; start < s.rows; start += chunkRecords {
		s.src.open(s.block, index, uint64(start/chunkRecords))
		for i := start; i < min(start+chunkRecords, s.rows); i++ {
			if s.src.next() < s.threshold || s.all {
				dst = append(dst, i)
			}
		}
	}
	s.src.wipe()
	return dst, nil
}
