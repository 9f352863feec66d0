package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A stepSet holds the programs of a training run: one for each padding length,
// because the cheapest form of a norm depends on it. Lengths whose programs are
// the same share one, and its session.
type stepSet struct {
	env      *ort.Env
	prepared *ghost.Prepared
	spec     ghost.Spec
	place    workplace

	byLength map[int]*plannedStep
	byHash   map[[32]byte]*plannedStep
}

// A plannedStep is a program, with its session once it is needed.
type plannedStep struct {
	program *ghost.Program
	longest int    // padding length
	model   []byte // until it has a session
	step    *step
}

func newStepSet(env *ort.Env, p *ghost.Prepared, spec ghost.Spec, at workplace) *stepSet {
	return &stepSet{env: env, prepared: p, spec: spec, place: at, byLength: map[int]*plannedStep{}, byHash: map[[32]byte]*plannedStep{}}
}

// plan returns the program for a padding length.
func (s *stepSet) plan(length int) (*plannedStep, error) {
	if st, ok := s.byLength[length]; ok {
		return st, nil
	}
	spec := s.spec
	spec.Length = int64(length)
	program, err := s.prepared.Compile(spec)
	if err != nil {
		return nil, usageUnless(err)
	}
	data, err := program.Graph.Marshal()
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(data)
	st, ok := s.byHash[hash]
	if !ok {
		st = &plannedStep{program: program, model: data}
		s.byHash[hash] = st
	}
	st.longest = max(st.longest, length)
	s.byLength[length] = st
	return st, nil
}

// planAll plans for increasing padding lengths, and compiles few of them. Every
// choice between two forms by their cost turns at most once as the length grows:
// where two lengths have one program, all between them have it too.
func (s *stepSet) planAll(ctx context.Context, lengths []int) error {
	if len(lengths) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	last := len(lengths) - 1
	first, err := s.plan(lengths[0])
	if err != nil {
		return err
	}
	longest, err := s.plan(lengths[last])
	if err != nil || last < 2 {
		return err
	}
	if first == longest {
		for _, length := range lengths[1:last] {
			s.byLength[length] = longest
		}
		return nil
	}
	if err := s.planAll(ctx, lengths[:last/2+1]); err != nil {
		return err
	}
	return s.planAll(ctx, lengths[last/2:])
}

// planFor plans for runs of that many records. Programs that compute logits in other
// chunks then are built anew.
func (s *stepSet) planFor(ctx context.Context, records int) error {
	old, now := s.spec, s.spec
	now.Records = int64(records)
	s.spec = now
	lengths := slices.Sorted(maps.Keys(s.byLength))
	same := !slices.ContainsFunc(lengths, func(length int) bool {
		old.Length, now.Length = int64(length), int64(length)
		return !equal(s.prepared.PlannedChunks(old), s.prepared.PlannedChunks(now))
	})
	if same {
		return nil
	}
	if err := s.Close(); err != nil {
		return err
	}
	clear(s.byLength)
	clear(s.byHash)
	return s.planAll(ctx, lengths)
}

func equal(a, b *ghost.HeadChunks) bool { return a == b || a != nil && b != nil && *a == *b }

// at returns the step for a padding length, ready to run.
func (s *stepSet) at(length int) (*step, error) {
	st, err := s.plan(length)
	if err != nil {
		return nil, err
	}
	if st.step == nil {
		if st.step, err = openStep(s.env, st.program, st.model, s.place, ""); err != nil {
			return nil, err
		}
		st.model = nil
	}
	return st.step, nil
}

// open opens the sessions of all programs, the one of the longest records first, and
// learns what the runtime made of them.
func (s *stepSet) open(ctx context.Context) error {
	all := slices.SortedFunc(maps.Values(s.byHash), func(a, b *plannedStep) int { return cmp.Compare(b.longest, a.longest) })
	for _, st := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if st.step != nil {
			continue
		}
		var err error
		if st.step, err = openSeen(s.env, st.program, st.model, s.place); err != nil {
			return err
		}
		st.model = nil
	}
	return nil
}

// peak predicts the memory of the values of a run of that many records.
func (st *plannedStep) peak(records, length int) ghost.Peak {
	return peakOf(st.program, st.step, int64(records), int64(length))
}

// seen reports that the predictions rest on what the runtime runs.
func (s *stepSet) seen() bool {
	for _, st := range s.byHash {
		if st.step == nil || st.step.loaded == nil {
			return false
		}
	}
	return true
}

