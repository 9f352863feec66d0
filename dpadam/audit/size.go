package audit

import (
	"fmt"
	"math"
	"sort"
)

// A Size is how large an audit is, and the claim that it is to test.
type Size struct {
	Canaries     int     // m
	Guesses      int     // r, fixed in advance
	Epsilon      float64 // claimed
	Delta        float64
	Significance float64
}

// Most is the largest bound that the audit can give.
func (s Size) Most() (float64, error) {
	return OneRun{Canaries: s.Canaries, Guesses: s.Guesses, Delta: s.Delta}.Most(s.Significance)
}

// Check refuses an audit that could not refute the claim if every guess were right, and says
// how many guesses it takes.
func (s Size) Check() error {
	most, err := s.Most()
	if err != nil {
		return err
	}
	if most > s.Epsilon {
		return nil
	}
	need, err := MinCanaries(s.Epsilon, s.Delta, s.Significance)
	if err != nil {
		return err
	}
	return invalid("guesses", fmt.Sprintf("%d of %d canaries", s.Guesses, s.Canaries), fmt.Sprintf(
		"with every guess right the bound is %.3g, not above the claimed epsilon = %g: this audit cannot fail; take at least %d guesses and canaries",
		most, s.Epsilon, need))
}

// MinCanaries is the smallest number of canaries, all of them guessed, with which an audit can
// refute the claim: about 3 e^epsilon at significance 0.05.
func MinCanaries(epsilon, delta, significance float64) (int, error) {
	if err := checkEpsilon(epsilon); err != nil {
		return 0, err
	}
	if err := checkDelta(delta); err != nil {
		return 0, err
	}
	if err := checkSignificance(significance); err != nil {
		return 0, err
	}
	all := func(m int) OneRun { return OneRun{Canaries: m, Guesses: m, Correct: m, Delta: delta} }
	enough := func(m int) bool { return all(m).refutes(epsilon, significance) }
	// Without delta p = q^m, so m > log(significance)/log(q): where the search begins.
	start := math.Log(significance) / -math.Log1p(math.Exp(-epsilon))
	hi := max(1, math.Floor(start))
	for !enough(int(hi)) {
		// The part of p that is delta's grows with m: once it is too large alone, more canaries don't help.
		if m := int(hi); all(m).pValue(epsilon)-logistic(m, epsilon).survival(m) >= significance || m > 1<<40 {
			return 0, invalid("epsilon", epsilon, fmt.Sprintf(
				"no audit of one run can refute it at delta = %g and significance %g; claim a smaller delta", delta, significance))
		}
		hi = math.Ceil(1.02 * hi)
	}
	lo := 0.0
	for hi-lo > 1 {
		if mid := math.Floor((lo + hi) / 2); enough(int(mid)) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return int(hi), nil
}

// ChooseGuesses is the number of guesses to make of m canaries, a function of public numbers
// alone, so that it may be used on scores without any correction. It looks for the number at
// which half the noise that the claim needs would most probably be found out (Size.Power);
// of those that are nearly as good it takes the largest, which can show the most. m if no
// number of guesses can refute the claim (Size.Check says so).
func ChooseGuesses(m int, epsilon, delta, significance float64) (int, error) {
	s := Size{Canaries: m, Guesses: m, Epsilon: epsilon, Delta: delta, Significance: significance}
	if err := s.check(); err != nil {
		return 0, err
	}
	half := 2 * GaussianMu(epsilon, max(delta, 1e-12))
	const step, tolerance = 1.05, 0.4 // the latter in standard deviations of the number of right guesses
	type choice struct {
		guesses int
		z       float64
	}
	var choices []choice
	best := math.Inf(-1)
	for r := float64(m); r >= 1; r /= step {
		s.Guesses = int(r)
		if s.critical() > s.Guesses {
			continue // it cannot refute the claim
		}
		z := s.margin(half)
		best = max(best, z)
		choices = append(choices, choice{s.Guesses, z})
	}
	for _, c := range choices { // from many to few
		if c.z >= best-tolerance {
			return c.guesses, nil
		}
	}
	return m, nil
}

func (s Size) check() error {
	if err := (OneRun{Canaries: s.Canaries, Guesses: s.Guesses, Delta: s.Delta}).check(); err != nil {
		return err
	}
	if err := checkEpsilon(s.Epsilon); err != nil {
		return err
	}
	return checkSignificance(s.Significance)
}

// Power is about the probability that the audit refutes the claim if the mechanism is Gaussian
// of parameter mu, the sensitivity over the standard deviation of the noise: sqrt(T)/sigma for
// T steps without sampling. For the mu that the claim allows (GaussianMu) it is about the
// probability to refute a claim that is true.
func (s Size) Power(mu float64) (float64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if !(mu >= 0) || math.IsInf(mu, 0) {
		return 0, invalid("mu", mu, "must be a finite number >= 0")
	}
	return phi(s.margin(mu)), nil
}

// margin is by how many standard deviations the expected number of right guesses exceeds the
// number that refutes the claim.
func (s Size) margin(mu float64) float64 {
	r, p := float64(s.Guesses), s.right(mu)
	return (r*p - float64(s.critical()) + 0.5) / math.Sqrt(max(r*p*(1-p), 0.25))
}

// critical is the smallest number of right guesses that refutes the claim; one more than the
// guesses if none does.
func (s Size) critical() int {
	return sort.Search(s.Guesses+1, func(v int) bool {
		return OneRun{Canaries: s.Canaries, Guesses: s.Guesses, Correct: v, Delta: s.Delta}.refutes(s.Epsilon, s.Significance)
	})
}

// right is the probability that a guess is right where the scores are N(0,1) out and N(mu,1) in:
// with f = r/2m, the share guessed at either end, and the threshold t of that share,
//
//	(Phi(-t) + Phi(mu-t))/2 = f,   P[right] = Phi(mu-t)/(2f).
func (s Size) right(mu float64) float64 {
	f := float64(s.Guesses) / float64(2*s.Canaries)
	top := func(t float64) float64 { return (phi(-t) + phi(mu-t)) / 2 }
	t := mu/2 + bisect(0, 40+mu, func(t float64) bool { return top(t+mu/2) >= f })
	return min(1, phi(mu-t)/(2*f))
}
