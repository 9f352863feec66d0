package runtime

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// What --keep takes.
const (
	KeepLast = "last"
	KeepBest = "best"
)

// defaultEvaluationNoise is S where --evaluation-noise is not given.
const defaultEvaluationNoise = 10

// privateEvaluations are the noised evaluations of a run on private validation data.
type privateEvaluations struct {
	evaluator *dpadam.Evaluator
	kind      string
	due       []int64    // optimizer steps after which one is still to come
	best      *bestModel // nil before the first
}

// validateEvaluation refuses options that contradict each other.
func (o *FinetuneOptions) validateEvaluation() error {
	switch {
	case o.Keep != "" && o.Keep != KeepLast && o.Keep != KeepBest:
		return usage("--keep %q: there are %s, %s", o.Keep, KeepLast, KeepBest)
	case o.Evaluation != "" && o.Evaluation != dpadam.EvaluateAccuracy && o.Evaluation != dpadam.EvaluateLoss:
		return usage("--evaluation %q: there are %s, %s", o.Evaluation, dpadam.EvaluateAccuracy, dpadam.EvaluateLoss)
	case o.DPEvaluate == 0:
		for flag, given := range map[string]bool{"--evaluation": o.Evaluation != "", "--evaluation-noise": o.EvaluationNoise != 0,
			"--evaluation-clip": o.EvaluationClip != 0, "--valid-records": o.ValidRecords != 0, "--keep best": o.Keep == KeepBest} {
			if given {
				return usage("%s belongs to noised evaluations; give their number by --dp-evaluate", flag)
			}
		}
		return nil
	case o.Valid == "":
		return usage("--dp-evaluate: there is nothing to evaluate; give --valid")
	case o.ValidPublic:
		return usage("--dp-evaluate pays for private data, --valid-public says that --valid is public; give one of the two")
	case o.UnitColumn != "":
		return usage("--dp-evaluate: with --unit-column one user may have several records in --valid, and an evaluation is noised for one; use --valid-public data")
	case o.NoPrivacy:
		return usage("--dp-evaluate: without privacy there is nothing to pay it with; use --valid-public or --debug")
	}
	return nil
}

// evaluationSpec turns the options into what the plan holds; nil without evaluations.
func (f *finetune) evaluationSpec() (*dpadam.EvaluationSpec, error) {
	o := f.options
	if o.DPEvaluate == 0 {
		return nil, nil
	}
	rows := int64(len(f.valid.examples))
	e := &dpadam.EvaluationSpec{Count: o.DPEvaluate, Kind: o.Evaluation, NoiseMultiplier: cmp.Or(o.EvaluationNoise, defaultEvaluationNoise),
		Records: cmp.Or(o.ValidRecords, rows), RecordsDeclared: o.ValidRecords > 0}
	if e.Records < rows {
		return nil, usage("%s has %d rows, more than --valid-records %d", o.Valid, rows, e.Records)
	}
	classes := !f.valid.overTokens()
	switch {
	case e.Kind == dpadam.EvaluateAccuracy && !classes:
		return nil, usage("--evaluation accuracy: task %s has no classes; use loss", o.Task)
	case e.Kind == dpadam.EvaluateLoss || !classes:
		e.Kind, e.Clip = dpadam.EvaluateLoss, cmp.Or(o.EvaluationClip, 5)
	case o.EvaluationClip != 0:
		return nil, usage("--evaluation-clip bounds a loss; an accuracy is bounded by itself")
	default:
		e.Kind = dpadam.EvaluateAccuracy
	}
	return e, nil
}

// warmUpEvaluation runs every evaluation program once on padding, so that what the
// runtime would refuse is found before anything is charged.
func (f *finetune) warmUpEvaluation(ctx context.Context) error {
	if f.options.DPEvaluate == 0 {
		return nil
	}
	done := map[*step]bool{}
	for _, edge := range slices.Backward(f.valid.buckets.Edges()) {
		st, err := f.losses.at(edge)
		if err != nil {
			return err
		}
		if done[st] {
			continue
		}
		done[st] = true
		if _, _, err := f.evaluateRecords(ctx, microbatch{nil, edge, f.evaluationRows()}); err != nil {
			return err
		}
	}
	return nil
}

// evaluationRows is the number of rows of a run that evaluates one record.
func (f *finetune) evaluationRows() int {
	if f.trainer.fixed {
		return f.trainer.size
	}
	return 1
}

// beginEvaluations fixes after which steps the run evaluates: evenly spread over the steps
// it will end with, the last one after the last. A resumed run that lost some keeps the
// later ones.
func (f *finetune) beginEvaluations() (err error) {
	s := f.plan.Spec().Evaluation
	if s == nil {
		return nil
	}
	e := &privateEvaluations{kind: s.Kind}
	if e.evaluator, err = dpadam.NewEvaluator(f.plan, f.options.Hook.At); err != nil {
		return err
	}
	for _, n := range evaluationSteps(s.Count, f.total) {
		if n > f.taken {
			e.due = append(e.due, n)
		}
	}
	if n := int(f.ledger.EvaluationsAffordable()); len(e.due) > n {
		f.options.Progress.Message(fmt.Sprintf("%d of %d remaining evaluations are paid for: the last ones are made", n, len(e.due)))
		e.due = e.due[len(e.due)-n:]
	}
	best, err := f.out.bestModels()
	if err != nil {
		return err
	}
	if len(best) > 0 {
		e.best = &best[len(best)-1]
		if e.best.Plan != f.plan.Hash() {
			return usage("%s belongs to another plan; give the options of that run", e.best.path)
		}
	}
	f.evaluations = e
	return nil
}

