package runtime

import (
	"cmp"
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
	encoder *encoder      // of an encoder–decoder model
	first   *opening      // runs new texts, where the session can't
	at      []cacheRef    // where each text of the turn before lies
	logits  []*ort.Tensor // of the turn before, which its caller may still read
}

// An opening is a decoder without a cache for new texts, whose other part
// continues them.
type opening struct {
	session *ort.Session
	layout  *cacheLayout
	outs    []string // of the other part's slots
}

// A cohort is what texts must share to run together.
type cohort struct{ source, tokens int }

func (c *cached) cohort(source, tokens int) cohort {
	if c.ragged {
		tokens = 0
	}
	return cohort{source, tokens}
}

func (c *cached) close() {
	for g := range c.groups(c.at) {
		g.release()
	}
	c.at = nil
	c.forget()
}

// forget gives the memory of the last turn's logits back.
func (c *cached) forget() {
	for _, t := range c.logits {
		t.Release()
	}
	c.logits = c.logits[:0]
}

// groups are those that rows lie in.
func (c *cached) groups(refs []cacheRef) map[*cacheGroup]bool {
	set := map[*cacheGroup]bool{}
	for _, r := range refs {
		set[r.group] = true
	}
	return set
}

// prefillTokens bounds the tokens of one run over new texts, filling included,
// and prefillLogits the logits that they give (each 4 bytes).
const (
	prefillTokens = 4096
	prefillLogits = 32 << 20
)

// most is how many tokens one run over new texts may have.
func (c *cached) most() int {
	if v := int(c.layout.vocabulary); v > 0 {
		return min(prefillTokens, max(1, prefillLogits/v))
	}
	return prefillTokens
}

func (c *cached) next(ctx context.Context, texts []text) ([][]float32, error) {
	c.forget()
	before := c.groups(c.at)
	out, at := make([][]float32, len(texts)), make([]cacheRef, len(texts))
	var fresh []int
	together := map[cohort][]int{}
	for i, t := range texts {
		if t.from < 0 {
			fresh = append(fresh, i)
			continue
		}
		key := c.cohort(c.at[t.from].group.source, len(t.ids))
		together[key] = append(together[key], i)
	}
	for _, rows := range together {
		if err := c.extend(ctx, texts, rows, out, at); err != nil {
			return nil, err
		}
	}
	for _, rows := range c.parts(texts, fresh) {
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
func (c *cached) parts(texts []text, fresh []int) [][]int {
	slices.SortStableFunc(fresh, func(a, b int) int {
		return cmp.Or(len(texts[a].source)-len(texts[b].source), len(texts[a].ids)-len(texts[b].ids))
	})
	key := func(i int) cohort { return c.cohort(len(texts[i].source), len(texts[i].ids)) }
	var parts [][]int
	for _, i := range fresh {
		if k := len(parts) - 1; k >= 0 && key(parts[k][0]) == key(i) && (len(parts[k])+1)*(len(texts[i].ids)+len(texts[i].source)) <= c.most() {
			parts[k] = append(parts[k], i)
			continue
		}
		parts = append(parts, []int{i})
	}
	return parts
}

// prefill runs whole texts, shorter ones filled up at the end: causal attention
// keeps the filling from what is before it.
func (c *cached) prefill(ctx context.Context, texts []text, rows []int, out [][]float32, at []cacheRef) error {
	past := &cacheGroup{rows: make([]cacheRow, len(rows)), source: len(texts[rows[0]].source)}
	wide := 0
	ids, sources := make([][]int32, len(rows)), make([][]int32, len(rows))
	for k, i := range rows {
		ids[k], sources[k] = texts[i].ids, texts[i].source
		wide = max(wide, len(ids[k]))
	}
	for _, slot := range c.layout.slots {
		t, err := ort.NewZeros(slot.dtype, slot.shape(len(rows), 0, 0))
		if slot.in == encoderStates {
			t, err = c.encoder.run(ctx, sources)
		}
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
	session, layout, outs := c.session, c.layout, c.outs(past)
	if past.length == 0 && c.first != nil {
		session, layout = c.first.session, c.first.layout
	}
	feeds, err := layout.feeds(c.layout, past, ids, wide)
	if err != nil {
		return err
	}
	fetches := []ort.Fetch{{Name: layout.output, Keep: true}}
	for i, name := range outs {
		if name != "" {
			fetches = append(fetches, ort.Fetch{Name: name, Keep: !c.layout.slots[i].cross})
		}
	}
	result, err := session.Run(ctx, feeds, fetches...)
	if err != nil {
		return err
	}
	g := &cacheGroup{length: past.length + wide, source: past.source}
	for i, s := range c.layout.slots {
		t := past.slots[i] // of the source, and the same as before
		if outs[i] != "" {
			t = result[outs[i]]
		}
		if shape := t.Shape(); !slices.Equal(shape, s.shape(len(rows), g.length, g.source)) {
			return usage("%q has shape %v after %d tokens; want %v", s.in, shape, g.length, s.shape(len(rows), g.length, g.source))
		}
		g.slots = append(g.slots, t)
	}
	last := make([]int, len(rows))
	for k, i := range rows {
		last[k] = len(ids[k]) - 1
		g.rows = append(g.rows, cacheRow{begin: past.rows[k].begin, n: past.rows[k].n + len(ids[k])})
		at[i] = cacheRef{g, k}
	}
	logits, err := logitRows(result[layout.output], layout.output, last)
	if err != nil {
		return err
	}
	if wide == 1 { // nothing but what is asked for
		for k, i := range rows {
			out[i] = logits[k]
		}
		c.logits = append(c.logits, result[layout.output])
		return nil
	}
	for k, i := range rows {
		out[i] = slices.Clone(logits[k])
	}
	result[layout.output].Release()
	return nil
}

// outs are the outputs that continue each slot, "" for one that stays as it is:
// what belongs to the source is computed with the first tokens.
func (c *cached) outs(past *cacheGroup) []string {
	outs := make([]string, len(c.layout.slots))
	for i, s := range c.layout.slots {
		switch {
		case past.length == 0 && c.first != nil:
			outs[i] = c.first.outs[i]
		case past.length == 0 || !s.cross:
			outs[i] = s.out
		}
	}
	return outs
}

// feeds makes the inputs of a run: wide new tokens behind past, whose slots are
// those of the layout of.
func (l *cacheLayout) feeds(of *cacheLayout, past *cacheGroup, ids [][]int32, wide int) (map[string]*ort.Tensor, error) {
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
	ones := make([]int64, rows*past.source)
	for i := range ones {
		ones[i] = 1
	}
	f.ints(l.encoderMask, []int64{r, int64(past.source)}, ones)
	for i, s := range of.slots {
		if _, reads := l.dtypes[s.in]; reads {
			f.feeds[s.in] = past.slots[i]
		}
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
