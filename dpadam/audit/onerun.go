package audit

import "sort"

// OneRun is the outcome of an audit with one run of the mechanism: of Canaries canaries, each in
// by a fair coin, the attacker guessed Guesses and was right in Correct.
type OneRun struct {
	Canaries int     `json:"canaries"` // m
	Guesses  int     `json:"guesses"`  // r <= m; of the rest nothing was said
	Correct  int     `json:"correct"`  // v <= r
	Delta    float64 `json:"delta"`    // of the claim
}

func (o OneRun) check() error {
	if o.Canaries < 1 {
		return invalid("canaries", o.Canaries, "must be at least 1")
	}
	if err := checkCount("guesses", o.Guesses, o.Canaries); err != nil {
		return err
	}
	if err := checkCount("correct guesses", o.Correct, o.Guesses); err != nil {
		return err
	}
	return checkDelta(o.Delta)
}

// PValue bounds the probability of at least so many right guesses by any attacker on any
// (epsilon, delta)-private mechanism (Steinke, Nasr, Jagielski 2023, Theorem 5.2 and appendix D):
//
//	p = min(1, beta + 2 m delta alpha),   q = e^epsilon/(1+e^epsilon),
//	beta = P[Bin(r, q) >= v],   alpha = max over 1 <= i <= v of (P[Bin(r, q) >= v-i] - beta)/i.
func (o OneRun) PValue(epsilon float64) (float64, error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	if err := checkEpsilon(epsilon); err != nil {
		return 0, err
	}
	return o.pValue(epsilon), nil
}

func (o OneRun) pValue(epsilon float64) float64 {
	b := logistic(o.Guesses, epsilon)
	p := b.survival(o.Correct)
	if o.Delta > 0 {
		p += 2 * float64(o.Canaries) * o.Delta * b.excess(o.Correct)
	}
	return min(1, p)
}

// refutes reports p < significance. beta alone decides most cases.
func (o OneRun) refutes(epsilon, significance float64) bool {
	b := logistic(o.Guesses, epsilon)
	beta := b.survival(o.Correct)
	if beta >= significance || o.Delta == 0 {
		return beta < significance
	}
	return beta+2*float64(o.Canaries)*o.Delta*b.excess(o.Correct) < significance
}

// excess is alpha. Its i-th candidate is the mean of the masses at v-1, ..., v-i: nothing
// cancels. Downwards from v the masses rise to the mode and then fall, so the first mass
// below the mean ends the search. Masses that are 0 in float64 are skipped.
func (b binomial) excess(v int) float64 {
	mean, i := 0.0, 1
	if mode := int(float64(b.n+1) * b.q); v-1 > mode {
		i += sort.Search(v-1-mode, func(k int) bool { return b.mass(v-1-k) > 0 })
	}
	for ; i <= v; i++ {
		x := b.mass(v - i)
		if x < mean {
			break
		}
		mean += (x - mean) / float64(i)
	}
	return mean
}

// Epsilon is the lower bound of epsilon at confidence 1-significance: every smaller epsilon is
// refuted at that delta, its p-value being below the significance. 0 if none is.
func (o OneRun) Epsilon(significance float64) (float64, error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	if err := checkSignificance(significance); err != nil {
		return 0, err
	}
	return first(func(epsilon float64) bool { return o.refutes(epsilon, significance) }), nil
}
