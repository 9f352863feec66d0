package decode

import (
	"errors"
	"math"
	"testing"
)

// TestPenalties counts by hand: token 2 was in the prompt only, token 1 came twice, token 3 once.
func TestPenalties(t *testing.T) {
	c := Default()
	c.FrequencyPenalty, c.PresencePenalty, c.LogitBias = 0.5, 0.25, map[int32]float64{0: 3, 3: math.Inf(-1)}
	scores := []float32{1, 1, 1, 1, 1}
	for _, p := range c.processors(2) {
		p.process([]int32{2, 2, 1, 3, 1}, scores)
	}
	if want := [5]float32{4, 1 - 2*0.5 - 0.25, 1, float32(math.Inf(-1)), 1}; [5]float32(scores) != want {
		t.Errorf("got %v, want %v", scores, want)
	}
}

func TestBiasIsChecked(t *testing.T) {
	for _, c := range []struct{ bias map[int32]float64 }{{map[int32]float64{7: 1}}, {map[int32]float64{-1: 1}}, {map[int32]float64{0: math.NaN()}}, {map[int32]float64{0: math.Inf(1)}}} {
		config := Default()
		config.LogitBias = c.bias
		s, err := NewSampler(config, []int32{1})
		if err == nil {
			_, err = s.Push([]float32{1, 2, 3})
		}
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%v: %v", c.bias, err)
		}
	}
}