// evaluationSteps spreads count evaluations over total steps, the last after the last step.
func evaluationSteps(count, total int64) []int64 {
	var out []int64
	for i := int64(1); i <= count; i++ {
		n := int64(math.Ceil(float64(i) * float64(total) / float64(count)))
		if n = min(n, total); n > 0 && (len(out) == 0 || out[len(out)-1] < n) {
			out = append(out, n)
		}
	}
	return out
}

// evaluatePrivately makes the evaluation that is due after the step just taken: charged
// first, then computed, then noised.
func (f *finetune) evaluatePrivately(ctx context.Context) (done bool, err error) {
	e := f.evaluations
	if e == nil || len(e.due) == 0 || e.due[0] != f.taken {
		return false, nil
	}
	e.due = e.due[1:]
	permit, err := f.ledger.ChargeEvaluation(ctx, f.taken)
	if err != nil {
		return false, err
	}
	sum, err := f.evaluationSum(ctx)
	if err != nil {
		return false, err
	}
	value, err := e.evaluator.Release(ctx, permit, sum)
	if err != nil {
		return false, err
	}
	return true, f.evaluated(int64(permit.Index()), value)
}

// evaluationSum adds up every record's contribution. Each record is run by itself, so that
// its contribution is a function of the record and the weights alone.
func (f *finetune) evaluationSum(ctx context.Context) (*dpadam.EvaluationSum, error) {
	sum, err := dpadam.NewEvaluationSum(f.plan)
	if err != nil {
		return nil, err
	}
	for i := range f.valid.examples {
		loss, correct, err := 0.0, false, error(nil)
		if f.valid.examples[i].Len() > 0 { // a record that was too long contributes nothing
			loss, correct, err = f.evaluateRecords(ctx, microbatch{[]int{i}, f.valid.edge(i), f.evaluationRows()})
		}
		if err != nil {
			return nil, err
		}
		if f.evaluations.kind == dpadam.EvaluateLoss {
			err = sum.AddLoss(loss)
		} else {
			err = sum.AddCorrect(correct)
		}
		if err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// evaluateRecords runs a microbatch of one record, or of padding alone, and returns the
// first row's loss and whether its class was predicted.
func (f *finetune) evaluateRecords(ctx context.Context, m microbatch) (loss float64, correct bool, err error) {
	st, err := f.losses.at(m.edge)
	if err != nil {
		return 0, false, err
	}
	batch, _, err := f.valid.collate(m.records, m.edge, m.rows, st.program.Data)
	if err != nil {
		return 0, false, err
	}
	losses, predictions, err := st.runLosses(ctx, batch, f.trainer.released())
	if err != nil {
		return 0, false, hideData(err)
	}
	if predictions != nil && len(m.records) > 0 {
		correct = predictions[0] == int64(f.valid.examples[m.records[0]].Label)
	}
	return losses[0], correct, nil
}

// evaluated reports a noised value, which may be released, and keeps the weights if they are
// the best so far.
func (f *finetune) evaluated(number int64, v dpadam.Evaluation) error {
	epsilon, err := f.epsilon()
	if err != nil {
		return err
	}
	e := f.evaluations
	m := metric{Step: f.taken, Epsilon: nullable(epsilon), LearningRate: f.plan.LearningRate(f.taken, f.total), NoiseStd: &v.NoiseStd}
	score := v.Value
	if e.kind == dpadam.EvaluateLoss {
		m.NoisedLoss, score = &v.Value, -v.Value
	} else {
		m.NoisedAccuracy = &v.Value
	}
	f.metrics, f.score = append(f.metrics, m), score
	f.options.Progress.Message(fmt.Sprintf("valid after step %d: noised %s %.4f (noise of standard deviation %.2g; paid for)", f.taken, e.kind, v.Value, v.NoiseStd))
	if f.options.Keep != KeepBest || (e.best != nil && score <= e.best.Score) {
		return nil
	}
	b := bestModel{Step: f.taken, Score: score, Evaluation: number, Plan: f.plan.Hash(), Ledger: f.ledger.Head()}
	if err := f.out.writeBest(&b, f.trainer.outcome()); err != nil {
		return err
	}
	e.best = &b
	return nil
}

// takeBest puts the best weights back before the model is written.
func (f *finetune) takeBest() error {
	if f.options.Keep != KeepBest || f.evaluations == nil || f.evaluations.best == nil {
		return nil
	}
	b := f.evaluations.best
	if err := b.load(f.trainer.outcome()); err != nil {
		return err
	}
	f.options.Progress.Message(fmt.Sprintf("the written model has the weights after step %d, which had the best noised evaluation", b.Step))
	f.taken, f.score = b.Step, b.Score
	return f.placeMoved()
}
