package runtime

import (
	"maps"
	"math"
	"slices"
)

// Summarize computes the medians, spreads and ratios of a cell from its times and
// peaks.
func (c *BenchCell) Summarize() {
	plain, products := c.named(benchPlain), c.named(benchProducts)
	if plain == nil {
		plain = c.named(benchBare)
	}
	for i := range c.Variants {
		m := &c.Variants[i]
		if len(m.Seconds) == 0 {
			continue
		}
		m.Median, m.Min = quantile(m.Seconds, 0.5), slices.Min(m.Seconds)
		m.Spread = (quantile(m.Seconds, 0.75) - quantile(m.Seconds, 0.25)) / m.Median
		if len(m.CPUSeconds) > 0 {
			m.CPU = quantile(m.CPUSeconds, 0.5)
		}
		m.PerToken = m.Median / float64(c.Tokens)
		if m.stepOf() && c.ProductOperations > 0 {
			m.Operations = c.ProductOperations / m.Median
			m.OfCeiling = ratio(products, m)
		}
		if plain == nil {
			continue
		}
		m.TimeRatio = ratio(m, plain)
		if m.PeakBytes > 0 && plain.PeakBytes > 0 {
			m.MemoryRatio = float64(m.PeakBytes) / float64(plain.PeakBytes)
		}
	}
}

// stepOf reports a variant that makes every product of a step once: two passes
// make more, a forward pass less.
func (m *BenchMeasure) stepOf() bool { return m.Name != "forward" && m.Name != "logical" }

// Named returns a variant of the cell, or nil.
func (c *BenchCell) named(name string) *BenchMeasure {
	for i := range c.Variants {
		if c.Variants[i].Name == name {
			return &c.Variants[i]
		}
	}
	return nil
}

// Ratio is the time of one variant over another's: the median of the rounds'
// ratios where both were timed in the same rounds, else the ratio of the medians.
func Ratio(a, b BenchMeasure) float64 { return ratio(&a, &b) }

func ratio(a, b *BenchMeasure) float64 {
	if a == nil || b == nil || len(a.Seconds) == 0 || len(b.Seconds) == 0 {
		return 0
	}
	if len(a.Seconds) != len(b.Seconds) {
		return quantile(a.Seconds, 0.5) / quantile(b.Seconds, 0.5)
	}
	each := make([]float64, len(a.Seconds))
	for i := range each {
		each[i] = a.Seconds[i] / b.Seconds[i]
	}
	return quantile(each, 0.5)
}

// quantile interpolates between the order statistics, as numpy's default does.
func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	at := q * float64(len(s)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(s)-1)
	return s[low] + (at-float64(low))*(s[high]-s[low])
}

// MergeBench joins reports: cells of the same model, loss, length and microbatch
// become one. Ratios between programs that were timed in different runs are those
// of their medians.
func MergeBench(reports ...*BenchReport) (*BenchReport, error) {
	if len(reports) == 0 {
		return nil, usage("nothing to merge")
	}
	out := &BenchReport{Version: benchVersion, Machine: reports[0].Machine, Rounds: reports[0].Rounds}
	out.Machine.Software = map[string]string{}
	for _, r := range reports {
		if r.Version != benchVersion {
			return nil, usage("a report has version %d; this program reads %d", r.Version, benchVersion)
		}
		out.Rounds = min(out.Rounds, r.Rounds)
		maps.Copy(out.Machine.Software, r.Machine.Software)
		for _, c := range r.Cells {
			out.merge(c)
		}
	}
	for i := range out.Cells {
		out.Cells[i].Summarize()
	}
	return out, nil
}

// merge adds a cell, or what it measured to the same cell.
func (r *BenchReport) merge(c BenchCell) {
	i := slices.IndexFunc(r.Cells, func(o BenchCell) bool {
		return o.Model == c.Model && o.Loss == c.Loss && o.Length == c.Length && o.Microbatch == c.Microbatch
	})
	if i < 0 {
		c.Variants = slices.Clone(c.Variants)
		r.Cells = append(r.Cells, c)
		return
	}
	same := &r.Cells[i]
	same.Tokens, same.Parameters = max(same.Tokens, c.Tokens), max(same.Parameters, c.Parameters)
	same.ProductOperations = max(same.ProductOperations, c.ProductOperations)
	if len(c.Variants) > 0 {
		same.Skipped = ""
	}
	for _, v := range c.Variants {
		known := slices.IndexFunc(same.Variants, func(o BenchMeasure) bool { return o.By == v.By && o.Name == v.Name })
		if known >= 0 {
			same.Variants[known] = v // the later file's
			continue
		}
		same.Variants = append(same.Variants, v)
	}
}
