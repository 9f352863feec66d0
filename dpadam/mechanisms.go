package dpadam

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/pld"
)

// The mechanisms of this file are answered for, so that other systems' runs can be priced; nothing in
// this package samples like that.

// TruncatedPoissonGaussian is a step of training with a largest batch: records are sampled as by
// PoissonSubsampledGaussian, and of a sample that is larger than MaxBatch, MaxBatch records
// are kept, chosen uniformly (Chua et al. 2024, "Scalable DP-SGD: Shuffling vs. Poisson
// Subsampling").
type TruncatedPoissonGaussian struct {
	Records         int64   // N: either of two neighbouring data sets has at most N records
	SampleRate      float64 // q in [0, 1)
	MaxBatch        int64   // b >= 1
	NoiseMultiplier float64 // sigma > 0: standard deviation of the noise / C
}

func (TruncatedPoissonGaussian) mechanism() {}

// Validate checks the bounds named with the fields.
func (m TruncatedPoissonGaussian) Validate() error {
	if m.Records < 1 || m.Records > maxRecords {
		return invalid("records", m.Records, fmt.Sprintf("must be in [1, %d]", maxRecords))
	}
	if !(m.SampleRate >= 0 && m.SampleRate < 1) {
		return invalid("sampling rate", m.SampleRate, "must be in [0, 1) where batches are truncated")
	}
	if m.MaxBatch < 1 || m.MaxBatch > m.Records {
		return invalid("maximal batch", m.MaxBatch, fmt.Sprintf("must be in [1, %d], the number of records", m.Records))
	}
	return checkNoiseMultiplier(m.NoiseMultiplier)
}

// truncation returns p, the probability that a batch is full before the record in question comes,
// rounded up, and c, that the record is in the batch then.
//
// Let D' be D and a record z, N records together. If fewer than b others are sampled (probability
// 1-p), z joins with probability q and moves the sum by at most C: the step is the pair
// (1-q)N(0)+qN(1) against N(0). If b or more are, D's batch is a uniform b-subset of the others, and
// D”s is one too with probability 1-c, while with probability c it is z and a (b-1)-subset of them:
// one record less and another more, which moves the sum by at most 2C: (1-c)N(0)+cN(2) against N(0).
// Which of the two cases it is does not depend on z, so it may be known: the loss is the mixture
// of the losses.
//
//	p = P[Bin(N-1, q) >= b],  c = E[q b/(k+1) | k >= b] = b/N P[Bin(N, q) > b]/p
func (m TruncatedPoissonGaussian) truncation() (p, c float64) {
	b, n := float64(m.MaxBatch), float64(m.Records)
	if m.SampleRate == 0 || b > n-1 {
		return 0, 0
	}
	atLeast := func(k, of float64) float64 { return mathext.RegIncBeta(k, of-k+1, m.SampleRate) }
	p = math.Min(1, atLeast(b, n-1)*(1+1e-9)+1e-300)
	c = m.SampleRate * b / (b + 1)
	if b+1 <= n {
		c = math.Min(c, b/n*atLeast(b+1, n)/p*(1+4e-9))
	}
	return p, c
}

func (m TruncatedPoissonGaussian) components(kind pld.Kind) []pld.Component {
	p, c := m.truncation()
	s := 1 / m.NoiseMultiplier
	if p == 0 || c == 0 {
		return []pld.Component{{Weight: 1, Kind: kind, SampleRate: m.SampleRate, Shift: s}}
	}
	return []pld.Component{
		{Weight: 1 - p*(1-4e-9), Kind: kind, SampleRate: m.SampleRate, Shift: s}, // not less than 1-p
		{Weight: p, Kind: kind, SampleRate: c, Shift: 2 * s},
	}
}

// WithoutReplacementGaussian is a step on a batch of exactly Batch records, a uniform subset of
// Records. Its neighbouring relation is replace-one: the batch's size tells the number of records
// apart otherwise. One record may change the sum by 2C.
type WithoutReplacementGaussian struct {
	Records         int64
	Batch           int64
	NoiseMultiplier float64 // sigma > 0: standard deviation of the noise / C
}

func (WithoutReplacementGaussian) mechanism() {}

// Validate checks 1 <= Batch <= Records and sigma.
func (m WithoutReplacementGaussian) Validate() error {
	if m.Records < 1 || m.Records > maxRecords {
		return invalid("records", m.Records, fmt.Sprintf("must be in [1, %d]", maxRecords))
	}
	if m.Batch < 1 || m.Batch > m.Records {
		return invalid("batch", m.Batch, fmt.Sprintf("must be in [1, %d], the number of records", m.Records))
	}
	return checkNoiseMultiplier(m.NoiseMultiplier)
}
