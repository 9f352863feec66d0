package runtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// cached is a stepper that keeps keys and values of every text between turns.
// New texts run whole; of the others only the last token does.
//
// Where the model can tell filling from text (ragged), texts of any length run
// together, shorter ones filled up at the front, so that distances between
// tokens stay what they are; otherwise only texts of equal length do.
type cached struct {
	session *ort.Session
	layout  *cacheLayout
	ragged  bool
	at      []cacheRef // where each text of the turn before lies
}

func (c *cached) close() {
	for g := range c.groups(c.at) {
		g.release()
	}
	c.at = nil
}

// groups are those that rows lie in.
func (c *cached) groups(refs []cacheRef) map[*cacheGroup]bool {
	set := map[*cacheGroup]bool{}
	for _, r := range refs {
		set[r.group] = true
	}
	return set
}

// prefillTokens bounds the tokens of one run over new texts, filling included;
// prefillLogits the logits that it makes.
const (
	prefillTokens = 4096
	prefillLogits = 64 << 20
)

func (c *cached) next(ctx context.Context, texts []text) ([][]float32, error) {
	before := c.groups(c.at)
	out, at := make([][]float32, len(texts)), make([]cacheRef, len(texts))
	var fresh []int
	byLength := map[int][]int{}
	for i, t := range texts {
		if t.from < 0 {
			fresh = append(fresh, i)
			continue
		}
		key := 0
		if !c.ragged {
			key = len(t.ids)
		}
		byLength[key] = append(byLength[key], i)
	}
	for _, rows := range byLength {
		if err := c.extend(ctx, texts, rows, out, at); err != nil {
			return nil, err
		}
	}
	for _, rows := range c.parts(texts, fresh, len(out)) {
		if err := c.prefill(ctx, texts, rows, out, at); err != nil {
			return nil, err
		}
	}
	c.at = at
	now := c.groups(at)
	for g := range before {
		if !now[g] {
			g.release()
		}
	}
	return out, nil
}

// extend runs the last token of texts whose others are in the cache.
func (c *cached) extend(ctx context.Context, texts []text, rows []int, out [][]float32, at []cacheRef) error {
	refs := make([]cacheRef, len(rows))
	ids := make([][]int32, len(rows))
	for k, i := range rows {
		refs[k] = c.at[texts[i].from]
		n := refs[k].group.rows[refs[k].row].n
		if n+1 != len(texts[i].ids) {
			return fmt.Errorf("a text of %d tokens continues one of %d", len(texts[i].ids), n)
		}
		ids[k] = texts[i].ids[n:]
	}
	past, err := refs[0].group, error(nil)
	if !whole(refs) {
		if past, err = gather(c.layout.slots, refs); err != nil {
			return err
		}
		defer past.release()
	}
	return c.run(ctx, past, ids, 1, rows, out, at)
}

// parts splits new texts, shortest first, into runs of bounded size.
func (c *cached) parts(texts []text, fresh []int, _ int) [][]int {
	slices.SortStableFunc(fresh, func(a, b int) int { return len(texts[a].ids) - len(texts[b].ids) })
	var parts [][]int
	for _, i := range fresh {
		n := len(texts[i].ids)
		if k := len(parts) - 1; k >= 0 {
			same := len(texts[parts[k][0]].ids) == n
			if (c.ragged || same) && (len(parts[k])+1)*n <= prefillTokens {
				parts[k] = append(parts[k], i)
				continue
			}
		}
		parts = append(parts, []int{i})
	}
	return parts
}

// prefill runs whole texts, shorter ones filled up at the end: causal attention
// keeps the filling from what is before it.
func (c *cached) prefill(ctx context.Context, texts []text, rows []int, out [][]float32, at []cacheRef) error {
	past := &cacheGroup{rows: make([]cacheRow, len(rows))}
	wide := 0
	ids := make([][]int32, len(rows))
	for k, i := range rows {
		ids[k] = texts[i].ids
		wide = max(wide, len(ids[k]))
	}
	for _, slot := range c.layout.slots {
		t, err := ort.NewZeros(slot.dtype, slot.shape(len(rows), 0))
		if err != nil {
			return err
		}
		past.slots = append(past.slots, t)
	}
	return c.run(ctx, past, ids, wide, rows, out, at)
}

