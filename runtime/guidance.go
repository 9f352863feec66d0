package runtime

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// What Li et al. 2022 advise for private fine-tuning, as warnings about a plan that goes another way. They stop nothing, and
// depend on nothing that is not public: plan, recipe, model.

// guided is what the advice looks at.
type guided struct {
	spec   dpadam.Spec
	recipe *recipe
	origin batchOrigin
	mode   string
	clips  bool // each gradient to a fixed norm C
	masks  bool // the tokenizer has a mask token

}

// An advice is a condition under which a plan goes against the paper, and the words that say so.
type advice struct {
	against func(g guided) bool
	words   func(g guided) string
}

// The bounds of the advice: C is ten times the paper's, a small batch a quarter of its smallest (RGP and LoRA take 512).
const (
	largeClipNorm = 1.0
	smallBatch    = 128
	largeBatch    = 512
	smallRate     = 0.25 // of the recipe's
)

var advices = []advice{
	{func(g guided) bool {
		return g.origin == batchGiven && g.spec.ExpectedBatch < smallBatch && g.spec.ExpectedBatch < float64(g.spec.Records)/(2*largestShare)
	}, func(g guided) string {
		return fmt.Sprintf("the expected batch of %.6g is small: at fixed epochs and epsilon the noise in a step's gradient, sigma/q, falls as the batch grows; the recipe has %.6g; estimate prints the table",
			g.spec.ExpectedBatch, g.recipe.options.ExpectedBatch)
	}},
	{func(g guided) bool { return g.clips && g.spec.ClipNorm >= largeClipNorm }, func(g guided) string {
		return fmt.Sprintf("the clipping norm of %.6g is large: with a small one (0.1) nearly all gradients are clipped, which does better; a larger one adds noise in proportion and clips few", g.spec.ClipNorm)
	}},
	{func(g guided) bool {
		return g.adaptive() && g.large() && g.spec.Optimizer.LearningRate < smallRate*g.recipe.options.LearningRate
	}, func(g guided) string {
		return fmt.Sprintf("the learning rate of %.3g is small for a batch of %.6g: large batches and large learning rates belong together under privacy, and the rates that are usual without it are too small (the recipe has %.3g)",
			g.spec.Optimizer.LearningRate, g.spec.ExpectedBatch, g.recipe.options.LearningRate)
	}},
	{func(g guided) bool { return g.spec.Optimizer.WeightDecay > 0 }, func(g guided) string {
		return fmt.Sprintf("the weight decay of %.3g: the published runs take none; private fine-tuning is regularised by clipping and noise", g.spec.Optimizer.WeightDecay)
	}},
	{func(g guided) bool { return g.spec.Schedule.Warmup > 0 }, func(g guided) string {
		return fmt.Sprintf("the warm-up of %d steps: the published runs take none; a step with a small learning rate costs as much epsilon as any", g.spec.Schedule.Warmup)
	}},
	{func(g guided) bool { return g.mode == ModeHead && g.masks && hasInfill(g.recipe) }, func(guided) string {
		return "a fresh classification head is trained, but the task has a form as text infilling and the tokenizer a mask: a masked language model under --mode infill has nothing to learn from scratch, and does better under privacy"
	}},
}

// large says whether a batch is, by its size or by its share of the records: the published runs sample a 60th or more.
func (g guided) large() bool {
	return g.spec.ExpectedBatch >= largeBatch || g.spec.SampleRate >= 1.0/60
}

// adaptive says whether the learning rate is that of an Adam.
func (g guided) adaptive() bool { return strings.HasPrefix(g.spec.Optimizer.Name, "adam") }

// guidance lists in words what goes against the paper's advice; nothing for a run without privacy.
func (g guided) guidance() []string {
	if g.spec.NoiseMultiplier == 0 {
		return nil
	}
	var out []string
	for _, a := range advices {
		if a.against(g) {
			out = append(out, "against the paper's guidance: "+a.words(g))
		}
	}
	return out
}

// hasInfill says whether a recipe's task can be trained as text infilling.
func hasInfill(r *recipe) bool {
	_, err := tokenize.InfillTemplateOf(r.task)
	return err == nil
}
