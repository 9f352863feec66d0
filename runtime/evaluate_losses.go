package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// evaluationMemory is what the values of one forward pass of an evaluation may take, where nothing says how many records it
// has.
const evaluationMemory = 2 << 30

// classes evaluates a classifier, for MNLI on both files.
func (e *evaluation) classes(ctx context.Context, records []tokenize.Record) (err error) {
	o := e.options
	if e.result.ClassScores, err = e.classFile(ctx, o.Data, records); err != nil || o.Mismatched == "" {
		return err
	}
	if records, err = e.read(ctx, o.Mismatched); err != nil {
		return err
	}
	e.result.Records += len(records)
	e.result.Mismatched, err = e.classFile(ctx, o.Mismatched, records)
	return err
}

func (e *evaluation) classFile(ctx context.Context, path string, records []tokenize.Record) (*ClassScores, error) {
	var predictions, labels []int
	sum := 0.0
	classes := max(e.reader.classes, len(e.reader.recipe.task.Labels()))
	d, err := e.each(ctx, path, records, func(x *tokenize.Example, loss float64, prediction int64) {
		predictions, labels = append(predictions, int(prediction)), append(labels, int(x.Label))
		sum += loss
	})
	if err != nil {
		return nil, err
	}
	if len(labels) == 0 {
		return nil, usage("%s: no record can be scored: %s", path, dropReason(d))
	}
	c, err := metrics.NewConfusion(predictions, labels, classes)
	if err != nil {
		return nil, err
	}
	s := &ClassScores{Accuracy: c.Accuracy(), MacroF1: c.MacroF1(), Matthews: c.Matthews(), Loss: sum / float64(c.Total), Rows: c.Total}
	if classes == 2 {
		f1 := c.F1(1)
		s.F1 = &f1
	}
	return s, nil
}

// perplexity evaluates a language model on the tokens that its task scores.
func (e *evaluation) perplexity(ctx context.Context, records []tokenize.Record) error {
	var l metrics.Likelihood
	d, err := e.each(ctx, e.options.Data, records, func(x *tokenize.Example, loss float64, _ int64) {
		l.Add(loss*float64(x.Scored()), x.Scored())
	})
	if err != nil {
		return err
	}
	if l.Tokens == 0 {
		return usage("%s: no record can be scored: %s", e.options.Data, dropReason(d))
	}
	mean, perplexity := l.NLL/float64(l.Tokens), l.Perplexity()
	e.result.Loss, e.result.Perplexity, e.result.Tokens = &mean, &perplexity, l.Tokens
	return nil
}

// dropReason says why records of a data set are dropped.
func dropReason(d *dataset) string {
	for reason, n := range tokenize.DropCounts(d.examples) {
		if n > 0 {
			return fmt.Sprintf("%s (raise --max-length)", reason)
		}
	}
	return "there is nothing to score"
}

// each computes the loss of every record, and its class where there are some, by the graph that training evaluates with,
// and calls take for those that are kept, in any order.
func (e *evaluation) each(ctx context.Context, path string, records []tokenize.Record, take func(x *tokenize.Example, loss float64, prediction int64)) (_ *dataset, err error) {
	d, err := e.reader.dataset(ctx, path, records, "")
	if err != nil {
		return nil, err
	}
	place, err := e.model.workplace()
	if err != nil {
		return nil, err
	}
	set := newStepSet(e.env, e.prepared, ghost.Spec{Loss: d.loss, Pass: ghost.Losses}, place)
	defer func() { err = errors.Join(err, set.Close()) }()
	var lengths []int
	kept := d.kept()
	e.result.Dropped += len(d.examples) - len(kept)
	for _, edge := range d.buckets.Edges() {
		for _, i := range kept {
			if d.edge(i) == edge {
				lengths = append(lengths, edge)
				break
			}
		}
	}
	if err := set.planAll(ctx, lengths); err != nil {
		return nil, err
	}
	return d, e.losses(ctx, set, d, kept, take)
}

// losses runs the records of a data set in batches.
func (e *evaluation) losses(ctx context.Context, set *stepSet, d *dataset, kept []int, take func(x *tokenize.Example, loss float64, prediction int64)) error {
	size, fixed, err := e.batchSize(set)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		return nil
	}
	st, err := set.at(d.edge(kept[0])) // any: all programs read the same parameters
	if err != nil {
		return err
	}
	weights, err := loadWeights(e.prepared, st.program.Trained, append(st.program.Unreached, st.program.Frozen...))
	if err != nil {
		return err
	}
	done := 0
	return set.forward(ctx, d, kept, weights, size, fixed, func(records []int, loss []float64, prediction []int64) error {
		for row, i := range records {
			if math.IsNaN(loss[row]) || math.IsInf(loss[row], 0) {
				return fmt.Errorf("the loss of row %d is not finite: the model's weights may be damaged, or its training diverged", d.examples[i].Row)
			}
			class := int64(-1)
			if prediction != nil {
				class = prediction[row]
			}
			take(&d.examples[i], loss[row], class)
		}
		done += len(records)
		e.progress("records", done, len(kept))
		return nil
	})
}

// batchSize is the number of records of one forward pass, and whether the export fixed it.
func (e *evaluation) batchSize(set *stepSet) (size int, fixed bool, err error) {
	n, asked := fixedBatch(e.prepared.Inputs()), e.options.Batch
	switch {
	case n > 0 && asked > 0 && n != asked:
		return 0, false, usage("--batch %d: the model was exported with a batch of %d", asked, n)
	case n > 0:
		return n, true, nil
	case asked > 0:
		return asked, false, nil
	}
	size = largestMicrobatch
	for size > 1 && set.peakBytes(size) > evaluationMemory {
		size /= 2
	}
	return size, false, nil
}
