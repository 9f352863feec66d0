package metrics

import "math"

// A Confusion counts predictions by true and predicted class: Count[t][p]. Classes are numbered from 0.
type Confusion struct {
	Count [][]int
	Total int
}

// NewConfusion counts predictions of as many classes; predictions[i] belongs to labels[i].
func NewConfusion(predictions, labels []int, classes int) (*Confusion, error) {
	if len(predictions) != len(labels) {
		return nil, inputError("%d predictions for %d labels", len(predictions), len(labels))
	}
	if len(labels) == 0 {
		return nil, inputError("there is nothing to score")
	}
	c := &Confusion{Count: make([][]int, classes)}
	for t := range c.Count {
		c.Count[t] = make([]int, classes)
	}
	for i, t := range labels {
		p := predictions[i]
		if t < 0 || t >= classes || p < 0 || p >= classes {
			return nil, inputError("row %d: class %d predicted for class %d, of %d classes", i+1, p, t, classes)
		}
		c.Count[t][p]++
		c.Total++
	}
	return c, nil
}

// Accuracy is the share of rows whose class is predicted.
func (c *Confusion) Accuracy() float64 { return float64(c.correct()) / float64(c.Total) }

func (c *Confusion) correct() (n int) {
	for k := range c.Count {
		n += c.Count[k][k]
	}
	return n
}

// of gives how often a class is the label, and how often it is predicted.
func (c *Confusion) of(k int) (labelled, predicted int) {
	for j := range c.Count {
		labelled += c.Count[k][j]
		predicted += c.Count[j][k]
	}
	return labelled, predicted
}

// F1 is that of one class against the others, 2·hits/(labelled + predicted); 0 for a class that does not occur.
func (c *Confusion) F1(class int) float64 {
	labelled, predicted := c.of(class)
	if labelled+predicted == 0 {
		return 0
	}
	return 2 * float64(c.Count[class][class]) / float64(labelled+predicted)
}

// MacroF1 is the mean of F1 over the classes that occur as a label or a prediction.
func (c *Confusion) MacroF1() float64 {
	var scores []float64
	for k := range c.Count {
		if labelled, predicted := c.of(k); labelled+predicted > 0 {
			scores = append(scores, c.F1(k))
		}
	}
	return mean(scores)
}

// Matthews is Matthews' correlation coefficient, for more than two classes Gorodkin's R_K (2004): with n rows, h hits,
// and t_k, p_k rows of label and of prediction k,
//
//	(h·n − Σ t_k·p_k) / √((n² − Σ p_k²)(n² − Σ t_k²))
//
// and 0 where one class is all that is predicted or labelled.
func (c *Confusion) Matthews() float64 {
	n := float64(c.Total)
	var tp, pp, tt float64
	for k := range c.Count {
		labelled, predicted := c.of(k)
		t, p := float64(labelled), float64(predicted)
		tp, pp, tt = tp+t*p, pp+p*p, tt+t*t
	}
	if d := (n*n - pp) * (n*n - tt); d > 0 {
		return (float64(c.correct())*n - tp) / math.Sqrt(d)
	}
	return 0
}