// forget drops the graphs that predictions were made by.
func (s *stepSet) forget() {
	for _, st := range s.byHash {
		if st.step != nil {
			st.step.loaded = nil
		}
	}
}

// peakBytes predicts the memory of the values of a run of that many records: the
// most over the programs, since their sessions share it and run in turn. Where they
// don't, each keeps what it once took.
func (s *stepSet) peakBytes(records int) int64 {
	var sum, most int64
	for _, st := range s.byHash {
		peak := st.peak(records, st.longest).Bytes
		sum, most = sum+peak, max(most, peak)
	}
	if s.shares() {
		return most
	}
	return sum
}

// shares reports that sessions take their values from one pool.
func (s *stepSet) shares() bool { return s.env.Pooled() && s.place.device.IsCPU() }

// sessionBytes guesses what the sessions that are not open yet will hold of main
// memory beside their values.
func (s *stepSet) sessionBytes() (n int64) {
	for _, st := range s.byHash {
		n += sessionBytes(len(st.model))
	}
	return n
}

// Close frees all sessions.
func (s *stepSet) Close() error {
	var errs []error
	for _, st := range s.byHash {
		if st.step != nil {
			errs = append(errs, st.step.Close())
		}
	}
	return errors.Join(errs...)
}

// A microbatch is a set of records of one padding length, as a run takes them.
type microbatch struct {
	records []int
	edge    int
	rows    int // of the run, at least the number of records
}

// pack sorts a sample into microbatches of at most size records, one padding
// length each, longest first so that the runtime's memory grows once. A
// part-filled one has as many rows as records, or size if that is fixed.
func (d *dataset) pack(sample []int, size int, fixed bool) []microbatch {
	byEdge := map[int][]int{}
	for _, i := range sample {
		byEdge[d.edge(i)] = append(byEdge[d.edge(i)], i)
	}
	var out []microbatch
	edges := d.buckets.Edges()
	for k := len(edges) - 1; k >= 0; k-- {
		out = append(out, packLength(byEdge[edges[k]], edges[k], size, fixed)...)
	}
	return out
}

// packLength cuts records into microbatches of one padding length.
func packLength(list []int, edge, size int, fixed bool) (out []microbatch) {
	for part := range slices.Chunk(list, size) {
		rows := len(part)
		if fixed {
			rows = size
		}
		out = append(out, microbatch{part, edge, rows})
	}
	return out
}

// largestMicrobatch bounds the records of one run: beyond it the matrices are
// large enough for the processor, and padding a part-filled run costs more.
const largestMicrobatch = 32

// chooseMicrobatch returns the number of records per run: the largest power of
// two whose estimated peak, by peak, stays within the limit.
func chooseMicrobatch(peak func(records int) (int64, error), limit int64) (int, error) {
	need := int64(0)
	for n := largestMicrobatch; n >= 1; n /= 2 {
		var err error
		if need, err = peak(n); err != nil || need <= limit {
			return n, err
		}
	}
	return 0, noRoom("a run of one record needs about %d MB, %d MB are allowed; shorten --max-length, use --memory low or raise --max-memory", need>>20+1, limit>>20)
}

// fixedBatch is the batch size of a model that was exported with one; 0 for a
// dynamic one.
func fixedBatch(inputs []*ir.ValueInfo) int {
	for _, in := range inputs {
		if len(in.Dims) > 0 && in.Dims[0].Param == "batch" {
			return 0
		}
	}
	for _, in := range inputs {
		if len(in.Dims) > 0 && in.Dims[0].Value > 0 {
			return int(in.Dims[0].Value)
		}
	}
	return 0
}

// boolTensor and floatTensor wrap small vectors.
func boolTensor(v []bool) (*ort.Tensor, error) { return ort.NewTensor([]int64{int64(len(v))}, v) }

func floatTensor(v []float32) (*ort.Tensor, error) { return ort.NewTensor([]int64{int64(len(v))}, v) }

// runLosses runs an evaluation program and returns loss and, for classes,
// predictions.
func (st *step) runLosses(ctx context.Context, b *Batch, w *Weights) (loss []float64, prediction []int64, err error) {
	feeds, _, err := st.feeds(b)
	if err != nil {
		return nil, nil, err
	}
	out, err := st.run(ctx, feeds, w, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluation: %w", err)
	}
	if loss, err = floats(out[st.program.Loss]); err != nil {
		return nil, nil, err
	}
	if st.program.Prediction != "" {
		prediction, err = ort.Data[int64](out[st.program.Prediction])
	}
	return loss, prediction, err
}
