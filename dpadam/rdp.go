package dpadam

import (
	"fmt"
	"math"
	"sync"
)

// RDP is the accountant by Renyi differential privacy of the Poisson-subsampled
// Gaussian (Mironov, Talwar, Zhang 2019, "Renyi Differential Privacy of the Sampled
// Gaussian Mechanism"). Its bound is rigorous at every order: sums whose remainder
// is bounded, quadrature whose error is bounded, and everything rounded up.
//
// It caches the divergences of every mechanism it has seen, so that the cost of
// asking again for another number of steps is negligible.
type RDP struct {
	mu     sync.Mutex
	curves map[curveKey]*rdpCurve
}

// NewRDP returns an RDP accountant with an empty cache.
func NewRDP() *RDP { return &RDP{curves: map[curveKey]*rdpCurve{}} }

// Name returns "rdp".
func (*RDP) Name() string { return "rdp" }

type rdpKey struct {
	q, sigma float64
	relation Relation
}

// curveKey names a curve; mechanisms are comparable values.
type curveKey struct {
	mechanism Mechanism
	relation  Relation
}

// rdpCurve holds log A_alpha = (alpha-1)*D_alpha of one mechanism by index of the order;
// NaN where it has not been asked for.
type rdpCurve struct {
	key  curveKey
	logA []float64
}

// maxCurves bounds the cache; a calibration visits some fifty mechanisms.
const maxCurves = 256

// rdpOrders is the grid of orders, ascending: close to 1 for large epsilon, steps of 0.1
// and of 1 where most runs have their best order (the grids of Opacus and of
// dp_accounting are subsets), then a geometric grid with the powers of two, for large
// sigma and small epsilon. Every order gives a valid bound.
var rdpOrders = makeOrders()

func makeOrders() []float64 {
	orders := []float64{1.001, 1.002, 1.005, 1.01, 1.02, 1.035, 1.05, 1.075}
	for i := 11; i <= 109; i++ {
		orders = append(orders, float64(i)/10)
	}
	for i := 11; i <= 63; i++ {
		orders = append(orders, float64(i))
	}
	for p := 64.0; p < 1<<20; p *= 2 {
		for k := range 10 { // ten a factor of two
			orders = append(orders, math.Round(p*math.Exp2(float64(k)/10)))
		}
	}
	return orders
}

// Epsilon returns the smallest epsilon over the orders, by
//
//	epsilon = r + log(1 - 1/alpha) - log(delta*alpha)/(alpha-1),  r = sum_i T_i D_alpha(i)
//
// (Canonne, Kamath, Steinke 2020, Proposition 12), clamped at 0. Estimate is the
// bound itself; Lower is the best of the single-statistic bounds of lower.go.
func (a *RDP) Epsilon(c Composition, delta float64) (Result, error) {
	events, err := a.events(c)
	if err != nil {
		return Result{}, err
	}
	if err := checkDelta(delta); err != nil {
		return Result{}, err
	}
	res := Result{Delta: delta, Accountant: a.Name()}
	if len(events) == 0 { // nothing depends on the data
		return res, nil
	}
	best, order := a.best(events, delta)
	if math.IsInf(best, 1) || math.IsNaN(best) {
		return Result{}, errNoFinite
	}
	res.Epsilon, res.Order = best, order
	res.Estimate = res.Epsilon
	res.Lower = math.Min(lowerEpsilon(c, delta), res.Epsilon)
	return res, nil
}

// errNoFinite marks a composition without a finite bound.
var errNoFinite = fmt.Errorf("%w: no finite epsilon: the noise is too small for this many steps", ErrInvalid)

// upperEpsilon is Epsilon without the lower bound; +Inf where no order gives a finite one.
func (a *RDP) upperEpsilon(c Composition, delta float64) (float64, error) {
	events, err := a.events(c)
	if err != nil {
		return 0, err
	}
	if err := checkDelta(delta); err != nil {
		return 0, err
	}
	if len(events) == 0 {
		return 0, nil
	}
	best, _ := a.best(events, delta)
	return best, nil
}

// patience is the number of successive orders without improvement after which the search
// ends; the bound as a function of the order falls to one minimum and rises.
const patience = 40