// run computes new tokens, wide of them for each row of past, and keeps what it
// gives.
func (c *cached) run(ctx context.Context, past *cacheGroup, ids [][]int32, wide int, rows []int, out [][]float32, at []cacheRef) error {
	feeds, err := c.layout.feeds(past, ids, wide)
	if err != nil {
		return err
	}
	fetches := []ort.Fetch{{Name: c.layout.output, Keep: true}}
	for _, s := range c.layout.slots {
		fetches = append(fetches, ort.Fetch{Name: s.out, Keep: true})
	}
	result, err := c.session.Run(ctx, feeds, fetches...)
	if err != nil {
		return err
	}
	g := &cacheGroup{length: past.length + wide}
	for _, s := range c.layout.slots {
		t := result[s.out]
		if shape := t.Shape(); !slices.Equal(shape, s.shape(len(rows), g.length)) {
			return usage("output %q has shape %v after %d tokens; want %v", s.out, shape, g.length, s.shape(len(rows), g.length))
		}
		g.slots = append(g.slots, t)
	}
	last := make([]int, len(rows))
	for k, i := range rows {
		last[k] = len(ids[k]) - 1
		g.rows = append(g.rows, cacheRow{begin: past.rows[k].begin, n: past.rows[k].n + len(ids[k])})
		at[i] = cacheRef{g, k}
	}
	logits, err := logitRows(result[c.layout.output], c.layout.output, last)
	if err != nil {
		return err
	}
	for k, i := range rows {
		out[i] = slices.Clone(logits[k])
	}
	result[c.layout.output].Release()
	return nil
}

// feeds makes the inputs of a run: wide new tokens behind past.
func (l *cacheLayout) feeds(past *cacheGroup, ids [][]int32, wide int) (map[string]*ort.Tensor, error) {
	rows := len(ids)
	tokens, positions := make([]int64, rows*wide), make([]int64, rows*wide)
	mask := make([]int64, rows*(past.length+wide))
	for i, row := range ids {
		at := past.rows[i]
		seen := mask[i*(past.length+wide):][:past.length+wide]
		for t := range at.n {
			seen[at.begin+t] = 1
		}
		for t := range wide {
			positions[i*wide+t] = int64(at.n + t)
			if t < len(row) {
				tokens[i*wide+t], seen[past.length+t] = int64(row[t]), 1
			}
		}
	}
	f := feeder{dtypes: l.dtypes, feeds: map[string]*ort.Tensor{}}
	r, w := int64(rows), int64(wide)
	f.ints(l.tokens, []int64{r, w}, tokens)
	f.ints(l.mask, []int64{r, int64(past.length) + w}, mask)
	if l.onePosition {
		f.ints(l.positions, []int64{1, w}, positions[:wide])
	} else {
		f.ints(l.positions, []int64{r, w}, positions)
	}
	f.ints(l.types, []int64{r, w}, make([]int64, rows*wide))
	if l.branch != "" {
		f.feeds[l.branch], f.err = ort.NewTensor([]int64{1}, []bool{past.length > 0})
	}
	for i, s := range l.slots {
		f.feeds[s.in] = past.slots[i]
	}
	return f.feeds, f.err
}

// A feeder makes integer inputs of the types that a model declares.
type feeder struct {
	dtypes map[string]ort.DType
	feeds  map[string]*ort.Tensor
	err    error
}

func (f *feeder) ints(name string, shape, data []int64) {
	if name == "" || f.err != nil {
		return
	}
	t, err := ort.NewTensor(shape, data)
	if err == nil {
		t, err = convert(t, f.dtypes[name])
	}
	if err != nil {
		f.err = usage("input %q: %w", name, err)
	}
	f.feeds[name] = t
}
