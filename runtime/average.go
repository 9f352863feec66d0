package runtime

import "github.com/ghostwriter-dp/ghostwriter/dpadam"

// startAverage begins the average of the weights at those of the given model, where the plan has one.
func (t *trainer) startAverage() (err error) {
	if t.plan.Spec().AverageDecay == 0 {
		return nil
	}
	t.averaged = t.weights.Trained.Like()
	copy(t.averaged.Data(), t.weights.Trained.Data())
	t.average, err = dpadam.NewAverage(t.plan, t.averaged.Data())
	return err
}

// released are the weights that are scored and written: the last, or their average over the steps.
func (t *trainer) released() *Weights {
	if t.averaged == nil {
		return t.weights
	}
	return &Weights{Trained: t.averaged, Frozen: t.weights.Frozen}
}