// best returns the smallest bound over the orders, rounded up, and its order.
func (a *RDP) best(events []weightedCurve, delta float64) (epsilon, order float64) {
	best := math.Inf(1)
	worse := 0 // orders since the last improvement
	for k, alpha := range rdpOrders {
		r := a.total(events, k) / (alpha - 1)
		// Divergences do not decrease with the order. Once r alone exceeds the best
		// bound only the last term could help, and it is positive until alpha > 1/delta.
		if r+math.Log1p(-1/alpha) > best && alpha < 1/delta {
			break
		}
		eps := r + math.Log1p(-1/alpha) - math.Log(delta*alpha)/(alpha-1)
		if worse++; eps < best || math.IsInf(best, 1) {
			best, order, worse = eps, alpha, 0
		}
		if worse > patience {
			break // far past the minimum; every order that was tried is valid alone
		}
	}
	if best <= 0 {
		return 0, order
	}
	return roundUp(best), order
}

// Delta returns the smallest delta over the orders, by the same proposition:
//
//	log delta = (alpha-1)*(r + log(1-1/alpha) - epsilon) - log(alpha), at most 0.
func (a *RDP) Delta(c Composition, epsilon float64) (Result, error) {
	events, err := a.events(c)
	if err != nil {
		return Result{}, err
	}
	if !(epsilon >= 0) || math.IsInf(epsilon, 0) {
		return Result{}, invalid("epsilon", epsilon, "must be a finite number >= 0")
	}
	res := Result{Epsilon: epsilon, Estimate: epsilon, Accountant: a.Name()}
	if len(events) == 0 {
		return res, nil
	}
	best := 0.0
	for k, alpha := range rdpOrders {
		logA := a.total(events, k)
		logDelta := logA + (alpha-1)*(math.Log1p(-1/alpha)-epsilon) - math.Log(alpha)
		if logDelta < best {
			best, res.Order = logDelta, alpha
		}
		if logA/(alpha-1)+math.Log1p(-1/alpha) > epsilon && alpha > 64 {
			break // from here on the exponent is positive
		}
	}
	// exp turns an absolute error of the logarithm into a relative one.
	res.Delta = math.Min(1, math.Exp(best)*(1+1e-12*(1-best))+math.SmallestNonzeroFloat64)
	return res, nil
}

// events validates c and returns the events that can depend on the data.
func (a *RDP) events(c Composition) ([]weightedCurve, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var out []weightedCurve
	for _, e := range c.Events {
		if err := supportedByRDP(e.Mechanism, c.Relation); err != nil {
			return nil, err
		}
		if e.Count == 0 || neverSampled(e.Mechanism) {
			continue
		}
		out = append(out, weightedCurve{a.curve(curveKey{e.Mechanism, c.Relation}), float64(e.Count)})
	}
	return out, nil
}

// supportedByRDP says for which mechanisms and relations mechanismMoment has a proof.
func supportedByRDP(m Mechanism, relation Relation) error {
	switch m := m.(type) {
	case PoissonSubsampledGaussian:
		return nil
	case TruncatedPoissonGaussian:
		if relation == AddRemove {
			return nil
		}
		return fmt.Errorf("%w: rdp and truncated Poisson sampling under %s", ErrUnsupported, relation)
	case WithoutReplacementGaussian:
		if relation == ReplaceOne {
			return nil
		}
		return fmt.Errorf("%w: sampling without replacement has no %s guarantee: a batch of fixed size tells the number of records; ask for replace-one",
			ErrUnsupported, relation)
	default:
		return fmt.Errorf("%w: rdp and %T", ErrUnsupported, m)
	}
}

// neverSampled reports a mechanism that does not read the data.
func neverSampled(m Mechanism) bool {
	switch m := m.(type) {
	case PoissonSubsampledGaussian:
		return m.SampleRate == 0
	case TruncatedPoissonGaussian:
		return m.SampleRate == 0
	}
	return false
}

type weightedCurve struct {
	curve *rdpCurve
	count float64
}

func (a *RDP) curve(key curveKey) *rdpCurve {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.curves[key]; ok {
		return c
	}
	if len(a.curves) >= maxCurves {
		clear(a.curves)
	}
	c := &rdpCurve{key: key, logA: make([]float64, len(rdpOrders))}
	for i := range c.logA {
		c.logA[i] = math.NaN()
	}
	a.curves[key] = c
	return c
}

