package runtime

import (
	"math"
	"reflect"
	"slices"
	"strings"
)

// What a run takes from a recipe: with --recipe everything that was not given, before anything is read; by the task alone
// the few things without which there is no plan. The expected batch, the epochs, the learning rate and the schedule are
// settled once N is known.

// settledLater are the options that a recipe gives only once N, or the model, is known.
var settledLater = []string{"expected-batch", "epochs", "lr", "schedule", "max-length"}

// recipe is that of --recipe, or else of --task.
func (o *FinetuneOptions) recipe() (*recipe, error) {
	if o.Recipe == "" {
		all, err := recipes()
		if err != nil {
			return nil, err
		}
		if r, ok := all[o.Task]; ok && r.options.Task == o.Task {
			return r, nil
		}
		return nil, usage("unknown task %q; there are %s", o.Task, strings.Join(Tasks(), ", "))
	}
	r, err := recipeNamed(o.Recipe)
	if err == nil && o.Task != "" && o.Task != r.options.Task {
		err = usage("--recipe %s is for task %s, not for --task %s", o.Recipe, r.options.Task, o.Task)
	}
	return r, err
}

// takeRecipe fills in from --recipe what was not given. A run to resume has it already.
func (o *FinetuneOptions) takeRecipe() error {
	if o.Recipe == "" || o.Resume {
		return nil
	}
	r, err := o.recipe()
	if err != nil {
		return err
	}
	from, to := reflect.ValueOf(&r.options).Elem(), reflect.ValueOf(o).Elem()
	for i := range to.NumField() {
		name := optionName(to.Type().Field(i))
		if name == "" || slices.Contains(settledLater, name) || o.given[name] || !to.Field(i).IsZero() {
			continue
		}
		if name == "clip-norm" && o.NoPrivacy {
			continue // without privacy a clipping norm that is not asked for would change what is trained
		}
		to.Field(i).Set(from.Field(i))
	}
	return nil
}

// optionName is the name of an option, "" for a field that is none.
func optionName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

// settle gives the options that are settled once the rows (units of privacy) and the trained numbers are known, and says
// where the expected batch comes from.
func (o FinetuneOptions) settle(rows, dim int64) (FinetuneOptions, batchOrigin, error) {
	r, err := o.recipe()
	if err != nil {
		return o, "", err
	}
	if o.Epochs == 0 && o.Steps == 0 {
		o.Epochs = r.options.Epochs
	}
	if o.LearningRate == 0 {
		o.LearningRate = o.rate(r, dim)
	}
	if o.Schedule == "" {
		o.Schedule = r.options.Schedule
	}
	if o.ExpectedBatch > 0 || o.SampleRate > 0 {
		return o, batchGiven, nil
	}
	n := o.Records
	if n == 0 {
		n = rows
	}
	choice := o.batchRule(r, n)
	o.ExpectedBatch, err = choice.batch()
	return o, choice.origin, err
}

// rate is the learning rate where none is given: without privacy the recipe's for that, unless gradients are clipped,
// which is the private algorithm without its noise.
func (o *FinetuneOptions) rate(r *recipe, dim int64) float64 {
	switch {
	case o.NoPrivacy && o.ClipNorm == 0:
		return r.about.RateOpen
	case dim > largeModel && r.about.RateLarge > 0:
		return min(r.options.LearningRate, r.about.RateLarge)
	}
	return r.options.LearningRate
}

// batchOrigin says where an expected batch comes from.
type batchOrigin string

const (
	batchGiven     batchOrigin = "given"
	batchPublished batchOrigin = "published"
	batchByRule    batchOrigin = "rule"
	batchBounded   batchOrigin = "recipe" // the recipe's, at most an eighth of the records
)

// atMostAnEighth is the recipe's batch, bounded by the records.
func (r *recipe) atMostAnEighth(n int64) float64 {
	return min(r.options.ExpectedBatch, math.Ceil(float64(n)/8))
}
