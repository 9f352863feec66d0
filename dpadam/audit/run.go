package audit

import (
	"context"
	"fmt"
	"math"
)

// A Mechanism is what a white-box audit looks into: private training without a model. Training
// is the one of this project.
type Mechanism interface {
	// Step takes optimizer step n, from 1: it draws a batch of the records, has sum compute
	// the clipped sum of every microbatch, adds the noise and writes what the step releases
	// to out. records are indices of the data set, and into is all zeros.
	Step(ctx context.Context, n int64, sum func(records []int, into []float32), out []float32) error
}

// Gradients are m canaries that are gradients and nothing else: canary i is a record whose
// clipped gradient is the clipping norm in coordinate i, the longest that the sensitivity allows,
// and orthogonal to all others.
type Gradients struct {
	In       []bool  // who is in the data set
	ClipNorm float64 // C
}

// An Attack scores a canary from what the steps released: the logarithm of the likelihood
// ratio between "in" and "out" of a Poisson-subsampled Gaussian mechanism. With x the canary's
// coordinate in units of C a step adds
//
//	log(1 - q + q exp((2x - 1)/(2 sigma^2))),
//
// the best score there is (Neyman, Pearson). Without sampling, q = 1, it orders the canaries as the
// sum of x does.
type Attack struct {
	SampleRate      float64 // q
	NoiseMultiplier float64 // sigma
}

// Score is one step's part of a score.
func (a Attack) Score(x float64) float64 {
	ratio := (2*x - 1) / (2 * a.NoiseMultiplier * a.NoiseMultiplier)
	if a.SampleRate == 1 {
		return ratio
	}
	stay, gain := math.Log1p(-a.SampleRate), math.Log(a.SampleRate)+ratio
	return max(stay, gain) + math.Log1p(math.Exp(-math.Abs(stay-gain)))
}

// A Trace is what Run saw.
type Trace struct {
	Scores  Scores
	Batches [][]int // of each step the canaries sampled, as numbers of the data set's rows
	Noise   Noise
}

// Run takes steps steps of a mechanism over a data set of the canaries that are in, row k being
// the k-th of them, and scores all canaries.
func Run(ctx context.Context, m Mechanism, g Gradients, a Attack, steps int64) (*Trace, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	rows := Included(g.In)
	t := &Trace{Scores: Scores{Score: make([]float64, len(g.In)), In: g.In}}
	out, clean := make([]float32, len(g.In)), make([]float32, len(g.In))
	var noise NoiseMeter
	for n := int64(1); n <= steps; n++ {
		var batch []int
		clear(clean)
		sum := func(records []int, into []float32) {
			batch = append(batch, records...)
			for _, k := range records {
				into[rows[k]] += float32(g.ClipNorm)
				clean[rows[k]] += float32(g.ClipNorm)
			}
		}
		if err := m.Step(ctx, n, sum, out); err != nil {
			return nil, fmt.Errorf("step %d: %w", n, err)
		}
		t.Batches = append(t.Batches, batch)
		for i, x := range out {
			t.Scores.Score[i] += a.Score(float64(x) / g.ClipNorm)
			noise.Add(float64(x)-float64(clean[i]), a.NoiseMultiplier*g.ClipNorm)
		}
	}
	t.Noise = noise.Result()
	return t, nil
}

// check refuses a clipping norm that float32 rounds: the gradient's norm must be C itself.
func (g Gradients) check() error {
	if !(g.ClipNorm > 0) || float64(float32(g.ClipNorm)) != g.ClipNorm || math.IsInf(g.ClipNorm, 0) {
		return invalid("clipping norm", g.ClipNorm, "must be a positive number of single precision, such as 1")
	}
	if len(g.In) == 0 {
		return invalid("canaries", 0, "must be at least 1")
	}
	return nil
}
