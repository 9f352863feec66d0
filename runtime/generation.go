package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/kvcache"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A generation is how a model continues texts: found out once, when it is first
// asked to.
type generation struct {
	session *ort.Session // with a cache; nil where texts are recomputed
	own     bool         // the session is this value's to close
	layout  *cacheLayout
	ragged  bool
	first   *opening
	encoder *encoder // nil where there is none
	reason  error    // why there is no cache
}

// CacheReason says why the model's texts are recomputed at each token instead of
// kept in a cache; nil where they are kept.
func (m *Model) CacheReason(ctx context.Context) error {
	g, err := m.generation(ctx)
	if err != nil {
		return err
	}
	return g.reason
}

// newStepper opens the fastest way the model has to continue texts.
func (m *Model) newStepper(ctx context.Context) (stepper, error) {
	g, err := m.generation(ctx)
	if err != nil {
		return nil, err
	}
	if g.session == nil {
		return m.newRecompute(g.encoder)
	}
	return &cached{session: g.session, layout: g.layout, ragged: g.ragged, first: g.first, encoder: g.encoder}, nil
}

// generation finds out how the model continues texts: with the cache it was
// exported with, with one that is added to its graph, or by recomputing. A cache
// is only used if it reproduces, on a short text, what the whole text gives.
func (m *Model) generation(ctx context.Context) (*generation, error) {
	m.generating.Lock()
	defer m.generating.Unlock()
	if m.generates != nil {
		return m.generates, nil
	}
	e, err := m.encoderOf()
	if err != nil {
		return nil, err
	}
	oracle, err := m.newRecompute(e)
	if err != nil {
		return nil, err
	}
	g, err := m.findCache(e)
	if err == nil {
		err = g.prove(ctx, m, oracle)
	}
	if err != nil {
		g.closeCache()
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), e.close())
		}
		g = &generation{reason: err, encoder: e}
	}
	m.generates = g
	return g, nil
}

// findCache finds the cache that the model was exported with, or adds one.
func (m *Model) findCache(e *encoder) (*generation, error) {
	if m.options.NoCache {
		return nil, errors.New("the model was opened without")
	}
	g, err := m.exportedCache()
	if g == nil && err == nil && e != nil {
		g, err = m.separateCache()
	}
	if g == nil && err == nil {
		g, err = m.addedCache()
	}
	if g != nil {
		g.encoder = e
	}
	return g, err
}

// encoderOf opens the encoder that the model's decoder needs; nil where it needs
// none.
func (m *Model) encoderOf() (*encoder, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.Inputs(), func(in ort.Info) bool { return in.Name == encoderStates }) {
		return nil, nil
	}
	return m.openEncoder()
}

// close frees what the generation opened.
func (g *generation) close() error { return errors.Join(g.closeCache(), g.encoder.close()) }

func (g *generation) closeCache() error {
	if g != nil && g.own && g.session != nil {
		return g.session.Close()
	}
	return nil
}

// exportedCache uses the model's own cache; nil where it has none.
func (m *Model) exportedCache() (*generation, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	l, err := newCacheLayout(s, m.options.Output)
	if l == nil || err != nil {
		return nil, err
	}
	return &generation{session: s, layout: l}, nil
}

// separateCache uses the decoder for all tokens but the first that older versions
// of optimum write beside the one without a cache; nil where there is none.
func (m *Model) separateCache() (*generation, error) {
	path := filepath.Join(filepath.Dir(m.file.Path), "decoder_with_past_model.onnx")
	if _, err := os.Stat(path); err != nil {
		return nil, nil
	}
	env, err := m.Env()
	if err != nil {
		return nil, err
	}
	first, err := m.session()
	if err != nil {
		return nil, err
	}
	o, err := m.sessionOptions(path)
	if err != nil {
		return nil, err
	}
	s, err := env.NewSessionFromFile(path, o)
	if err != nil {
		return nil, err
	}
	g := &generation{session: s, own: true}
	if g.layout, err = newCacheLayout(s, m.options.Output); err == nil && g.layout == nil {
		err = fmt.Errorf("%s has no cache", path)
	}
	if err != nil {
		return g, err
	}
	g.first = &opening{session: first}
	if g.first.layout, err = readLayout(first, m.options.Output); err != nil {
		return g, err
	}
	for _, states := range g.first.layout.slots { // what only the first part reads
		if _, reads := g.layout.dtypes[states.in]; !reads {
			g.layout.slots = append(g.layout.slots, states)
		}
	}
	for _, slot := range g.layout.slots {
		out := presentOf(slot.in, first.Outputs())
		if out == "" && slot.in != encoderStates {
			return g, fmt.Errorf("no output of the first part gives %q", slot.in)
		}
		g.first.outs = append(g.first.outs, out)
	}
	return g, nil
}

// addedCache gives the model's graph a cache.
func (m *Model) addedCache() (*generation, error) {
	graph, err := kvcache.Add(m.file.Graph(), m.options.Output)
	if err != nil {
		return nil, err
	}
	env, err := m.Env()
	if err != nil {
		return nil, err
	}
	o, err := m.sessionOptions(m.file.Path + " (with a cache)")
	if err != nil {
		return nil, err
	}
	s, err := openGraph(env, graph, o)
	if err != nil {
		return nil, err
	}
	l, err := newCacheLayout(s, "")
	if err == nil && l == nil {
		err = fmt.Errorf("the rewritten graph has no cache")
	}
	return &generation{session: s, own: true, layout: l}, err
}

