package dpadam

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The average by the formula in float64, with the warm-up of the decay, and beyond it.
func TestAverage(t *testing.T) {
	const d = 3*updateStretch/2 + 5
	for _, decay := range []float64{0.5, 0.99} {
		p := mustPlan(t, Config{Records: 100, ExpectedBatch: 10, Steps: 9, NoPrivacy: true, Dim: d, Optimizer: SGD(1, 0), AverageDecay: decay})
		rng := rand.New(rand.NewPCG(1, 1))
		w := make([]float32, d)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		values := slices.Clone(w)
		a, err := NewAverage(p, values)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, d)
		for i, x := range w {
			want[i] = float64(x)
		}
		for step := 1; step <= 40; step++ {
			if step == 20 { // a checkpoint's state goes on in another average
				values = slices.Clone(values)
				if a, err = NewAverage(p, values); err != nil {
					t.Fatal(err)
				}
				if err := a.SetStep(19); err != nil {
					t.Fatal(err)
				}
			}
			k := min(decay, (1+float64(step))/(10+float64(step)))
			for i := range w {
				w[i] += float32(rng.NormFloat64())
				want[i] = k*want[i] + (1-k)*float64(w[i])
			}
			if err := a.Update(w); err != nil {
				t.Fatal(err)
			}
		}
		for i, x := range values {
			if math.Abs(float64(x)-want[i]) > 1e-5 {
				t.Fatalf("decay %g: coordinate %d is %g, want %g", decay, i, x, want[i])
			}
		}
		if err := a.Update(w[1:]); !errors.Is(err, ErrMisuse) {
			t.Errorf("weights of another length: %v", err)
		}
		if _, err := NewAverage(p, w[1:]); !errors.Is(err, ErrMisuse) {
			t.Errorf("weights of another length: %v", err)
		}
		if err := a.SetStep(-1); !errors.Is(err, ErrInvalid) {
			t.Errorf("step -1: %v", err)
		}
	}
	if a, err := NewAverage(noisePlan(t, 4, nil), make([]float32, 4)); a != nil || err != nil {
		t.Errorf("a plan without an average has one: %v, %v", a, err)
	}
}
