package runtime

import (
	"math"
	"sort"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit"
)

// plantedGradients are canaries of a white-box audit in a real training run: records beyond
// those of the data set, whose clipped gradient is the clipping norm in one coordinate of the
// model's parameter vector. They are sampled, added, noised and applied as every other record.
// All methods take nil, for a run that is not audited.
type plantedGradients struct {
	in []bool // by canary

	rows        []int   // canaries that are in, as records beyond the first of the data set
	first       int     // records of the data set
	coordinates []int   // of each canary
	value       float32 // the gradient in that coordinate: the clipping norm
	attack      audit.Attack
	real        []float64 // by canary, what the data set's records add to its coordinate in this step
	own         []float64 // and what the canary does

	score   []float64
	batches [][]int
	noise   audit.NoiseMeter
}

// records is the number of canaries that are in.
func (p *plantedGradients) records() int {
	if p == nil {
		return 0
	}
	return len(p.rows)
}

// buckets is how many sums that are not full a step may have for the canaries.
func (p *plantedGradients) buckets() int {
	if p == nil {
		return 0
	}
	return 1
}

// begin spreads the canaries over the coordinates of a plan; first is the number of records of the
// data set.
func (p *plantedGradients) begin(plan *dpadam.Plan, first int) error {
	if p == nil {
		return nil
	}
	s := plan.Spec()
	m := len(p.in)
	switch {
	case plan.Adapts() || s.Clipping != nil && len(s.Clipping.Groups) > 0:
		return usage("a white-box audit needs one fixed clipping norm: leave out --clip-quantile and groups, or audit with records (without --white-box)")
	case s.RecordsPerUnit > 0:
		return usage("a white-box audit plants gradients of records: leave out --unit-column, or audit with records (without --white-box)")
	case int64(m) > s.Dim:
		return usage("--canaries %d: the model has %d trained coordinates, and each canary needs one of its own", m, s.Dim)
	case s.ClipNorm == 0:
		return usage("a white-box audit needs --clip-norm: its canaries are gradients of that norm")
	}
	p.first = first
	// The largest single precision number that is not longer than C.
	if p.value = float32(s.ClipNorm); float64(p.value) > s.ClipNorm {
		p.value = math.Nextafter32(p.value, 0)
	}
	p.attack = audit.Attack{SampleRate: s.SampleRate, NoiseMultiplier: s.NoiseMultiplier}
	if !plan.Noisy() {
		p.attack.NoiseMultiplier = 1 // any order of the scores shows everything then
	}
	p.coordinates, p.score = make([]int, m), make([]float64, m)
	p.real, p.own = make([]float64, m), make([]float64, m)
	for i := range p.coordinates {
		p.coordinates[i] = int(int64(i) * s.Dim / int64(m))
	}
	return nil
}

// dataset returns those of a step's records that are the data set's. They come first: records
// are ascending.
func (p *plantedGradients) dataset(records []int) []int {
	if p == nil {
		return records
	}
	return records[:sort.SearchInts(records, p.first)]
}

// see notes what a microbatch of the data set adds where the canaries are.
func (p *plantedGradients) see(sum []float32) {
	if p == nil {
		return
	}
	for i, c := range p.coordinates {
		p.real[i] += float64(sum[c])
	}
}

// plant adds the sum of a step's canaries. They are orthogonal: one sum takes them all.
func (p *plantedGradients) plant(s *dpadam.Step, sum []float32) error {
	if p == nil {
		return nil
	}
	var batch []int
	for _, record := range s.Records()[len(p.dataset(s.Records())):] {
		batch = append(batch, record-p.first)
	}
	p.batches = append(p.batches, batch)
	if len(batch) == 0 {
		return nil
	}
	clear(sum)
	for _, k := range batch {
		sum[p.coordinates[p.rows[k]]] = p.value
		p.own[p.rows[k]] = float64(p.value)
	}
	return s.Add(sum, len(batch))
}

// observe scores the canaries by what the step releases. The attacker knows every other record,
// so he takes their part off.
func (p *plantedGradients) observe(released []float32) {
	if p == nil {
		return
	}
	c := float64(p.value)
	for i, k := range p.coordinates {
		x := float64(released[k]) - p.real[i]
		p.score[i] += p.attack.Score(x / c)
		p.noise.Add((x-p.own[i])/c, p.attack.NoiseMultiplier)
		p.real[i], p.own[i] = 0, 0
	}
}

// trace is what the audit saw.
func (p *plantedGradients) trace() *audit.Trace {
	return &audit.Trace{Scores: audit.Scores{Score: p.score, In: p.in}, Batches: p.batches, Noise: p.noise.Result()}
}
