package decode

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// Drawn tokens follow the processed distribution: Pearson's chi-square over 200,000 draws rejects a right sampler once in
// 10^6 runs of this test, if the seed were not fixed. The seed is printed with a failure.
func TestSamplingFollowsTheDistribution(t *testing.T) {
	const draws, reject, seed = 200_000, 1e-6, 20261126
	logits := []float32{0.3, -1.2, 2.1, 0, 1.4, -0.4, 1.1, -7, 0.9, 1.9}
	c := Default()
	c.Sample, c.Temperature, c.TopK, c.MaxNewTokens, c.Seed = true, 1.3, 8, draws, seed
	s, err := NewSampler(c, []int32{0})
	if err != nil {
		t.Fatal(err)
	}
	count := make([]float64, len(logits))
	for range draws {
		token, err := s.Push(logits)
		if err != nil {
			t.Fatal(err)
		}
		count[token.ID]++
	}
	scores := slices.Clone(logits)
	for _, p := range c.processors(1) {
		p.process([]int32{0}, scores)
	}
	square, free := 0.0, -1.0
	for i, p := range softmax(scores) {
		if p == 0 {
			if count[i] > 0 {
				t.Errorf("token %d was filtered and drawn %v times", i, count[i])
			}
			continue
		}
		want := draws * float64(p)
		square += (count[i] - want) * (count[i] - want) / want
		free++
	}
	if p := 1 - (distuv.ChiSquared{K: free}).CDF(square); p < reject {
		t.Errorf("chi-square %.1f with %.0f degrees of freedom, p %.2g, seed %d", square, free, p, seed)
	}
}

// A seed says what is drawn, on every platform: these are the first draws from a flat distribution over 1,000 tokens.
func TestSeedIsStable(t *testing.T) {
	draw := func(seed uint64) []int32 {
		c := Default()
		c.Sample, c.TopK, c.MaxNewTokens, c.Seed = true, 0, 6, seed
		s, err := NewSampler(c, []int32{0})
		if err != nil {
			t.Fatal(err)
		}
		for s.Finish() == "" {
			if _, err := s.Push(make([]float32, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		return s.New()
	}
	if got, want := draw(1), []int32{109, 280, 204, 864, 791, 716}; !slices.Equal(got, want) {
		t.Errorf("seed 1 draws %v, want %v", got, want)
	}
	if slices.Equal(draw(1), draw(2)) {
		t.Error("seeds 1 and 2 draw the same")
	}
}

func TestLogitsThatAreNoNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for what, logits := range map[string][]float32{"NaN": {0, nan, 1}, "+Inf": {0, inf, 1}, "nothing": {-inf, -inf, -inf}} {
		c := Default()
		s, err := NewSampler(c, []int32{0})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Push(logits); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s: sampler: %v", what, err)
		}
		c.Beams = 1
		b, err := NewBeam(c, []int32{0})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Advance([][]float32{logits}); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s: beam: %v", what, err)
		}
	}
}

// Log-probabilities are the model's, whatever processors make of the scores.
func TestLogProbs(t *testing.T) {
	c := Default()
	c.TopLogProbs, c.Suppress = 2, []int32{1}
	s, err := NewSampler(c, []int32{0})
	if err != nil {
		t.Fatal(err)
	}
	logits := []float32{1, 3, 2}
	got, err := s.Push(logits)
	if err != nil {
		t.Fatal(err)
	}
	sum := math.Log(math.Exp(1) + math.Exp(3) + math.Exp(2))
	if got.ID != 2 || math.Abs(got.LogProb-(2-sum)) > 1e-12 || len(got.Top) != 2 || got.Top[0].ID != 1 || math.Abs(got.Top[0].LogProb-(3-sum)) > 1e-12 {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(logits, []float32{1, 3, 2}) {
		t.Error("the logits were changed")
	}
}

func TestArgmaxTakesTheLowestOfEqual(t *testing.T) {
	for _, c := range []struct {
		v    []float32
		want int32
	}{{[]float32{1, 3, 3, 2}, 1}, {[]float32{0}, 0}, {[]float32{-1, -1}, 0}} {
		if got := argmax(c.v); got != c.want {
			t.Errorf("%v: %d", c.v, got)
		}
	}
}

func TestCheckNamesTheSetting(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"max_new_tokens":       func(c *Config) { c.MaxNewTokens = 0 },
		"num_beams":            func(c *Config) { c.Beams = 0 },
		"num_return_sequences": func(c *Config) { c.Return = 2 },
		"temperature":          func(c *Config) { c.Temperature = 0 },
		"top_p":                func(c *Config) { c.TopP = math.NaN() },
		"top_k":                func(c *Config) { c.TopK = -1 },
		"repetition_penalty":   func(c *Config) { c.RepetitionPenalty = 0 },
		"length_penalty":       func(c *Config) { c.LengthPenalty = math.Inf(1) },
		"bad_words_ids":        func(c *Config) { c.Forbidden = [][]int32{{}} },
		"no_repeat_ngram_size": func(c *Config) { c.NoRepeatNGram = -2 },
	} {
		c := Default()
		change(&c)
		if err := c.Check(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However a text is cut into pieces, it ends exactly before its first stop string.
func FuzzStopScanner(f *testing.F) {
	f.Add("hello END world", "END", "wor", uint64(0b1010110))
	f.Add("aaab", "aab", "", uint64(0xffff))
	f.Add("ä€ä€x", "€x", "€ä", uint64(3))
	f.Fuzz(func(t *testing.T, text, stop1, stop2 string, cuts uint64) {
		want, found := text, false
		for end := 1; end <= len(text) && !found; end++ { // the stop string that is complete first counts
			for _, stop := range []string{stop1, stop2} {
				if stop != "" && strings.HasSuffix(text[:end], stop) {
					if at := end - len(stop); !found || at < len(want) { // of those that end here the longest
						want, found = text[:at], true
					}
				}
			}
		}
		s := NewStopScanner([]string{stop1, stop2})
		got, stopped := "", false
		for i, begin := 0, 0; i < len(text) && !stopped; i++ {
			if i == len(text)-1 || cuts>>(i%64)&1 == 1 {
				var piece string
				piece, stopped = s.Push(text[begin : i+1])
				got += piece
				begin = i + 1
			}
		}
		if !stopped {
			got += s.Flush()
		}
		if stopped != found || got != want {
			t.Fatalf("%q with %q, %q: %q, stopped %v; want %q", text, stop1, stop2, got, stopped, want)
		}
	})
}
