package dpadam

import "math"

// The work for one order is bounded: below sigma of about 0.1 the series of rdp_series.go
// is the cheaper one under add-remove. Replace-one has no series.
const (
	maxPointsAddRemove  = 6000
	maxPointsReplaceOne = 20000 // up to order 1024
)

// logMomentQuadrature returns an upper bound of log A_alpha by the trapezoid rule on the
// real line. With phi the density of N(0, sigma^2) and, for q < 1,
//
//	1+u = (1-q) + q e^{(2x-1)/2sigma^2}      ratio of the mixture with N(+1) to N(0)
//	1+w = (1-q) + q e^{(-2x-1)/2sigma^2}     ratio of the mixture with N(-1); w = 0 for add-remove
//
// and E[u] = E[w] = 0,
//
//	A - 1 = E_phi[ (1+u)^alpha (1+w)^(1-alpha) - 1 - alpha*u - (1-alpha)*w ].
//
// The integrand is the distance of a convex function from its tangent plane: it is
// nowhere negative, so nothing cancels when A is close to 1. For add-remove this is
// D_alpha(mixture || N(0)), the larger of the two directions (Mironov, Talwar, Zhang
// 2019, Theorem 5).
//
// Replace-one. The pair is P = (1-q)N(0)+qN(g), Q = (1-q)N(0)+qN(g') with |g|,|g'| <= 1.
// The worst case is g = -g' = a unit vector: write a, b for the log ratios of N(g), N(g')
// to N(0), jointly normal under N(0) with variances |g|^2, |g'|^2 and covariance <g,g'>
// (over sigma^2), and F = f(e^a) h(e^b), f = ((1-q)+qL)^alpha, h = ((1-q)+qL)^(1-alpha).
// By Price's theorem dE[F]/dcov = E[L L' f'h'] <= 0 as f rises and h falls, so the
// covariance is least, anti-parallel; and dE[F]/d|g|^2 has the parts E[L^2 f”h]/2 >= 0
// and, through the covariance -|g||g'|, -E[L L' f'h'] >= 0; likewise for g' as h is convex.
// The pair is its own mirror image, so both directions are equal.
//
// Error of the rule (Trefethen, Weideman 2014, Theorem 5.1): the integrand F is analytic
// in |Im x| < pi*sigma^2, and on |Im x| = a
//
//	int |F| <= e^{a^2/2sigma^2} (c*A + 2 + b),   error <= 2 e^{a^2/2sigma^2} (c*A + 2 + b)/(e^{2 pi a/h} - 1),
//
// with c = 1, b = 2 alpha q for add-remove. For replace-one a <= pi*sigma^2/2, where
// |1+w(x+ia)| >= (1+w(x))/sqrt 2, so c = 2^{(alpha-1)/2} and b = 2 q (2 alpha - 1). The
// error, the omitted tails and rounding are added. ok is false when that would
// take too many points.
func logMomentQuadrature(q, sigma, alpha float64, relation Relation) (value float64, ok bool) {
	in := integrand{q: q, sigma: sigma, alpha: alpha, replace: relation == ReplaceOne,
		logQ: math.Log(q), logP: math.Log1p(-q)}
	// log(A-1) is not known before the sum; start from its size at alpha = 2 and
	// tighten until the error is small against the result.
	guess := 2*in.logQ - 2*math.Log(math.Max(sigma, 1)) + math.Log(alpha*(alpha-1)) - 2
	for try := 0; try < 4; try++ {
		digits := 34 - math.Min(guess, 0) + 40*float64(try)
		rule, fits := in.rule(digits)
		if !fits {
			return 0, false
		}
		sum := in.sum(rule)
		bound, tight := in.close(rule, sum)
		if tight {
			return log1pExpUp(bound), true
		}
	}
	return 0, false
}

// trapezoid is one rule: points lo, lo+h, ..., below hi+h, and the half width a of the strip.
type trapezoid struct{ lo, hi, h, a float64 }

type integrand struct {
	q, sigma, alpha, logQ, logP float64
	replace                     bool
}

// logGrowth is log c, the growth of |P^alpha Q^(1-alpha)| inside the strip.
func (in integrand) logGrowth() float64 {
	if in.replace {
		return (in.alpha - 1) / 2 * math.Ln2
	}
	return 0
}

// rule chooses the step and the range so that the discretisation error and the tails are
// below e^-digits.
func (in integrand) rule(digits float64) (trapezoid, bool) {
	s, al := in.sigma, in.alpha
	d := digits + in.logGrowth() + math.Log(4+4*al)
	strip := 0.95 * math.Pi * s * s
	if in.replace {
		strip /= 2
	}
	a := math.Min(strip, s*math.Sqrt(2*d))
	h := 2 * math.Pi * a / (d + a*a/2/s/s)
	t := digits + al*math.Ln2 + math.Log(4+4*al)
	if in.replace {
		t -= (al - 1) * in.logP
	}
	k := s * math.Sqrt(2*t)
	r := trapezoid{lo: -k, hi: al + k, h: h, a: a}
	if in.replace {
		r.lo--
	}
	limit := maxPointsAddRemove
	if in.replace && al <= 1024 {
		limit = maxPointsReplaceOne
	}
	return r, (r.hi-r.lo)/h <= float64(limit)
}

