package runtime

import (
	"errors"
	"math"
	"testing"
)

// TestScore compares with what the generation of the same tokens reported.
func TestScore(t *testing.T) {
	m := openPath(t, pretrained)
	prompt := []int32{5, 9, 20}
	c, err := m.Continue(t.Context(), [][]int32{prompt}, GenerateOptions{MaxNewTokens: 5, Sample: Off, TopLogProbs: 2})
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Score(t.Context(), append(prompt, c[0][0].IDs...), 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range c[0][0].LogProbs {
		if g := got[len(prompt)+i]; math.Abs(g.LogProb-want) > 1e-4 || len(g.Top) != 2 || g.ID != c[0][0].IDs[i] {
			t.Errorf("token %d: %+v, want %v", i, g, want)
		}
	}
	for _, ids := range [][]int32{nil, {99999}, {-1}, make([]int32, 500)} {
		if _, err := m.Score(t.Context(), ids, 0); !errors.Is(err, ErrUsage) {
			t.Errorf("%d tokens: %v", len(ids), err)
		}
	}
}