// total returns sum_i count_i * log A_alpha(i) for order k: RDP composes by addition
// (Mironov 2017, Proposition 1).
func (a *RDP) total(events []weightedCurve, k int) float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := 0.0
	for _, e := range events {
		if math.IsNaN(e.curve.logA[k]) {
			e.curve.logA[k] = mechanismMoment(e.curve.key.mechanism, e.curve.key.relation, rdpOrders[k])
		}
		sum += e.count * e.curve.logA[k]
	}
	return sum
}

// mechanismMoment returns an upper bound of log A_alpha = (alpha-1)*D_alpha of one use of m.
func mechanismMoment(m Mechanism, relation Relation, alpha float64) float64 {
	switch m := m.(type) {
	case PoissonSubsampledGaussian:
		return logMoment(rdpKey{m.SampleRate, m.NoiseMultiplier, relation}, alpha)
	case TruncatedPoissonGaussian: // a mixture of which the part is known: moments add up
		p, c := m.truncation()
		plain := logMoment(rdpKey{m.SampleRate, m.NoiseMultiplier, relation}, alpha)
		if p == 0 || c == 0 {
			return plain
		}
		full := logMoment(rdpKey{c, m.NoiseMultiplier / 2, relation}, alpha)
		return roundUp(logAdd(plain+math.Log1p(-p*(1-4e-9)), full+math.Log(p)))
	case WithoutReplacementGaussian:
		return logMomentWithoutReplacement(float64(m.Batch)/float64(m.Records), m.NoiseMultiplier/2, alpha)
	}
	return math.Inf(1)
}

// logAdd is log(e^a + e^b).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, -1) || math.IsInf(a, 1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// logMoment returns an upper bound of log A_alpha = (alpha-1)*D_alpha of one step, by
// the method that is proven and cheap for that order; +Inf if none is.
func logMoment(key rdpKey, alpha float64) float64 {
	q, sigma := key.q, key.sigma
	if q == 1 {
		return roundUp(logMomentGaussian(sigma, alpha, key.relation))
	}
	if key.relation == ReplaceOne {
		if v, ok := logMomentQuadrature(q, sigma, alpha, ReplaceOne); ok {
			return v
		}
		return logMomentConvex(q, sigma, alpha)
	}
	integer := alpha == math.Trunc(alpha)
	if integer && alpha <= 512 {
		return logMomentInteger(q, sigma, int(alpha))
	}
	if v, ok := logMomentQuadrature(q, sigma, alpha, AddRemove); ok {
		return v
	}
	if integer {
		if alpha <= 8192 {
			return logMomentInteger(q, sigma, int(alpha))
		}
		return math.Inf(1)
	}
	if v, ok := logMomentSeries(q, sigma, alpha); ok {
		return v
	}
	return logMomentChord(q, sigma, alpha)
}

// logMomentGaussian is the Gaussian mechanism without sampling:
//
//	log A = alpha*(alpha-1)*s^2/(2 sigma^2),  s = 1 (add-remove) or 2 (replace-one).
func logMomentGaussian(sigma, alpha float64, relation Relation) float64 {
	s := 1.0
	if relation == ReplaceOne {
		s = 2
	}
	return alpha * (alpha - 1) / 2 * (s / sigma) * (s / sigma)
}

// logMomentConvex bounds replace-one for tiny sigma, where the quadrature would need too
// many points: P^alpha Q^(1-alpha) is jointly convex, P = (1-q)N(0)+qN(1) and
// Q = (1-q)N(0)+qN(-1) are mixtures with the same weights, so
//
//	A <= 1-q + q*exp(2 alpha (alpha-1)/sigma^2).
func logMomentConvex(q, sigma, alpha float64) float64 {
	e := logMomentGaussian(sigma, alpha, ReplaceOne)
	if e > 500 {
		return roundUp(e + math.Log(q) + (1/q)*math.Exp(-e) + 1e-12)
	}
	return roundUp(math.Log1p(q*math.Expm1(e)) * (1 + 1e-12))
}

// logMomentChord bounds a fractional order by its integer neighbours: log A_alpha is convex
// in alpha and 0 at alpha = 1.
func logMomentChord(q, sigma, alpha float64) float64 {
	lo := math.Floor(alpha)
	at := func(a float64) float64 {
		if a <= 1 {
			return 0
		}
		return logMomentInteger(q, sigma, int(a))
	}
	t := alpha - lo
	return roundUp((1-t)*at(lo) + t*at(lo+1))
}
