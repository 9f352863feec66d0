package serve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A job is one caller's run.
type job struct {
	feeds   map[string]*ort.Tensor
	outputs []string // never empty
	rows    int64
	length  int64 // tokens of a row, 1 where rows are not sequences
	arrived time.Time
}

// newJob looks at a caller's feeds; key says which jobs may be joined, "" that
// this one can't be.
func (p *plan) newJob(feeds map[string]*ort.Tensor, outputs []string) (j *job, key string) {
	j = &job{feeds: feeds, outputs: outputs, rows: 1, length: 1, arrived: time.Now()}
	if len(p.rows) == 0 || slices.ContainsFunc(outputs, func(o string) bool { return !p.rows[o] }) {
		return j, ""
	}
	var k strings.Builder
	fmt.Fprintf(&k, "%q", outputs)
	first := true
	for _, name := range sortedNames(feeds) {
		shape := feeds[name].Shape()
		if len(shape) == 0 || shape[0] == 0 || !first && shape[0] != j.rows {
			return j, ""
		}
		rest := shape[1:]
		if p.lengths {
			if !first && shape[1] != j.length || shape[1] == 0 {
				return j, ""
			}
			j.length, rest = shape[1], nil
		}
		j.rows, first = shape[0], false
		fmt.Fprintf(&k, " %q %v %v", name, feeds[name].DType(), rest)
	}
	if first {
		return j, ""
	}
	return j, k.String()
}

func sortedNames(feeds map[string]*ort.Tensor) []string {
	names := make([]string, 0, len(feeds))
	for name := range feeds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// runJoined runs jobs of one key together and splits the outputs.
func (p *plan) runJoined(ctx context.Context, m *runtime.Model, jobs []*job) ([]map[string]*ort.Tensor, error) {
	if len(jobs) == 1 {
		out, err := m.RunDirect(ctx, jobs[0].feeds, jobs[0].outputs)
		return []map[string]*ort.Tensor{out}, err
	}
	feeds := map[string]*ort.Tensor{}
	for name := range jobs[0].feeds {
		parts := make([]*ort.Tensor, len(jobs))
		for i, j := range jobs {
			parts[i] = j.feeds[name]
		}
		var err error
		if feeds[name], err = p.stack(name, parts); err != nil {
			return nil, err
		}
	}
	out, err := m.RunDirect(ctx, feeds, jobs[0].outputs)
	if err != nil {
		return nil, err
	}
	results := make([]map[string]*ort.Tensor, len(jobs))
	for i := range results {
		results[i] = map[string]*ort.Tensor{}
	}
	for name, t := range out {
		parts, err := p.split(name, t, jobs)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", name, err)
		}
		for i := range results {
			results[i][name] = parts[i]
		}
	}
	return results, nil
}

// stack puts tensors one below the other; where lengths differ, rows are filled up
// behind.
func (p *plan) stack(name string, parts []*ort.Tensor) (*ort.Tensor, error) {
	shape := parts[0].Shape()
	shape[0] = 0
	for _, t := range parts {
		s := t.Shape()
		shape[0] += s[0]
		if p.lengths {
			shape[1] = max(shape[1], s[1])
		}
	}
	joined, err := ort.NewZeros(parts[0].DType(), shape)
	if err != nil {
		return nil, err
	}
	if fill := p.fill[name]; p.lengths && fill != 0 {
		fillWith(joined, fill)
	}
	dst, at := joined.Bytes(), 0
	for _, t := range parts {
		s, src := t.Shape(), t.Bytes()
		if !p.lengths || s[1] == shape[1] {
			at += copy(dst[at:], src)
			continue
		}
		row, wide := len(src)/int(s[0]), int(shape[1])*t.DType().Size()
		for r := range int(s[0]) {
			copy(dst[at:], src[r*row:(r+1)*row])
			at += wide
		}
	}
	return joined, nil
}

// fillWith sets every element of an integer tensor.
func fillWith(t *ort.Tensor, v int64) {
	if wide, err := ort.Data[int64](t); err == nil {
		for i := range wide {
			wide[i] = v
		}
	} else if narrow, err := ort.Data[int32](t); err == nil {
		for i := range narrow {
			narrow[i] = int32(v)
		}
	}
}

// split gives each job its rows of an output, cut to its own length.
func (p *plan) split(name string, t *ort.Tensor, jobs []*job) ([]*ort.Tensor, error) {
	shape, rows, longest := t.Shape(), int64(0), int64(0)
	for _, j := range jobs {
		rows, longest = rows+j.rows, max(longest, j.length)
	}
	if len(shape) == 0 || shape[0] != rows {
		return nil, fmt.Errorf("it is %v for %d rows", t, rows)
	}
	var axes []int
	if p.lengths {
		axes = p.crop[name]
	}
	for _, axis := range axes {
		if axis >= len(shape) || shape[axis] != longest {
			return nil, fmt.Errorf("it is %v for sequences of %d tokens", t, longest)
		}
	}
	parts := make([]*ort.Tensor, len(jobs))
	data, row, at := t.Bytes(), len(t.Bytes())/int(rows), 0
	for i, j := range jobs {
		to := slices.Clone(shape)
		to[0] = j.rows
		for _, axis := range axes {
			to[axis] = j.length
		}
		part, err := ort.NewZeros(t.DType(), to)
		if err != nil {
			return nil, err
		}
		from := slices.Clone(shape)
		from[0] = j.rows
		cut(part.Bytes(), data[at:at+row*int(j.rows)], to, from, t.DType().Size())
		parts[i], at = part, at+row*int(j.rows)
	}
	return parts, nil
}

// cut copies the leading part of each axis: to[k] ≤ from[k].
func cut(dst, src []byte, to, from []int64, size int) {
	if slices.Equal(to, from) {
		copy(dst, src)
		return
	}
	inner, outer := size, size
	for axis := 1; axis < len(to); axis++ {
		inner, outer = inner*int(to[axis]), outer*int(from[axis])
	}
	for k := range int(to[0]) {
		d, s := dst[k*inner:(k+1)*inner], src[k*outer:(k+1)*outer]
		if len(to) == 1 {
			copy(d, s)
			continue
		}
		cut(d, s, to[1:], from[1:], size)
	}
}
