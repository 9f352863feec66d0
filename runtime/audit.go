package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit"
)

// AuditOptions say what training run to audit, and how.
type AuditOptions struct {
	// Train is the run. Its data set gets the canaries that are in, and N all canaries: whether
	// one is in is secret, how many there might be is not. Out may be empty: the run is then
	// removed after it has been audited.
	Train FinetuneOptions
	// WhiteBox plants gradients instead of records, and looks at what every step releases
	// instead of at the written model: the attacker that the guarantee is about.
	WhiteBox bool
	Canaries int
	// Claim is an epsilon to audit instead of the one that the run states.
	Claim float64
	audit.Options
}

// An AuditResult is what an audit of a training run found. It is debug output: a function of
// which canaries were in, and covered by no epsilon.
type AuditResult struct {
	*audit.Result
	WhiteBox *audit.WhiteBoxResult // with what the steps showed; nil for canaries that are records
	Run      *FinetuneResult
}

// Audit runs Finetune on the data set with canaries, and guesses which were in: from the loss of
// each canary before and after (Carlini et al. 2019; Steinke et al. 2023, section 7), or with
// WhiteBox from the noised sums. An audit that could not refute the claim whatever came out is
// refused before anything is trained.
func Audit(ctx context.Context, o AuditOptions) (_ *AuditResult, err error) {
	a := &auditRun{o: o, train: o.Train}
	if err := a.place(); err != nil {
		return nil, err
	}
	if a.temporary != "" {
		defer func() { err = errors.Join(err, os.RemoveAll(a.temporary)) }()
	}
	for _, stage := range []func(context.Context) error{a.plan, a.plant, a.run} {
		if err := stage(ctx); err != nil {
			return nil, err
		}
	}
	return a.result()
}

// An auditRun is one audit, stage by stage.
type auditRun struct {
	o         AuditOptions
	train     FinetuneOptions
	temporary string

	reader *reader
	claim  audit.Claim
	spec   dpadam.Spec

	trace *audit.Trace
	ran   *FinetuneResult
}

// place checks the options and finds a place for the run.
func (a *auditRun) place() (err error) {
	t := &a.train
	switch {
	case a.o.Canaries < 1:
		return usage("--canaries %d must be at least 1", a.o.Canaries)
	case t.Resume:
		return usage("an audit can't be resumed: which canaries were in is not written anywhere")
	case a.o.Claim < 0 || math.IsNaN(a.o.Claim) || math.IsInf(a.o.Claim, 0):
		return usage("the claim %g must be a finite number", a.o.Claim)
	case t.NoPrivacy && a.o.Claim == 0:
		return usage("--no-privacy claims nothing that could be refuted; say with --target-epsilon which claim to hold against it")
	case t.Relation != "" && t.Relation != string(dpadam.AddRemove):
		return usage("--relation %s: canaries are in or out, which is add-remove; leave it out", t.Relation)
	case t.DPEvaluate > 0:
		return usage("--dp-evaluate: an audit looks at training alone; leave it out")
	}
	if t.Out == "" {
		if a.temporary, err = os.MkdirTemp("", "ghostwriter-audit-*"); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		t.Out = filepath.Join(a.temporary, "run")
	}
	return t.validate()
}

// plan makes N count the canaries, and finds out what the run will claim.
func (a *auditRun) plan(ctx context.Context) (err error) {
	t := &a.train
	m, err := Open(t.Model, Options{Library: t.Library, Threads: t.Threads, Device: t.Device, Output: t.Output, Head: t.Head})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if a.reader, err = newReader(m, t); err != nil {
		return err
	}
	data, err := a.reader.read(ctx, t.Train, "train", t.UnitColumn)
	if err != nil {
		return err
	}
	n := t.Records
	if n == 0 {
		n = int64(data.size())
	}
	if int64(data.size()) > n {
		return usage("%s has %d %s, more than --records %d", t.Train, data.size(), data.noun(), n)
	}
	t.Records = n + int64(a.o.Canaries)
	claimed := *t // how gradients are clipped does not change what is claimed, nor does the model's size
	claimed.ClipPer, claimed.ClipShares, claimed.ClipQuantile = "", "", 0
	p, err := claimed.plan(ctx, planFacts{rows: t.Records, dim: 1, microbatch: 1, buckets: len(data.buckets.Edges())})
	if err != nil {
		return err
	}
	a.spec = p.Spec()
	a.claim = audit.Claim{Epsilon: a.o.Claim, Delta: a.spec.Delta}
	if a.claim.Epsilon == 0 {
		r, err := p.Epsilon(dpadam.Charges{Steps: p.Steps()})
		if err != nil {
			return err
		}
		a.claim.Epsilon = r.Epsilon
	}
	options := a.o.Options
	options.Gaussian = a.o.WhiteBox && a.spec.SampleRate == 1
	_, err = options.Size(a.o.Canaries, a.claim)
	return err
}

// plant tosses the coins and adds the canaries that are in.
func (a *auditRun) plant(ctx context.Context) error {
	in, err := audit.Coins(a.o.Canaries, a.train.Seed)
	if err != nil {
		return err
	}
	a.trace = &audit.Trace{Scores: audit.Scores{In: in}}
	if a.o.WhiteBox {
		a.train.planted = &plantedGradients{in: in, rows: audit.Included(in)}
		return nil
	}
	a.train.canaries, err = a.reader.newCanaries(ctx, a.o.Canaries, a.train.Seed)
	return err
}

// run trains and scores.
func (a *auditRun) run(ctx context.Context) (err error) {
	t := a.train
	all := t.canaries
	var before []float64
	if !a.o.WhiteBox {
		if before, err = recordLosses(ctx, t.Model, &t, all); err != nil {
			return err
		}
		t.canaries = nil
		for _, i := range audit.Included(a.trace.Scores.In) {
			t.canaries = append(t.canaries, all[i])
		}
	}
	if a.ran, err = Finetune(ctx, t); err != nil {
		return err
	}
	if a.o.WhiteBox {
		a.trace = t.planted.trace()
		return nil
	}
	after, err := recordLosses(ctx, t.Out, &t, all)
	if err != nil {
		return err
	}
	for i := range all {
		a.trace.Scores.Score = append(a.trace.Scores.Score, before[i]-after[i])
	}
	return nil
}

// result evaluates the scores against what the run stated, or against the claim that was given.
func (a *auditRun) result() (*AuditResult, error) {
	out := &AuditResult{Run: a.ran}
	if a.o.Claim == 0 {
		a.claim = audit.Claim{Epsilon: a.ran.Epsilon, Delta: a.ran.Delta}
	}
	var err error
	if !a.o.WhiteBox {
		out.Result, err = audit.Evaluate(a.trace.Scores, a.claim, a.o.Options)
		return out, err
	}
	if out.WhiteBox, err = a.trace.Evaluate(a.claim, a.o.Options, a.spec); err != nil {
		return nil, err
	}
	out.Result = out.WhiteBox.Result
	return out, nil
}
