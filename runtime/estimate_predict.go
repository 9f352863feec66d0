package runtime

import (
	"context"
	"fmt"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// machineRates are what the runtime reaches on this machine.
type machineRates struct {
	operations float64 // multiplications and additions of a product, a second
	bytes      float64 // read and written by an addition, a second
}

// seconds is what so much work takes.
func (r machineRates) seconds(w ghost.Work) float64 {
	return w.Operations/r.operations + w.Bytes/r.bytes
}

// TimePrediction is how far predicted times of microbatches were from those that runs
// took, for a reader of an estimate; docs/estimate.md.
const TimePrediction = "off by 1 % over six runs of GPT-2 small and of RoBERTa-base, a single run on a busy machine by up to 44 %"

// rateTime is how long each rate is measured.
const rateTime = 200 * time.Millisecond

// measureRates times a product of middling matrices and an addition of vectors that
// lie in main memory, each for a fraction of a second.
func measureRates(ctx context.Context, env *ort.Env, at workplace) (r machineRates, err error) {
	const rows, inner, columns = 512, 768, 768
	product, err := repeated(ctx, env, at, matMulGraph(), multiplication{rows, inner, columns, 1})
	if err != nil {
		return r, err
	}
	const height, width = 2048, 2048
	addition, err := repeated(ctx, env, at, additionGraph(), multiplication{height, width, width, 1})
	if err != nil {
		return r, err
	}
	return machineRates{2 * rows * inner * columns / product, 3 * 4 * height * width / addition}, nil
}

// additionGraph adds two matrices of any extents.
func additionGraph() *ir.Graph {
	g := matMulGraph()
	g.Inputs[1].Dims = g.Inputs[0].Dims
	g.Outputs[0].Dims = g.Inputs[0].Dims
	g.Nodes[0].Op = "Add"
	return g
}

// repeated is the seconds of one run of a graph of two matrices, on average over
// rateTime.
func repeated(ctx context.Context, env *ort.Env, at workplace, g *ir.Graph, m multiplication) (seconds float64, err error) {
	data, err := g.Marshal()
	if err != nil {
		return 0, err
	}
	s, err := env.NewSession(data, at.options("rate"))
	if err != nil {
		return 0, fmt.Errorf("measuring the machine: %w", err)
	}
	defer s.Close()
	feeds, fetch, err := newScratch([]multiplication{m}).of(m)
	if err != nil {
		return 0, err
	}
	run := func() error {
		_, err := s.Run(ctx, feeds, fetch)
		return err
	}
	if err := run(); err != nil { // takes its memory, and wakes the threads
		return 0, err
	}
	runs, begin := 0, time.Now()
	for time.Since(begin) < rateTime {
		if err := run(); err != nil {
			return 0, err
		}
		runs++
	}
	return time.Since(begin).Seconds() / float64(runs), nil
}

// predict says what a run takes by the work of its programs and the machine's rates,
// where nothing of the run itself is measured.
func (f *finetune) predict(ctx context.Context, e *Estimate) error {
	rates, err := measureRates(ctx, f.env, f.place)
	if err != nil {
		return err
	}
	for i := range e.Lengths {
		l := &e.Lengths[i]
		for _, s := range f.trainer.sets() {
			st, err := s.plan(l.Tokens)
			if err != nil {
				return err
			}
			l.Seconds += rates.seconds(st.program.Work(int64(f.trainer.size), int64(l.Tokens)))
		}
		if f.trainer.fixed {
			l.fixed = l.Seconds
		}
	}
	return f.sumUp(ctx, e, true)
}
