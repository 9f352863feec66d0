package dpadam

import (
	"math"
	"math/big"
)

// logMomentWithoutReplacement bounds a Gaussian of standard deviation sigma, relative to the largest
// change that replacing a record makes, on a uniform batch of a share gamma of the records (Wang,
// Balle, Kasiviswanathan 2019, "Subsampled Renyi Differential Privacy and Analytical Moments
// Accountant", Theorem 27), for integers alpha:
//
//	A <= 1 + gamma^2 C(alpha,2) min(4(e^f(1) - 1), 2 e^f(1))
//	       + sum_(j=3)^alpha gamma^j C(alpha,j) min(4 sqrt(D_lo D_hi), 2 e^f(j-1)),
//
// f(x) = x(x+1)/2sigma^2 the Gaussian's (order x+1) times x, D_lo and D_hi the forward differences of e^f at
// 0 of the even orders 2 floor(j/2) and 2 ceil(j/2). (alpha-1) D_alpha is convex in alpha, so other orders are
// bounded by the chord of their neighbours. Orders above maxDifferenceOrder do without the differences.
func logMomentWithoutReplacement(gamma, sigma, alpha float64) float64 {
	if gamma == 1 {
		return roundUp(alpha * (alpha - 1) / (2 * sigma * sigma))
	}
	lo := math.Floor(alpha)
	at := func(a float64) float64 {
		if a <= 1 {
			return 0
		}
		return withoutReplacementInteger(gamma, sigma, int(a))
	}
	if lo == alpha {
		return at(lo)
	}
	t := alpha - lo
	return roundUp((1-t)*at(lo) + t*at(lo+1))
}

// maxDifferenceOrder bounds the cost of the differences, which grows with its square, and
// maxWithoutReplacementOrder that of an order at all.
const (
	maxDifferenceOrder         = 256
	maxWithoutReplacementOrder = 1 << 14
)

func withoutReplacementInteger(gamma, sigma float64, alpha int) float64 {
	if alpha > maxWithoutReplacementOrder {
		return math.Inf(1)
	}
	f := func(x float64) float64 { return x * (x + 1) / (2 * sigma * sigma) }
	var differences []float64
	if alpha <= maxDifferenceOrder {
		differences = logDifferences(sigma, alpha+1)
	}
	lga, _ := math.Lgamma(float64(alpha) + 1)
	sum, largest := 0.0, 0.0 // log
	for j := 2; j <= alpha; j++ {
		x := float64(j)
		term := math.Ln2 + f(x-1)
		if j == 2 {
			term = math.Min(math.Log(4)+f(1)+math.Log(-math.Expm1(-f(1))), term)
		} else if differences != nil {
			term = math.Min(term, math.Log(4)+(differences[2*(j/2)]+differences[2*((j+1)/2)])/2)
		}
		lgj, _ := math.Lgamma(x + 1)
		lgr, _ := math.Lgamma(float64(alpha) - x + 1)
		sum = logAdd(sum, term+lga-lgj-lgr+x*math.Log(gamma))
		largest = math.Max(largest, math.Abs(term)+lga)
	}
	return roundUp(sum + 1e-14*(largest+float64(alpha)+100)*math.Min(1, sum))
}

// logDifferences returns log of the forward differences of e^f at 0, orders 0 to n, with f(x) =
// x(x+1)/2sigma^2:
//
//	D_j = sum_k C(j,k) (-1)^(j-k) r^(k(k+1)/2),  r = e^(1/sigma^2).
//
// The terms cancel to about (1/sigma)^j, so they are computed with as many bits. D_j of even order is
// positive: it is E[(e^L - 1)^j] of a loss L.
func logDifferences(sigma float64, n int) []float64 {
	bits := uint(128 + n*(4+2*int(math.Max(0, math.Ceil(math.Log2(sigma))))))
	number := func() *big.Float { return new(big.Float).SetPrec(bits) }
	r := bigExp(number().Quo(number().SetInt64(1), number().Mul(number().SetFloat64(sigma), number().SetFloat64(sigma))), bits)
	row := make([]*big.Float, n+1)
	row[0] = number().SetInt64(1)
	power := number().SetInt64(1) // r^k
	for k := 1; k <= n; k++ {
		power = number().Mul(power, r)
		row[k] = number().Mul(row[k-1], power)
	}
	out := make([]float64, n+1)
	for j := range out { // row holds the differences of order j
		out[j] = bigLog(row[0])
		for k := 0; k < n-j; k++ {
			row[k].Sub(row[k+1], row[k])
		}
	}
	return out
}

// bigLog is log x, +Inf where x is not positive.
func bigLog(x *big.Float) float64 {
	if x.Sign() <= 0 {
		return math.Inf(1)
	}
	mantissa := new(big.Float)
	exponent := x.MantExp(mantissa)
	m, _ := mantissa.Float64()
	return math.Log(m) + float64(exponent)*math.Ln2
}

// bigExp is e^x for x >= 0 with about bits bits: x is halved until it is below 2^-16, summed, and
// squared back.
func bigExp(x *big.Float, bits uint) *big.Float {
	const small = 16
	halvings := max(0, x.MantExp(nil)+small)
	prec := bits + uint(halvings) + 16
	y := new(big.Float).SetPrec(prec).SetMantExp(x, -halvings)
	sum := new(big.Float).SetPrec(prec).SetInt64(1)
	term := new(big.Float).SetPrec(prec).SetInt64(1)
	for k := int64(1); ; k++ {
		term.Mul(term, y)
		term.Quo(term, new(big.Float).SetInt64(k))
		if term.Sign() == 0 || term.MantExp(nil) < -int(prec) {
			break
		}
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}
