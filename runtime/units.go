package runtime

import (
	"context"
	"math"
	goruntime "runtime"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// User-level privacy (--unit-column): the records that share a value of a column are one unit. Units are sampled; a
// sampled unit's example is the sum of the gradients of at most K of its records, clipped as a whole. It is computed by
// runs that hold this unit's records and padding only, so it is exact for every architecture, and no other unit can
// change it: neither the padding length, nor the number of rows, nor which records were chosen.

// defaultRecordsPerUnit is K where --records-per-unit is not given: enough that most units of texts by people use what
// they have, few enough that a unit is one run of the graph.
const defaultRecordsPerUnit = 8

// recordsPerUnit is K, or 0 where the unit of privacy is a record.
func (o *FinetuneOptions) recordsPerUnit() int {
	switch {
	case o.UnitColumn == "":
		return 0
	case o.RecordsPerUnit == 0:
		return defaultRecordsPerUnit
	}
	return o.RecordsPerUnit
}

// validateUnits refuses what does not fit --unit-column.
func (o *FinetuneOptions) validateUnits() error {
	switch {
	case o.UnitColumn == "" && o.RecordsPerUnit > 0:
		return usage("--records-per-unit %d needs --unit-column, the column that says whose record a row is", o.RecordsPerUnit)
	case o.UnitColumn == "":
		return nil
	case o.TwoPass:
		return usage("--two-pass is for records; with --unit-column a step needs no norms of records, and its one pass takes the memory of the second of two")
	}
	return nil
}

// planUnits makes a configuration count units.
func (o *FinetuneOptions) planUnits(c *dpadam.Config) {
	if c.RecordsPerUnit = o.recordsPerUnit(); c.RecordsPerUnit == 0 {
		return
	}
	c.Unit = dpadam.UnitOfColumn(o.UnitColumn)
	c.Rho = 0 // dpadam's own allowance: the norm is that of the numbers that are added
	c.Microbatch, c.Buckets = 1, 1
}

// capRows halves the rows of a run until a unit's records just fit: more would all be padding.
func (o *FinetuneOptions) capRows(size int) int {
	for k := o.recordsPerUnit(); k > 0 && size/2 >= k; {
		size /= 2
	}
	return size
}

// groupUnits returns the records of every unit, in the order of the file. A record that was dropped (too long, nothing to
// score) belongs to its unit and is never chosen; a unit of nothing else stays in N and contributes zero.
func groupUnits(records []tokenize.Record, examples []tokenize.Example) [][]int {
	number := map[string]int{}
	var units [][]int
	for i, rec := range records {
		u, ok := number[rec.Unit]
		if !ok {
			u = len(units)
			number[rec.Unit] = u
			units = append(units, nil)
		}
		if examples[i].Dropped == tokenize.Kept {
			units[u] = append(units[u], i)
		}
	}
	return units
}

// size is the number of units of privacy: what N counts.
func (d *dataset) size() int {
	if d.units != nil {
		return len(d.units)
	}
	return len(d.examples)
}

// noun is what N counts, in words.
func (d *dataset) noun() string {
	if d.units != nil {
		return "users"
	}
	return "rows"
}

// packUnit sorts records of one unit into runs, all padded to the length of the longest: a function of them alone.
func (d *dataset) packUnit(chosen []int, size int, fixed bool) []microbatch {
	edge := 0
	for _, i := range chosen {
		edge = max(edge, d.edge(i))
	}
	return packLength(chosen, edge, size, fixed)
}

// addUnits adds the examples of a step's units.
func (t *trainer) addUnits(ctx context.Context, s *dpadam.Step, stats *stepStats) error {
	var chosen []int
	for _, u := range deal(t.ranks, s.Records()) {
		own := t.data.units[u]
		var err error
		if chosen, err = s.ChooseRecords(chosen[:0], u, len(own)); err != nil {
			return err
		}
		for k, i := range chosen {
			chosen[k] = own[i]
		}
		sum, err := t.unitSum(ctx, chosen, stats)
		if err != nil {
			return err
		}
		factor, within := 0.0, true // of a unit without a record to train on
		if len(chosen) > 0 {
			norm := math.Sqrt(squares(sum))
			factor, within = t.unitFactor(norm, stats), norm <= t.clipTo() // false where it is not a number
		}
		if t.plan.Adapts() {
			err = s.AddUnitCounted(sum, factor, within)
		} else {
			err = s.AddUnit(sum, factor)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unitFactor clips a unit: the factor of its gradient of that norm. A gradient that is not finite contributes zero.
func (t *trainer) unitFactor(norm float64, stats *stepStats) float64 {
	if !finite(norm) {
		stats.NotFinite++
		return 0
	}
	stats.finite++
	stats.addNorm(norm)
	c := t.clipTo()
	if c == 0 {
		return 1 // only without privacy
	}
	if norm > c {
		stats.Clipped++
	}
	return t.clip().factor(norm)
}

// unitSum returns the sum of the gradients of a unit's chosen records: t.sums after a single run, t.unit after several.
// It is valid until the next run.
func (t *trainer) unitSum(ctx context.Context, chosen []int, stats *stepStats) ([]float32, error) {
	runs := t.data.packUnit(chosen, t.size, t.fixed)
	sum := t.sums.Data()
	for k, m := range runs {
		r, err := t.run(ctx, m)
		if err != nil {
			return nil, err
		}
		for i := range r.loss {
			if r.real[i] && r.finite[i] {
				stats.Loss += r.loss[i]
				stats.scored++
			}
		}
		if len(runs) == 1 {
			break
		}
		if k == 0 {
			if t.unit == nil {
				t.unit = make([]float32, len(sum))
			}
			copy(t.unit, sum)
			continue
		}
		addTo(t.unit, sum)
	}
	if len(runs) > 1 {
		return t.unit, nil
	}
	return sum, nil
}

// stretch is what one goroutine takes of a long vector. It does not depend on the machine, and stretches are added up in
// their order, so that a norm is the same number everywhere.
const stretch = 1 << 16

// squares is the sum of squares in float64; not finite when a number is not.
func squares(v []float32) float64 {
	parts := make([]float64, (len(v)+stretch-1)/stretch)
	overStretches(len(v), func(k, lo, hi int) {
		sum := 0.0
		for _, x := range v[lo:hi] {
			sum += float64(x) * float64(x)
		}
		parts[k] = sum
	})
	sum := 0.0
	for _, p := range parts {
		sum += p
	}
	return sum
}

// addTo adds b to a.
func addTo(a, b []float32) {
	overStretches(len(a), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			a[i] += b[i]
		}
	})
}

// overStretches calls f on every stretch of n numbers, in parallel.
func overStretches(n int, f func(k, lo, hi int)) {
	stretches := (n + stretch - 1) / stretch
	workers := min(goruntime.GOMAXPROCS(0), stretches)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for k := w; k < stretches; k += workers {
				f(k, k*stretch, min(n, (k+1)*stretch))
			}
		})
	}
	wait.Wait()
}
