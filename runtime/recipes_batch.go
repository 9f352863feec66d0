package runtime

import (
	"context"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// The rule for the expected batch (Li et al. 2022, section 3.2.1): at fixed epochs E and a target ε the batch B = q·N with
// the smallest effective noise multiplier
//
//	σ_eff(B) = σ(q, T)/q,   T = ⌈E/q⌉,
//
// for a step's noise relative to its gradient is σ_eff·C/N. It always falls as B grows: doubling the batch divides it by
// almost 2 where σ hardly grows with q, and by √2 where σ² grows like q, from where on larger batches only trade fewer
// updates against less noise in each. So the rule doubles the batch as long as that divides σ_eff by at least
// worthDoubling, within what the published runs keep to: 200 to 1200 updates (SST-2 takes 203, MNLI 1179), and at most an
// eighth of the records in a batch. With 1.65 it gives 1024 for E2E at ε = 3, the published batch.
const (
	worthDoubling = 1.65
	fewestUpdates = 200
	mostUpdates   = 1200
	largestShare  = 8  // a batch is expected to hold at most one of so many records
	smallestBatch = 64 // where records are too few for all of these, the batch has this many, or N/8
)

// A batchRule chooses the expected batch.
type batchRule struct {
	origin         batchOrigin
	fixed          float64 // of every origin but batchByRule
	records        int64
	epochs         float64
	epsilon, delta float64
	most           float64 // updates
	known          map[float64]BatchChoice
	accountant     dpadam.Accountant
}

// A BatchChoice is what an expected batch makes of a run at the same epochs and the same ε.
type BatchChoice struct {
	Batch           float64 `json:"expected_batch"`
	Steps           int64   `json:"steps"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
	// Effective is the noise multiplier over the sampling rate: times C/N the noise of a step's gradient.
	Effective float64 `json:"effective_noise"`
	Chosen    bool    `json:"chosen,omitempty"`
}

// batchRule says how the batch of a run on n records is chosen.
func (o *FinetuneOptions) batchRule(r *recipe, n int64) *batchRule {
	b := &batchRule{records: n, epochs: o.Epochs, epsilon: o.TargetEpsilon, delta: o.Delta, known: map[float64]BatchChoice{}}
	if b.delta == 0 && n > 0 {
		b.delta = 1 / (2 * float64(n))
	}
	b.most = mostUpdates
	if len(r.about.Published) > 0 {
		b.most = max(b.most, math.Ceil(r.options.Epochs*float64(r.about.Published[0])/r.options.ExpectedBatch))
	}
	switch {
	case r.published(n) && o.UnitColumn == "":
		b.origin, b.fixed = batchPublished, r.options.ExpectedBatch
	case o.TargetEpsilon > 0 && o.Epochs > 0 && n > 0:
		b.origin = batchByRule
	default: // nothing is calibrated, or the number of steps is given: there is no trade to make
		b.origin, b.fixed = batchBounded, r.atMostAnEighth(n)
	}
	return b
}

// batch is the chosen batch.
func (b *batchRule) batch() (float64, error) {
	if b.origin != batchByRule {
		return b.fixed, nil
	}
	candidates := b.candidates()
	for i, c := range candidates {
		if i == len(candidates)-1 {
			break
		}
		gain, err := b.gain(c)
		if err != nil {
			return 0, err
		}
		if gain < worthDoubling {
			return c, nil
		}
	}
	return candidates[len(candidates)-1], nil
}

// candidates are powers of two within the bounds, and the upper bound.
func (b *batchRule) candidates() []float64 {
	n := float64(b.records)
	lowest := min(smallestBatch, math.Ceil(n/largestShare))
	upper := max(lowest, math.Floor(min(n/largestShare, b.epochs*n/fewestUpdates)))
	lower := min(upper, max(lowest, b.epochs*n/b.most))
	var out []float64
	for c := 1.0; c < upper; c *= 2 {
		if c >= lower {
			out = append(out, c)
		}
	}
	return append(out, upper)
}

// gain is what doubling a batch divides the effective noise by.
func (b *batchRule) gain(batch float64) (float64, error) {
	one, err := b.at(batch)
	if err != nil {
		return 0, err
	}
	two, err := b.at(min(2*batch, float64(b.records)))
	return one.Effective / two.Effective, err
}

// at calibrates the noise for a batch by Rényi divergences, which is fast; a choice need not be tight.
func (b *batchRule) at(batch float64) (BatchChoice, error) {
	if c, ok := b.known[batch]; ok {
		return c, nil
	}
	if b.accountant == nil {
		a, err := dpadam.NewAccountant("rdp")
		if err != nil {
			return BatchChoice{}, err
		}
		b.accountant = a
	}
	c := BatchChoice{Batch: batch, Steps: int64(max(1, math.Ceil(b.epochs*float64(b.records)/batch)))}
	q := batch / float64(b.records)
	var err error
	c.NoiseMultiplier, _, err = dpadam.CalibrateNoise(context.Background(), b.accountant, dpadam.AddRemove, q, c.Steps, b.delta, b.epsilon)
	if err != nil {
		return c, usage("choosing the expected batch: %w; give --expected-batch", err)
	}
	c.Effective = c.NoiseMultiplier / q
	b.known[batch] = c
	return c, nil
}

// tableRows is how many batches a table compares, beside the chosen one.
const tableRows = 9

// table compares the chosen batch with powers of two around it.
func (b *batchRule) table(chosen float64) ([]BatchChoice, error) {
	near := math.Exp2(math.Round(math.Log2(chosen)))
	batches := []float64{chosen}
	for i := -tableRows / 2; i <= tableRows/2; i++ {
		if c := near * math.Exp2(float64(i)); c >= 1 && c <= float64(b.records) && c != chosen {
			batches = append(batches, c)
		}
	}
	slices.Sort(batches)
	out := make([]BatchChoice, len(batches))
	for i, c := range batches {
		var err error
		if out[i], err = b.at(c); err != nil {
			return nil, err
		}
		out[i].Chosen = c == chosen
	}
	return out, nil
}
