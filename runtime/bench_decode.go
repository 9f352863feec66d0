package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// decodeTurns is how many tokens a round times.
const decodeTurns = 16

const (
	benchBare   = "decode-bare"
	benchDecode = "decode"
)

// BenchDecode times what serving adds to a token of generation: for each length of
// the text so far and each number of texts (Microbatches), turns of an Engine,
// greedy, from token to token as its streams give them, and the runs of the same
// session on the same feeds that they need at least, made beforehand, logits and
// cache left where the runtime put them. Of the options it takes Model, Name,
// Library, Threads, Output, Lengths, Microbatches, Rounds and Message. A measure's
// seconds are those of one turn: a token for every text.
func BenchDecode(ctx context.Context, o BenchOptions) (*BenchReport, error) {
	o.Loss, o.Variants, o.Logical = "causal-lm", []string{benchPlain}, 0 // to pass the checks; none is trained
	if err := o.defaults(); err != nil {
		return nil, err
	}
	m, err := Open(o.Model, Options{Library: o.Library, Threads: o.Threads, Output: o.Output})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if reason := m.CacheReason(ctx); reason != nil {
		return nil, usage("%s has no cache of keys and values, and recomputes each text at each token: %w", o.Name, reason)
	}
	b := &bench{BenchOptions: o, model: m}
	r := &BenchReport{Version: benchVersion, Rounds: o.Rounds, Machine: b.machine()}
	for _, length := range o.Lengths {
		for _, rows := range o.Microbatches {
			cell, err := b.decodeCell(ctx, length, rows)
			if err != nil {
				return nil, fmt.Errorf("%s, %d tokens, %d texts: %w", o.Name, length, rows, err)
			}
			r.Cells = append(r.Cells, *cell)
		}
	}
	return r, nil
}

