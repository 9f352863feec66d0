package runtime

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestEveryRecipeIsEstimated: epsilon, sigma, steps and memory of every recipe, by the code that train runs, on a model of
// the right output; without the build tag slow a few. It takes the published number of records, or as many as E2E has.
func TestEveryRecipeIsEstimated(t *testing.T) {
	all, err := recipes()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range all {
		if some := []string{"e2e-lora", "sst2-head", "sst2-infill"}; testing.Short() || !everyRecipe && !slices.Contains(some, name) {
			continue
		}
		model := "gpt2-ts17" // logits [B,T,V], as a masked language model's are
		if r.task.Classifies() && r.options.Mode != ModeInfill {
			model = "bert-ts17"
		}
		n := int64(42061)
		if p := r.about.Published; len(p) > 0 {
			n = p[0]
		}
		o := FinetuneOptions{Recipe: name, Model: filepath.Join(models, model, "model.onnx"), Records: n, TargetEpsilon: 3, Accountant: "rdp", MaxLength: 8, Threads: 1}
		e, err := EstimateRun(t.Context(), o, EstimateOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if e.Epsilon > 3 || !(e.NoiseMultiplier > 0) || e.Coordinates == 0 || e.Memory.Total() == 0 || len(e.Warnings) != 0 || e.Recipe != name || len(e.Batches) < 5 {
			t.Errorf("%s: %+v", name, e)
		}
		if len(r.about.Published) > 0 && e.ExpectedBatch != r.options.ExpectedBatch {
			t.Errorf("%s: batch %g of %d records", name, e.ExpectedBatch, n)
		}
	}
}
