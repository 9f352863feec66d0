package decode

import (
	"math"
	"testing"
)

func TestExp(t *testing.T) {
	worst := 0.0
	for i := range 2_000_000 {
		x := -699.9 * float64(i) / 2e6
		if i%2 == 1 {
			x = -40 * float64(i) / 2e6 // where what counts lies
		}
		worst = max(worst, math.Abs(exp(x)/math.Exp(x)-1))
	}
	if worst > 1e-13 {
		t.Errorf("relative error %g", worst)
	}
	for _, x := range []float64{-700, -1e300, math.Inf(-1), math.NaN()} {
		if exp(x) != 0 {
			t.Errorf("exp(%g) = %g", x, exp(x))
		}
	}
	if exp(0) != 1 {
		t.Errorf("exp(0) = %g", exp(0))
	}
}

// A turn of greedy search and one of sampling, over GPT-2's vocabulary.
func BenchmarkPush(b *testing.B) {
	logits := make([]float32, 50257)
	for i := range logits {
		logits[i] = float32(math.Sin(float64(i) * 1.7))
	}
	greedy := Config{MaxNewTokens: 1 << 30, Beams: 1, Return: 1, Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1, LengthPenalty: 1}
	sampled := greedy
	sampled.Sample, sampled.Temperature, sampled.TopK, sampled.TopP = true, 0.8, 50, 0.9
	for name, c := range map[string]Config{"greedy": greedy, "sampled": sampled} {
		b.Run(name, func(b *testing.B) {
			s, err := NewSampler(c, []int32{1})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Push(logits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