// sum returns the logarithm of the trapezoid sum.
func (in integrand) sum(r trapezoid) float64 {
	n := int((r.hi-r.lo)/r.h) + 1
	sum := newLogSum()
	for i := 0; i <= n; i++ {
		x := r.lo + float64(i)*r.h
		z := x / in.sigma
		sum.add(in.log(x) - z*z/2)
	}
	const halfLog2Pi = 0.91893853320467274178032973640562
	return sum.value() + math.Log(r.h/in.sigma) - halfLog2Pi
}

// close adds every error to the sum S: with kappa = 2 e^{a^2/2sigma^2}/(e^{2 pi a/h}-1),
//
//	A-1 <= (S + tails + kappa*(c + 2 + b)) / (1 - kappa*c).
func (in integrand) close(r trapezoid, sum float64) (bound float64, tight bool) {
	s := in.sigma
	logKappa := math.Ln2 + r.a*r.a/2/s/s - 2*math.Pi*r.a/r.h + 1e-12
	growth := in.logGrowth()
	kc := math.Exp(logKappa + growth)
	if kc > 1e-10 {
		return 0, false
	}
	b := 2 * in.q * in.alpha
	if in.replace {
		b = 2 * in.q * (2*in.alpha - 1)
	}
	extra := newLogSum()
	extra.add(logKappa + math.Log(math.Exp(growth)+2+b))
	in.addTails(r, &extra)
	if extra.value() > sum-23 { // e^-23 = 1e-10
		return 0, false
	}
	total := newLogSum()
	total.add(sum)
	total.add(extra.value())
	// Rounding: the exponents are of size at most z^2/2, alpha*log(1+u) and their
	// difference is what matters; near alpha = 1 the tangent plane cancels to alpha-1.
	z := math.Max(-r.lo, r.hi) / s
	size := z*z + in.alpha*(math.Abs(in.logQ)+math.Abs(in.logP)+in.alpha/s/s) + 8/(in.alpha-1)
	return total.value() - math.Log1p(-kc) + 0x1p-49*size + 1e-13, true
}

// addTails adds bounds of the parts of the infinite sum that were left out. On the right
// 1+u <= 2 max(1, q e^{(2x-1)/2sigma^2}) and (1+w)^(1-alpha) <= (1-q)^(1-alpha); on the left
// the integrand is at most alpha*q + (alpha-1)*w with w <= q e^{(-2x-1)/2sigma^2}. Each sum is
// at most the integral from one step further in.
func (in integrand) addTails(r trapezoid, extra *logSum) {
	s, al := in.sigma, in.alpha
	right := al * math.Ln2
	if in.replace {
		right -= (al - 1) * in.logP
	}
	hi, lo := r.hi-r.h, -r.lo-r.h
	extra.add(right + logNormalCDF(-hi/s))
	extra.add(right + al*in.logQ + al*(al-1)/2/s/s + logNormalCDF(-(hi-al)/s))
	extra.add(math.Log(al) + in.logQ + logNormalCDF(-lo/s))
	if in.replace {
		extra.add(math.Log(al) + in.logQ + logNormalCDF(-(lo-1)/s))
	}
}

// log returns the logarithm of (1+u)^alpha (1+w)^(1-alpha) - 1 - alpha*u - (1-alpha)*w at x.
func (in integrand) log(x float64) float64 {
	al := in.alpha
	u, lu := in.ratio((2*x - 1) / 2 / in.sigma / in.sigma)
	w, lw := 0.0, 0.0
	if in.replace {
		w, lw = in.ratio((-2*x - 1) / 2 / in.sigma / in.sigma)
	}
	e := al*lu - (al-1)*lw
	if m := math.Max(e, math.Max(lu, lw)); m > 1 {
		// e^e - alpha(1+u) + (alpha-1)(1+w), scaled by e^-m.
		v := math.Exp(e-m) - al*math.Exp(lu-m) + (al-1)*math.Exp(lw-m)
		return m + math.Log(math.Max(v, 0))
	}
	// (e^E - 1 - E) + alpha(log(1+u) - u) - (alpha-1)(log(1+w) - w): every part is of
	// second order.
	v := expm1mx(e) + al*log1pmx(u) - (al-1)*log1pmx(w)
	return math.Log(math.Max(v, 0))
}

// ratio returns u = q*(e^t - 1) and log(1+u); u is +Inf where it overflows.
func (in integrand) ratio(t float64) (u, logRatio float64) {
	u = in.q * math.Expm1(t)
	if t > 30 {
		return u, in.logQ + t + math.Log1p(math.Exp(in.logP-in.logQ-t))
	}
	return u, math.Log1p(u)
}

// expm1mx returns e^x - 1 - x without cancellation.
func expm1mx(x float64) float64 {
	if math.Abs(x) > 0.05 {
		return math.Expm1(x) - x
	}
	sum, term := 0.0, x
	for k := 2.0; k <= 11; k++ {
		term *= x / k
		sum += term
	}
	return sum
}

// log1pmx returns log(1+x) - x without cancellation.
func log1pmx(x float64) float64 {
	if math.Abs(x) > 0.05 {
		return math.Log1p(x) - x
	}
	sum, power := 0.0, x
	for k := 2.0; k <= 13; k++ {
		power *= -x
		sum += power / k
	}
	return sum
}
