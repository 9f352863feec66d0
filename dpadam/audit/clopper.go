package audit

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// ClopperPearsonUpper is the upper bound of a probability of which k of n trials came true, at
// confidence 1-significance: the p at which k or fewer have that probability,
// I_p(k+1, n-k) = 1 - significance (Clopper, Pearson 1934). 1 for k = n.
func ClopperPearsonUpper(k, n int, significance float64) (float64, error) {
	if err := checkTrials(k, n, significance); err != nil {
		return 0, err
	}
	if k == n {
		return 1, nil
	}
	// By the complement, so that small probabilities keep their digits: 1-p is the lower bound of n-k.
	a, b := float64(k)+1, float64(n-k)
	return bisect(0, 1, func(p float64) bool { return mathext.RegIncBeta(b, a, 1-p) > significance }), nil
}

// ClopperPearsonLower is the lower bound of a probability of which k of n trials came true:
// I_p(k, n-k+1) = significance. 0 for k = 0.
func ClopperPearsonLower(k, n int, significance float64) (float64, error) {
	if err := checkTrials(k, n, significance); err != nil {
		return 0, err
	}
	if k == 0 {
		return 0, nil
	}
	a, b := float64(k), float64(n-k)+1
	return bisect(0, 1, func(p float64) bool { return mathext.RegIncBeta(a, b, p) < significance }), nil
}

func checkTrials(k, n int, significance float64) error {
	if n < 1 {
		return invalid("trials", n, "must be at least 1")
	}
	if err := checkCount("successes", k, n); err != nil {
		return err
	}
	return checkSignificance(significance)
}

// Membership is the outcome of a membership inference attack over independent runs: of In
// trials with the record the attacker said "in" in True, of Out trials without it in False.
type Membership struct {
	True  int     // right: true positives
	In    int     // trials with the record
	False int     // wrong: false positives
	Out   int     // trials without it
	Delta float64 // of the claim
}

// Rates are upper bounds of the attack's two errors that hold together at confidence
// 1-significance, each at half of it.
func (a Membership) Rates(significance float64) (falseNegative, falsePositive float64, err error) {
	if err = checkDelta(a.Delta); err != nil {
		return 0, 0, err
	}
	if err = checkCount("true positives", a.True, a.In); err != nil {
		return 0, 0, err
	}
	if falseNegative, err = ClopperPearsonUpper(a.In-a.True, a.In, significance/2); err != nil {
		return 0, 0, err
	}
	falsePositive, err = ClopperPearsonUpper(a.False, a.Out, significance/2)
	return falseNegative, falsePositive, err
}

// Epsilon is a lower bound of epsilon at confidence 1-significance (Nasr, Song, Thakurta,
// Papernot, Carlini 2021; Kairouz, Oh, Viswanath 2015):
//
//	epsilon >= log((1 - delta - FNR)/FPR),
//
// and with twoSided the larger of this and the same with the errors exchanged.
func (a Membership) Epsilon(significance float64, twoSided bool) (float64, error) {
	negative, positive, err := a.Rates(significance)
	if err != nil {
		return 0, err
	}
	bound := errorsEpsilon(negative, positive, a.Delta)
	if twoSided {
		bound = max(bound, errorsEpsilon(positive, negative, a.Delta))
	}
	return bound, nil
}

func errorsEpsilon(miss, alarm, delta float64) float64 {
	if hit := 1 - miss - delta; hit > 0 {
		return max(0, math.Log(hit)-math.Log(alarm))
	}
	return 0
}
