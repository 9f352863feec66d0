package audit

import (
	"fmt"
	"math"
	"sort"
)

// A Method says which bound decides an audit.
type Method string

const (
	// MethodOneRun is OneRun.Epsilon: it refutes (epsilon, delta)-privacy of any mechanism.
	MethodOneRun Method = "one-run"
	// MethodGaussian is OneRun.GaussianEpsilon: it refutes that a Gaussian mechanism has the noise
	// that (epsilon, delta) takes. It is sharp at every epsilon, and right only for a
	// mechanism that is known to be Gaussian: steps without sampling.
	MethodGaussian Method = "gaussian"
)

// ParseMethod returns the method of that name; the empty string is one-run.
func ParseMethod(name string) (Method, error) {
	switch m := Method(name); m {
	case "":
		return MethodOneRun, nil
	case MethodOneRun, MethodGaussian:
		return m, nil
	}
	return "", invalid("bound", fmt.Sprintf("%q", name), "must be one-run or gaussian")
}

// by is the bound of a method.
func (o OneRun) by(m Method, significance float64) (float64, error) {
	if m == MethodGaussian {
		return o.GaussianEpsilon(significance)
	}
	return o.Epsilon(significance)
}

// A Size is how large an audit is, and the claim that it is to test.
type Size struct {
	Canaries     int     // m
	Guesses      int     // r, fixed in advance
	Epsilon      float64 // claimed
	Delta        float64
	Significance float64
	Method       Method // empty for MethodOneRun
}

func (s Size) check() error {
	if err := (OneRun{Canaries: s.Canaries, Guesses: s.Guesses, Delta: s.Delta}).check(); err != nil {
		return err
	}
	return s.checkClaim()
}

func (s Size) checkClaim() error {
	if err := checkEpsilon(s.Epsilon); err != nil {
		return err
	}
	if err := checkDelta(s.Delta); err != nil {
		return err
	}
	if _, err := ParseMethod(string(s.Method)); err != nil {
		return err
	}
	if s.Method == MethodGaussian && s.Delta == 0 {
		return errNoDelta
	}
	return checkSignificance(s.Significance)
}

// refutes returns whether counts refute the claim.
func (s Size) refutes() func(o OneRun) bool {
	if s.Method == MethodGaussian {
		mu := GaussianMu(s.Epsilon, s.Delta)
		return func(o OneRun) bool { return o.refutesGaussian(s.Significance, mu) }
	}
	return func(o OneRun) bool { return o.refutes(s.Epsilon, s.Significance) }
}

// outcome is that of so many right guesses.
func (s Size) outcome(right int) OneRun {
	return OneRun{Canaries: s.Canaries, Guesses: s.Guesses, Correct: right, Delta: s.Delta}
}

// Most is the largest bound that the audit can give, with every guess right.
func (s Size) Most() (float64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.outcome(s.Guesses).by(s.Method, s.Significance)
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
	need, err := s.Fewest()
	if err != nil {
		return err
	}
	return invalid("guesses", fmt.Sprintf("%d of %d canaries", s.Guesses, s.Canaries), fmt.Sprintf(
		"with every guess right the bound is %.3g, not above the claimed epsilon = %g: this audit cannot fail; take at least %d guesses and canaries",
		most, s.Epsilon, need))
}

// Fewest is the smallest number of canaries, all of them guessed, with which an audit can
// refute the claim: about 3 e^epsilon at significance 0.05 by MethodOneRun.
func (s Size) Fewest() (int, error) {
	if err := s.checkClaim(); err != nil {
		return 0, err
	}
	refutes := s.refutes()
	all := func(m int) OneRun { return OneRun{Canaries: m, Guesses: m, Correct: m, Delta: s.Delta} }
	hi := 1
	if s.Method != MethodGaussian {
		// Without delta p = q^m, so m > log(significance)/log(q): where the search begins.
		hi = max(1, int(math.Log(s.Significance)/-math.Log1p(math.Exp(-s.Epsilon))))
	}
	for ; !refutes(all(hi)); hi += 1 + hi/50 {
		if s.hopeless(all(hi)) {
			return 0, invalid("epsilon", s.Epsilon, fmt.Sprintf(
				"no audit of one run can refute it at delta = %g and significance %g; claim a smaller delta", s.Delta, s.Significance))
		}
	}
	return 1 + sort.Search(hi-1, func(k int) bool { return refutes(all(k + 1)) }), nil
}

// hopeless: the part of p that is delta's grows with m. Once it is too large alone, more canaries
// don't help.
func (s Size) hopeless(o OneRun) bool {
	if s.Method == MethodGaussian {
		return o.Canaries > 1<<22
	}
	return o.pValue(s.Epsilon)-logistic(o.Guesses, s.Epsilon).survival(o.Correct) >= s.Significance || o.Canaries > 1<<40
}

// Choose is the number of guesses to make of the canaries, a function of public numbers alone, so
// that it may be used on scores without any correction. It looks for the number at which too
// little noise would most probably be found out (Power): three quarters of what the claim needs if
// this size can tell that, else two thirds, else half. Of the numbers that are nearly as good it
// takes the largest, which can show the most. All canaries if no number of guesses can refute the
// claim (Check says so).
func (s Size) Choose() (int, error) {
	s.Guesses = s.Canaries
	if err := s.check(); err != nil {
		return 0, err
	}
	const enough = 2 // standard deviations of the number of right guesses: a power of 0.98
	critical := s.criticals()
	mu := GaussianMu(s.Epsilon, max(s.Delta, 1e-12))
	guesses := s.Canaries
	for _, part := range []float64{3. / 4, 2. / 3, 1. / 2} {
		var z float64
		if guesses, z = s.sharpest(critical, mu/part); z >= enough {
			break
		}
	}
	return guesses, nil
}

// A criticalCount is a number of guesses and how many of them must be right to refute the claim.
type criticalCount struct{ guesses, critical int }

// criticals lists numbers of guesses that can refute the claim, from many to few.
func (s Size) criticals() []criticalCount {
	const step = 1.05
	var list []criticalCount
	for r := float64(s.Canaries); r >= 1; r /= step {
		s.Guesses = int(r)
		if c := s.critical(); c <= s.Guesses {
			list = append(list, criticalCount{s.Guesses, c})
		}
	}
	return list
}

// sharpest is the number of guesses with nearly the largest margin at mu, and that margin.
func (s Size) sharpest(list []criticalCount, mu float64) (guesses int, z float64) {
	const nearly = 0.4
	margins := make([]float64, len(list))
	best := math.Inf(-1)
	for i, c := range list {
		s.Guesses = c.guesses
		margins[i] = s.margin(mu, c.critical)
		best = max(best, margins[i])
	}
	for i, c := range list {
		if margins[i] >= best-nearly {
			return c.guesses, best
		}
	}
	return s.Canaries, best
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
	return phi(s.margin(mu, s.critical())), nil
}

// margin is by how many standard deviations the expected number of right guesses exceeds the
// critical number, which refutes the claim.
func (s Size) margin(mu float64, critical int) float64 {
	r, p := float64(s.Guesses), s.right(mu)
	return (r*p - float64(critical) + 0.5) / math.Sqrt(max(r*p*(1-p), 0.25))
}

// critical is the smallest number of right guesses that refutes the claim; one more than the
// guesses if none does.
func (s Size) critical() int {
	refutes := s.refutes()
	return sort.Search(s.Guesses+1, func(v int) bool { return refutes(s.outcome(v)) })
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
