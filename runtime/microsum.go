package runtime

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A microSum is the sum of a microbatch's gradients where the run left it: each
// parameter's in the runtime's memory, which the next run takes its values from. A
// vector of all coordinates beside it would only be added and forgotten. Of a large
// table that is only looked up in, it has the rows that were.
type microSum struct {
	parts []dpadam.Part // ascending, apart
	order []int         // scratch of addRows
	held  map[string]*ort.Tensor
}

// rowsApart is the number of elements from which a table's rows are left apart: a
// smaller one costs less than its own care.
const rowsApart = 1 << 20

// fetchKept asks for the sums of a program that has rows apart.
func fetchKept(p *ghost.Program) (out []ort.Fetch) {
	for _, param := range p.Trained {
		if name := p.Sums[param.Name]; name != "" {
			out = append(out, ort.Fetch{Name: name, Keep: true})
		}
		if r, ok := p.Rows[param.Name]; ok {
			out = append(out, ort.Fetch{Name: r.IDs, Keep: true}, ort.Fetch{Name: r.Values, Keep: true})
		}
	}
	return out
}

// take reads the sums of a run: the parts of a vector with the arena's layout. They
// are valid until release.
func (m *microSum) take(p *ghost.Program, layout *ort.Arena, out map[string]*ort.Tensor) error {
	m.held, m.parts = out, m.parts[:0] // releasing what was copied out does nothing
	for _, param := range p.Trained {
		at, ok := layout.Offset(param.Name)
		if !ok {
			return fmt.Errorf("parameter %q has no place among the sums", param.Name)
		}
		var whole []float32
		if name := p.Sums[param.Name]; name != "" {
			var err error
			if whole, err = ort.Data[float32](out[name]); err != nil {
				return err
			}
			m.parts = append(m.parts, dpadam.Part{Start: at, Data: whole})
		}
		r, ok := p.Rows[param.Name]
		if !ok {
			continue
		}
		ids, err := ort.Data[int64](out[r.IDs])
		if err != nil {
			return err
		}
		values, err := ort.Data[float32](out[r.Values])
		if err != nil {
			return err
		}
		if err := m.addRows(param, r.Width, at, ids, values, whole); err != nil {
			return err
		}
	}
	slices.SortFunc(m.parts, func(a, b dpadam.Part) int { return a.Start - b.Start })
	return nil
}

// addRows adds look-ups into a table's sum or, where it has no other, makes one part
// of each row: rows of one id are added, in their order, into the first of them.
func (m *microSum) addRows(p ghost.Parameter, width int64, at int, ids []int64, values, whole []float32) error {
	w, rows := int(width), p.Elements()/width
	if len(values) != len(ids)*w {
		return fmt.Errorf("parameter %q: %d numbers for %d rows of %d", p.Name, len(values), len(ids), w)
	}
	m.order = m.order[:0]
	for i, id := range ids {
		if id < 0 || id >= rows {
			return fmt.Errorf("parameter %q has %d rows, not row %d", p.Name, rows, id)
		}
		m.order = append(m.order, i)
	}
	row := func(i int) []float32 { return values[i*w : (i+1)*w] }
	if whole != nil {
		for i, id := range ids {
			addTo(whole[int(id)*w:(int(id)+1)*w], row(i))
		}
		return nil
	}
	slices.SortStableFunc(m.order, func(a, b int) int { return int(ids[a] - ids[b]) })
	for k := 0; k < len(m.order); {
		first := m.order[k]
		for k++; k < len(m.order) && ids[m.order[k]] == ids[first]; k++ {
			addTo(row(first), row(m.order[k]))
		}
		m.parts = append(m.parts, dpadam.Part{Start: at + int(ids[first])*w, Data: row(first)})
	}
	return nil
}

// release gives the memory back to the runtime; without a sum it does nothing.
func (m *microSum) release() {
	if m == nil {
		return
	}
	for _, t := range m.held {
		t.Release()
	}
	m.held, m.parts = nil, m.parts[:0]
}
