package runtime

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
)

// A search continues one prompt: decode.Sampler or decode.Beam behind one face.
type search interface {
	// texts are those whose logits the next turn needs, with their parents among
	// those of the turn before.
	texts() (ids [][]int32, parents []int)
	// advance takes their logits; the token is that of the text that is certain,
	// nil for a beam search.
	advance(logits [][]float32) (*Token, error)
	done() bool
	results() []decode.Result
}

// A Token is one token of a continuation.
type Token struct {
	ID int32
	// LogProb is the natural logarithm of the probability that the model gave it,
	// before temperature, filters and penalties.
	LogProb float64
	// Top are the GenerateOptions.TopLogProbs likeliest tokens, likeliest first.
	Top []TokenLogProb
	// Finish is why the text ends with this token: "stop" (an end-of-sequence id
	// or a stop string), "length", or "" where it goes on.
	Finish string
}

func newSearch(c decode.Config, prompt []int32) (search, error) {
	if c.Beams > 1 {
		b, err := decode.NewBeam(c, prompt)
		if err != nil {
			return nil, usage("%w", err)
		}
		return beamSearch{b}, nil
	}
	s, err := decode.NewSampler(c, prompt)
	if err != nil {
		return nil, usage("%w", err)
	}
	return &sampling{Sampler: s}, nil
}

type sampling struct {
	*decode.Sampler
	logs  []float64
	begun bool
}

func (s *sampling) texts() ([][]int32, []int) {
	parent := -1
	if s.begun {
		parent = 0
	}
	return [][]int32{s.IDs()}, []int{parent}
}

func (s *sampling) advance(logits [][]float32) (*Token, error) {
	t, err := s.Push(logits[0])
	if err != nil {
		return nil, settingError(err)
	}
	s.begun, s.logs = true, append(s.logs, t.LogProb)
	return &Token{ID: t.ID, LogProb: t.LogProb, Top: t.Top, Finish: s.Finish()}, nil
}

func (s *sampling) done() bool { return s.Finish() != "" }

func (s *sampling) results() []decode.Result {
	sum := 0.0
	for _, l := range s.logs {
		sum += l
	}
	return []decode.Result{{New: s.New(), LogProbs: s.logs, Score: sum, Finish: s.Finish()}}
}

type beamSearch struct{ *decode.Beam }

func (b beamSearch) texts() ([][]int32, []int) { return b.Texts(), b.Parents() }

func (b beamSearch) advance(logits [][]float32) (*Token, error) {
	return nil, settingError(b.Advance(logits))
}

func (b beamSearch) done() bool { return b.Done() }

func (b beamSearch) results() []decode.Result { return b.Results() }

// settingError marks an error about settings, found when the vocabulary is
// known, as the caller's.
func settingError(err error) error {
	if errors.Is(err, decode.ErrConfig) {
		return usage("%w", err)
	}
	return err
}

// A task is one search in a batch.
type task struct {
	search search
	source []int32
	beams  int
	tokens int // most that its texts hold, sources too
	first  int // row of its first text in the turn before
	begun  bool
}

// A batch runs searches together: each turn every text of every search goes one
// token further. Tasks join and leave between turns.
type batch struct {
	step  stepper
	tasks []*task
}

// rows is how many texts the next turn has.
func (b *batch) rows() (n int) {
	for _, t := range b.tasks {
		ids, _ := t.search.texts()
		n += len(ids)
	}
	return n
}

// turn makes one turn and calls report for each task, in order. A task whose
// report asks for it, or that is done, leaves. An error of the model ends the
// batch; an error of one task is passed to its report.
func (b *batch) turn(ctx context.Context, report func(*task, *Token, error) (leave bool)) error {
	var texts []text
	firsts := make([]int, len(b.tasks))
	for i, t := range b.tasks {
		firsts[i] = len(texts)
		ids, parents := t.search.texts()
		for k := range ids {
			row := text{ids: ids[k], from: -1, source: t.source}
			if t.begun && parents[k] >= 0 {
				row.from = t.first + parents[k]
			}
			texts = append(texts, row)
		}
	}
	logits, err := b.step.next(ctx, texts)
	if err != nil {
		return err
	}
	chosen := choose(b.tasks, logits, firsts)
	i := -1
	b.tasks = slices.DeleteFunc(slices.Clone(b.tasks), func(t *task) bool {
		i++
		return report(t, chosen[i].token, chosen[i].err) || chosen[i].err != nil || t.search.done()
	})
	return nil
}

// A choice is what one task made of its logits.
type choice struct {
	token *Token
	err   error
}

// choose lets every task choose, side by side: over a large vocabulary that is
// much of a turn. firsts are the tasks' first rows.
func choose(tasks []*task, logits [][]float32, firsts []int) []choice {
	out := make([]choice, len(tasks))
	if len(tasks) == 0 {
		return out
	}
	ends := append(slices.Clone(firsts[1:]), len(logits))
	var wait sync.WaitGroup
	for i, t := range tasks {
		wait.Go(func() {
			out[i].token, out[i].err = t.search.advance(logits[firsts[i]:ends[i]])
			t.first, t.begun = firsts[i], true
		})
	}
	wait.Wait()
	return out
}
