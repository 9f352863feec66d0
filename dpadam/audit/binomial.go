package audit

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// binomial is Bin(n, q) with q = e^epsilon/(1+e^epsilon), the distribution of the right guesses
// of the best attacker on an epsilon-private mechanism. Both log q and log(1-q) are exact for
// large epsilon, where 1-q is not.
type binomial struct {
	n         int
	q         float64
	log, log1 float64 // log q, log(1-q)
	factorial float64 // log n!
}

func logistic(n int, epsilon float64) binomial {
	l := math.Log1p(math.Exp(-epsilon))
	f, _ := math.Lgamma(float64(n) + 1)
	return binomial{n: n, q: 1 / (1 + math.Exp(-epsilon)), log: -l, log1: -epsilon - l, factorial: f}
}

// survival is P[X >= k] = I_q(k, n-k+1), the regularised incomplete beta function.
func (b binomial) survival(k int) float64 {
	switch {
	case k <= 0:
		return 1
	case k > b.n:
		return 0
	}
	return mathext.RegIncBeta(float64(k), float64(b.n-k)+1, b.q)
}

// mass is P[X = k].
func (b binomial) mass(k int) float64 {
	if k < 0 || k > b.n {
		return 0
	}
	x, _ := math.Lgamma(float64(k) + 1)
	y, _ := math.Lgamma(float64(b.n-k) + 1)
	return math.Exp(b.factorial - x - y + float64(k)*b.log + float64(b.n-k)*b.log1)
}

// first returns, to about the last digit, the smallest x >= 0 at which holds stops being true; 0
// if it is false there. holds must be true up to some x and false at every large one. The
// returned x is one at which holds, so that a lower bound is never rounded up.
func first(holds func(x float64) bool) float64 {
	if !holds(0) {
		return 0
	}
	lo, hi := 0.0, 1.0
	for holds(hi) {
		lo, hi = hi, 2*hi
		if hi > 1e6 { // no count that fits an int gives such a bound
			return lo
		}
	}
	return bisect(lo, hi, holds)
}

// bisect returns the last x at which holds between lo, where it does, and hi, where it does not.
func bisect(lo, hi float64, holds func(x float64) bool) float64 {
	for hi-lo > 1e-13*hi {
		mid := lo + (hi-lo)/2
		if mid <= lo || mid >= hi {
			break
		}
		if holds(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

func invalid(parameter string, value any, bound string) error {
	return &dpadam.ParamError{Parameter: parameter, Value: value, Bound: bound}
}

func checkSignificance(s float64) error {
	if !(s > 0 && s < 1) {
		return invalid("significance", s, "must be in (0, 1): the probability to refute a claim that is true")
	}
	return nil
}

func checkDelta(d float64) error {
	if !(d >= 0 && d < 1) {
		return invalid("delta", d, "must be in [0, 1)")
	}
	return nil
}

func checkEpsilon(e float64) error {
	if !(e >= 0) || math.IsInf(e, 0) {
		return invalid("epsilon", e, "must be a finite number >= 0")
	}
	return nil
}

func checkCount(name string, k, n int) error {
	if k < 0 || k > n {
		return invalid(name, k, fmt.Sprintf("must be in [0, %d]", n))
	}
	return nil
}
