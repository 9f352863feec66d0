package metrics

import (
	"errors"
	"math"
	"testing"
)

// TestConfusion holds accuracy, F1 and Matthews' coefficient against scikit-learn 1.7 (accuracy_score, f1_score with
// average macro and with pos_label, matthews_corrcoef).
func TestConfusion(t *testing.T) {
	for _, c := range []struct {
		name                string
		predicted, labels   []int
		classes             int
		accuracy, f1, macro float64
		matthews            float64
	}{
		{"binary", []int{1, 0, 1, 1, 0, 1}, []int{1, 0, 0, 1, 1, 1}, 2, 4. / 6, 0.75, (0.75 + 0.5) / 2, 0.25},
		{"three", []int{0, 1, 2, 2, 1, 0, 0}, []int{0, 1, 2, 1, 1, 0, 2}, 3, 5. / 7, 0.8, (0.8 + 0.8 + 0.5) / 3, 0.59375},
		{"one class", []int{1, 1}, []int{1, 1}, 2, 1, 1, 1, 0},
		{"all wrong", []int{0, 1}, []int{1, 0}, 2, 0, 0, 0, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := NewConfusion(c.predicted, c.labels, c.classes)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "accuracy", m.Accuracy(), c.accuracy, 1e-15)
			near(t, "F1", m.F1(1), c.f1, 1e-15)
			near(t, "macro F1", m.MacroF1(), c.macro, 1e-15)
			near(t, "Matthews", m.Matthews(), c.matthews, 1e-15)
		})
	}
	for _, c := range []struct{ predicted, labels []int }{{nil, nil}, {[]int{1}, []int{1, 0}}, {[]int{2}, []int{0}}, {[]int{0}, []int{-1}}} {
		if _, err := NewConfusion(c.predicted, c.labels, 2); !errors.Is(err, ErrInput) {
			t.Errorf("%v of %v: %v", c.predicted, c.labels, err)
		}
	}
}

// TestPerplexity checks that a corpus counts as one long text.
func TestPerplexity(t *testing.T) {
	var l Likelihood
	if !math.IsNaN(l.Perplexity()) {
		t.Error("perplexity of nothing")
	}
	l.Add(3*math.Log(2), 3)
	l.Add(math.Log(32), 1)
	near(t, "perplexity", l.Perplexity(), 4, 1e-14)
}