// inMemory is the size of weights up to which a rewritten graph is passed to the
// runtime in memory; a larger one goes through a file, with external data.
const inMemory = 1 << 30

// openGraph opens a session on a graph.
func openGraph(env *ort.Env, g *ir.Graph, o ort.Options) (*ort.Session, error) {
	var size int64
	for _, t := range g.Inits {
		size += 4 * t.Len()
	}
	if size <= inMemory {
		data, err := g.Marshal()
		if err != nil {
			return nil, err
		}
		return env.NewSession(data, o)
	}
	dir, err := os.MkdirTemp("", "ghostwriter-cache-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // the runtime has read or mapped what it needs
	path := filepath.Join(dir, "model.onnx")
	if err := g.Save(path); err != nil {
		return nil, err
	}
	return env.NewSessionFromFile(path, o)
}

// proofShort and proofLong are the lengths of the two texts that a cache is tried on.
const proofShort, proofLong = 5, 9

// prove compares the cache with the whole computation: a text begun and
// continued twice must give the logits that the whole text gives, and, for texts
// of different length to run together, must give them beside a longer one.
func (g *generation) prove(ctx context.Context, m *Model, oracle *recompute) error {
	c := &cached{session: g.session, layout: g.layout, first: g.first, encoder: g.encoder}
	defer c.close()
	texts, err := proofTexts(ctx, m, oracle)
	if err != nil {
		return err
	}
	bound := closeness(g.layout)
	for i := range texts {
		off, err := deviation(ctx, c, oracle, texts[i:i+1])
		if err != nil {
			return err
		}
		if off > bound {
			return fmt.Errorf("with the cache the logits differ by %.2g of their range from those of the whole text", off)
		}
	}
	c.ragged = true
	off, err := deviation(ctx, c, oracle, texts)
	g.ragged = err == nil && off <= bound && !g.layout.onePosition && g.layout.mask != "" && !g.layout.seq2seq
	return ctx.Err()
}

// closeness is how far logits may differ, relative to their range.
func closeness(l *cacheLayout) float64 {
	for _, s := range l.slots {
		if s.dtype != ort.Float32 && s.dtype != ort.Float64 {
			return 2e-2
		}
	}
	return 1e-4
}

// proofTexts are two texts of the model's vocabulary.
func proofTexts(ctx context.Context, m *Model, oracle *recompute) ([][]int32, error) {
	config, err := m.readConfig()
	if err != nil {
		return nil, err
	}
	if config.Positions > 0 && config.Positions < proofLong+2 {
		return nil, fmt.Errorf("the model's %d positions are too few for a trial", config.Positions)
	}
	vocabulary := config.Vocabulary
	if vocabulary == 0 {
		logits, err := oracle.next(ctx, []text{{ids: []int32{0, 0}, from: -1, source: source(oracle, []int32{0, 0})}})
		if err != nil {
			return nil, err
		}
		vocabulary = int64(len(logits[0]))
	}
	texts := [][]int32{make([]int32, proofShort), make([]int32, proofLong)}
	for i, t := range texts {
		for k := range t {
			t[k] = int32(int64(7919*(i+1)+104729*k) % vocabulary)
		}
	}
	return texts, nil
}

// deviation runs texts by the cache, the last two tokens one by one, and returns
// the largest difference of logits relative to their range.
func deviation(ctx context.Context, c *cached, oracle *recompute, texts [][]int32) (float64, error) {
	worst := 0.0
	for left := 2; left >= 0; left-- {
		turn := make([]text, len(texts))
		whole := make([]text, len(texts))
		for i, ids := range texts {
			from := i
			if left == 2 {
				from = -1
			}
			turn[i] = text{ids: ids[:len(ids)-left], from: from, source: source(oracle, ids)}
			whole[i] = text{ids: turn[i].ids, from: -1, source: turn[i].source}
		}
		got, err := c.next(ctx, turn)
		if err != nil {
			return 0, err
		}
		want, err := oracle.next(ctx, whole)
		if err != nil {
			return 0, err
		}
		for i := range got {
			worst = max(worst, logitDistance(got[i], want[i]))
		}
	}
	return worst, nil
}

// source is what the encoder of an encoder–decoder model reads in a trial.
func source(oracle *recompute, ids []int32) []int32 {
	if !oracle.seq2seq {
		return nil
	}
	return ids
}

// logitDistance is the largest difference over the range of want.
func logitDistance(got, want []float32) float64 {
	if len(got) != len(want) {
		return 1
	}
	span, worst := float64(slices.Max(want)-slices.Min(want)), 0.0
	for i := range got {
		d := float64(got[i] - want[i])
		if d < 0 {
			d = -d
		}
		if !(d <= worst) { // NaN too
			worst = d
		}
	}
	if span == 0 {
		return worst
	}
	return worst / span
}

// WithCache returns the model's graph with a cache of keys and values added
// (onnxgrad/kvcache), after it was tried against the whole computation. The error
// says why there is none, or that the model has one already.
func (m *Model) WithCache(ctx context.Context) (*ir.Graph, error) {
	g, err := m.generation(ctx)
	if err != nil {
		return nil, err
	}
	if g.reason != nil {
		return nil, usage("%s: %w", m.file.Path, g.reason)
	}
	if !g.own || g.first != nil {
		return nil, usage("%s takes and gives keys and values already", m.file.Path)
	}
	return kvcache.Add(m.file.Graph(), m.options.Output)
}
