package audit

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Scores are what an attacker makes of the canaries of a run: the higher a score, the more the
// canary looks as if it had been in.
type Scores struct {
	Score []float64 `json:"score"`
	In    []bool    `json:"in"` // whether it was
}

// Check refuses scores that are not numbers, and lists of different lengths.
func (s Scores) Check() error {
	if len(s.Score) == 0 || len(s.Score) != len(s.In) {
		return invalid("scores", len(s.Score), fmt.Sprintf("must be at least 1, and as many as coins (%d)", len(s.In)))
	}
	for i, x := range s.Score {
		if math.IsNaN(x) {
			return invalid(fmt.Sprintf("score of canary %d", i), x, "must be a number")
		}
	}
	return nil
}

// order lists the canaries by score, highest first. Equal scores stay in the canaries' own
// order, which knows nothing of the coins.
func (s Scores) order() []int {
	order := make([]int, len(s.Score))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.Score[b], s.Score[a]) })
	return order
}

// Guess says "in" of the k+ = ceil(guesses/2) highest scores and "out" of the k- = guesses-k+
// lowest ones, and nothing of the rest. The number of guesses must have been fixed before the
// scores were seen: looking for the number that gives the best bound, and reporting that
// bound, voids its confidence (see Best).
func (s Scores) Guess(guesses int, delta float64) (OneRun, error) {
	if err := s.Check(); err != nil {
		return OneRun{}, err
	}
	o := OneRun{Canaries: len(s.Score), Guesses: guesses, Delta: delta}
	if err := o.check(); err != nil {
		return OneRun{}, err
	}
	o.Correct = s.correct(s.order(), guesses)
	return o, nil
}

func (s Scores) correct(order []int, guesses int) int {
	high, low := guesses-guesses/2, guesses/2
	v := 0
	for _, i := range order[:high] {
		if s.In[i] {
			v++
		}
	}
	for _, i := range order[len(order)-low:] {
		if !s.In[i] {
			v++
		}
	}
	return v
}

// Best tries several numbers of guesses and returns the outcome with the largest bound, each
// tested at significance/len(choices) (Bonferroni), so that the bound holds at the whole
// significance although the number was chosen by the scores.
func (s Scores) Best(choices []int, delta, significance float64) (best OneRun, epsilon float64, err error) {
	if len(choices) == 0 {
		return best, 0, invalid("choices of guesses", 0, "at least one is needed")
	}
	for i, guesses := range choices {
		o, err := s.Guess(guesses, delta)
		if err != nil {
			return best, 0, err
		}
		e, err := o.Epsilon(significance / float64(len(choices)))
		if err != nil {
			return best, 0, err
		}
		if i == 0 || e > epsilon {
			best, epsilon = o, e
		}
	}
	return best, epsilon, nil
}
