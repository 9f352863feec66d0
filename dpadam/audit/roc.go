package audit

import "fmt"

// A Curve is the receiver operating characteristic of the scores: the attacker says "in" above
// a threshold, and may toss a coin between two thresholds, so that it is concave (the upper
// hull of the points of all thresholds). It estimates; it bounds nothing.
type Curve struct {
	FalsePositive []float64 `json:"false_positive_rate"` // from 0 to 1
	TruePositive  []float64 `json:"true_positive_rate"`
}

// ROC returns the curve. There must be a canary that was in and one that was not.
func (s Scores) ROC() (Curve, error) {
	if err := s.Check(); err != nil {
		return Curve{}, err
	}
	in := 0
	for _, is := range s.In {
		if is {
			in++
		}
	}
	out := len(s.In) - in
	if in == 0 || out == 0 {
		return Curve{}, invalid("canaries in", in, fmt.Sprintf("of %d: a curve needs canaries that were in and canaries that were not", len(s.In)))
	}
	type point struct{ fp, tp int }
	hull := []point{{0, 0}}
	var at point
	order := s.order()
	for k, i := range order {
		if s.In[i] {
			at.tp++
		} else {
			at.fp++
		}
		if k+1 < len(order) && s.Score[order[k+1]] == s.Score[i] {
			continue // no threshold lies between equal scores
		}
		for n := len(hull); n > 1; n-- { // drop what lies on or below the line to the new point
			a, b := hull[n-2], hull[n-1]
			if (b.tp-a.tp)*(at.fp-b.fp) > (at.tp-b.tp)*(b.fp-a.fp) {
				break
			}
			hull = hull[:n-1]
		}
		hull = append(hull, at)
	}
	var c Curve
	for _, p := range hull {
		c.FalsePositive = append(c.FalsePositive, float64(p.fp)/float64(out))
		c.TruePositive = append(c.TruePositive, float64(p.tp)/float64(in))
	}
	return c, nil
}

// Area is the area under the curve (AUROC): 0.5 for scores that know nothing.
func (c Curve) Area() float64 {
	area := 0.0
	for i := 1; i < len(c.FalsePositive); i++ {
		area += (c.FalsePositive[i] - c.FalsePositive[i-1]) * (c.TruePositive[i] + c.TruePositive[i-1]) / 2
	}
	return area
}

// At is the true positive rate at a false positive rate in [0, 1].
func (c Curve) At(falsePositive float64) (float64, error) {
	if !(falsePositive >= 0 && falsePositive <= 1) {
		return 0, invalid("false positive rate", falsePositive, "must be in [0, 1]")
	}
	i := 1
	for i < len(c.FalsePositive)-1 && c.FalsePositive[i] <= falsePositive {
		i++
	}
	left, right := c.FalsePositive[i-1], c.FalsePositive[i]
	if right == left {
		return c.TruePositive[i], nil
	}
	share := (falsePositive - left) / (right - left)
	return c.TruePositive[i-1] + share*(c.TruePositive[i]-c.TruePositive[i-1]), nil
}
