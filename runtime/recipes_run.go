package runtime

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// settleOptions replaces the options of a run by the settled ones, which are then what its configuration file says.
func (f *finetune) settleOptions(facts planFacts) error {
	settled, origin, err := f.options.settle(facts.rows, facts.dim)
	if err != nil {
		return err
	}
	*f.options, f.origin = settled, origin
	return nil
}

// batchReason says where the expected batch comes from.
func (f *finetune) batchReason(r *recipe) string {
	switch f.origin {
	case batchPublished:
		return fmt.Sprintf("as published for %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(r.about.Published), " ", " or "), "[]")) + " records"
	case batchByRule:
		return fmt.Sprintf("by rule: doubled at fixed epochs as long as that divides sigma/q by %g, within %d to %g updates and an eighth of the records",
			worthDoubling, fewestUpdates, f.options.batchRule(r, f.plan.Spec().Records).most)
	case batchBounded:
		return "the recipe's, at most an eighth of the records"
	}
	return "as given"
}

// guided is what the guidance looks at.
func (f *finetune) guided() (guided, error) {
	r, err := f.options.recipe()
	if err != nil {
		return guided{}, err
	}
	o := f.options
	g := guided{spec: f.plan.Spec(), recipe: r, origin: f.origin, mode: f.mode, clips: o.clipRule() == ghost.Abadi && o.ClipQuantile == 0}
	switch {
	case g.mode != ModeHead:
	case f.reader != nil:
		g.masks = f.reader.tokenizer.Specials().MASK >= 0
	default: // an estimate without data needs no tokenizer, and says nothing where there is none
		t, err := tokenize.Load(cmp.Or(o.Tokenizer, f.model.Dir()))
		g.masks = err == nil && t.Specials().MASK >= 0
	}
	return g, nil
}

// announceRecipe tells the watcher where the hyperparameters come from, and what goes against the paper's guidance.
func (f *finetune) announceRecipe() {
	g, err := f.guided()
	if err != nil || f.options.Resume {
		return
	}
	if f.origin != batchGiven {
		f.options.Progress.Message(fmt.Sprintf("recipe %s; expected batch %.6g: %s", g.recipe.name, g.spec.ExpectedBatch, f.batchReason(g.recipe)))
	}
	for _, w := range g.guidance() {
		f.options.Progress.Message(w)
	}
}

// advise adds recipe, batches and guidance to an estimate.
func (f *finetune) advise(out *Estimate) error {
	g, err := f.guided()
	if err != nil {
		return err
	}
	out.Recipe, out.BatchReason, out.Warnings = g.recipe.name, f.batchReason(g.recipe), g.guidance()
	if f.options.TargetEpsilon == 0 || f.options.Epochs == 0 {
		return nil
	}
	out.Batches, err = f.options.batchRule(g.recipe, g.spec.Records).table(g.spec.ExpectedBatch)
	return err
}
