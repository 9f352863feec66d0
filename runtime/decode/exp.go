package decode

import "math"

// expSteps are the values 2^(j/64) between two powers of two.
const expSteps = 64

// expTable holds the bits of 2^(j/64).
var expTable = func() (t [expSteps]uint64) {
	for j := range t {
		t[j] = math.Float64bits(math.Exp2(float64(j) / expSteps))
	}
	return t
}()

// smallestExp is where exp is taken for 0: e^−700 is beyond every float32.
const smallestExp = -700

// exp is e^x for x ≤ 0, within 1e-13 of its value. A turn takes it of every word
// of the vocabulary, which with math.Exp would be the larger part of the turn.
//
//	x = (n/64)·ln 2 + r,  −(ln 2)/64 < r ≤ 0:  e^x = 2^⌊n/64⌋ · 2^((n mod 64)/64) · e^r
func exp(x float64) float64 {
	if !(x > smallestExp) {
		return 0
	}
	n := int64(x * (expSteps / math.Ln2))
	r := x - float64(n)*(math.Ln2/expSteps)
	p := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120)))))
	return math.Float64frombits(expTable[n&(expSteps-1)]+uint64(n>>6)<<52) * p
}