// decodeCell measures one length and number of texts.
func (b *bench) decodeCell(ctx context.Context, length, rows int) (*BenchCell, error) {
	c := &benchCell{bench: b, BenchCell: BenchCell{Model: b.Name, Loss: "none", Length: length, Microbatch: rows, Tokens: rows}}
	config, err := b.model.readConfig()
	if err != nil {
		return nil, err
	}
	const more = decodeTurns + 4
	if n := config.Positions; n > 0 && int64(length+more) > n {
		c.Skipped = fmt.Sprintf("%d tokens and %d more are beyond the model's %d positions", length, more, n)
		return &c.BenchCell, nil
	}
	if config.Vocabulary <= special {
		return nil, usage("config.json names no vocabulary")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	prompts := make([][]int32, rows)
	for i := range prompts {
		prompts[i] = make([]int32, length)
		for k := range prompts[i] {
			prompts[i][k] = special + rng.Int32N(int32(config.Vocabulary)-special)
		}
	}
	bare, closeBare, err := b.bareDecoder(ctx, prompts)
	if err != nil {
		return nil, err
	}
	defer closeBare()
	e, err := b.model.NewEngine(EngineOptions{MaxSequences: rows, Queue: rows})
	if err != nil {
		return nil, err
	}
	all := []*timed{
		{BenchMeasure: BenchMeasure{Name: benchBare, By: "onnxruntime", What: "the session's runs alone, feeds made beforehand"}, run: bare},
		{BenchMeasure: BenchMeasure{Name: benchDecode, By: "ghostwriter", What: "a turn of the serving engine, greedy"},
			run: func(ctx context.Context) (float64, float64, error) { return engineTurns(ctx, e, prompts) }},
	}
	if err := errors.Join(c.rounds(ctx, all), e.Close(ctx)); err != nil {
		return nil, err
	}
	for _, t := range all {
		c.Variants = append(c.Variants, t.BenchMeasure)
	}
	c.Summarize()
	return &c.BenchCell, nil
}

// bareDecoder returns what times the runs of decodeTurns tokens behind prompts.
func (b *bench) bareDecoder(ctx context.Context, prompts [][]int32) (func(context.Context) (float64, float64, error), func(), error) {
	g, err := b.model.generation(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := &cached{session: g.session, layout: g.layout, ragged: g.ragged, first: g.first, encoder: g.encoder}
	begin, err := together(ctx, c, prompts)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	steps := make([]map[string]*ort.Tensor, decodeTurns)
	ids := make([][]int32, len(prompts))
	for i := range ids {
		ids[i] = []int32{prompts[i][0]}
	}
	at := &cacheGroup{slots: begin.slots, rows: slices.Clone(begin.rows), length: begin.length, source: begin.source}
	for k := range steps {
		if steps[k], err = c.layout.feeds(c.layout, at, ids, 1); err != nil {
			c.close()
			return nil, nil, err
		}
		at.length++
		for i := range at.rows {
			at.rows[i].n++
		}
	}
	run := func(ctx context.Context) (float64, float64, error) { return c.bareTurns(ctx, begin, steps) }
	return run, c.close, nil
}

// together fills the cache with texts and one token more each, so that they lie in
// one group.
func together(ctx context.Context, c *cached, prompts [][]int32) (*cacheGroup, error) {
	texts := make([]text, len(prompts))
	for i, p := range prompts {
		texts[i] = text{ids: p, from: -1}
	}
	if _, err := c.next(ctx, texts); err != nil {
		return nil, err
	}
	for i, p := range prompts {
		texts[i] = text{ids: append(slices.Clone(p), p[0]), from: i}
	}
	if _, err := c.next(ctx, texts); err != nil {
		return nil, err
	}
	if !whole(c.at) {
		return nil, usage("the texts don't run together")
	}
	return c.at[0].group, nil
}

// bareTurns runs the session once for each step, whose cache is what the step
// before gave.
func (c *cached) bareTurns(ctx context.Context, begin *cacheGroup, steps []map[string]*ort.Tensor) (float64, float64, error) {
	fetches := []ort.Fetch{{Name: c.layout.output, Keep: true}}
	for _, s := range c.layout.slots {
		if !s.cross {
			fetches = append(fetches, ort.Fetch{Name: s.out, Keep: true})
		}
	}
	past := slices.Clone(begin.slots)
	cpu, start := processSeconds(), time.Now()
	for k, feeds := range steps {
		for i, s := range c.layout.slots {
			feeds[s.in] = past[i]
		}
		out, err := c.session.Run(ctx, feeds, fetches...)
		if err != nil {
			return 0, 0, err
		}
		out[c.layout.output].Release()
		for i, s := range c.layout.slots {
			if s.cross {
				continue
			}
			if k > 0 {
				past[i].Release()
			}
			past[i] = out[s.out]
		}
	}
	seconds, used := time.Since(start).Seconds(), processSeconds()-cpu
	for i, s := range c.layout.slots {
		if !s.cross {
			past[i].Release()
		}
	}
	return seconds / decodeTurns, used / decodeTurns, nil
}

// engineTurns sends the prompts to the engine, all before its next turn, and times
// the turns by the tokens of the first. Of the turns the first reads the prompts and
// the second joins their caches.
func engineTurns(ctx context.Context, e *Engine, prompts [][]int32) (seconds, cpu float64, err error) {
	list := make([]*request, len(prompts))
	for i, p := range prompts {
		if list[i], err = e.request(ctx, p, GenerateOptions{MaxNewTokens: decodeTurns + 2, EOS: []int64{}}); err != nil {
			return 0, 0, err
		}
	}
	if err := e.enqueue(list...); err != nil {
		return 0, 0, err
	}
	var begin time.Time
	var used float64
	for k := range decodeTurns + 2 {
		if _, err := list[0].stream.Next(); err != nil {
			return 0, 0, err
		}
		if k == 1 {
			begin, used = time.Now(), processSeconds()
		}
	}
	seconds, cpu = time.Since(begin).Seconds()/decodeTurns, (processSeconds()-used)/decodeTurns
	for _, r := range list {
		for err == nil {
			_, err = r.stream.Next()
		}
		if !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		err = nil
	}
	return seconds, cpu, nil
}
