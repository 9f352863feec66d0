package pld

import (
	"fmt"
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/dsp/fourier"
)

// A PRV is the answer of the accountant of Gopi, Lee and Wutschitz: two bounds and what lies
// between.
type PRV struct{ Lower, Estimate, Upper float64 }

// maxPRVPoints bounds the lattice: 2^23 points take about two seconds.
const maxPRVPoints = 1 << 23

// PRVErrors are what the lattice is made for: with probability 1-Delta the rounding errors of all steps add up
// to less than Epsilon. Reach is an upper bound of c's epsilon at Delta/4, for the lattice's width.
type PRVErrors struct{ Epsilon, Delta, Reach float64 }

// PRVEpsilon returns the epsilon of c at delta by privacy random variables (Gopi, Lee, Wutschitz 2021,
// "Numerical Composition of Differential Privacy", Algorithm 1 and Theorem 5.5): the loss is
// rounded to a lattice so that its mean stays, and a fast Fourier transform composes it modulo 2L;
//
//	h = epsError/sqrt(T/2 log(12/deltaError)),
//	Lower = eps(delta+deltaError) - epsError,  Upper = eps(delta-deltaError) + epsError.
//
// To deltaError is added what the transforms may round. It is here for comparison with the literature; Epsilon is
// tighter, faster and holds at any delta.
func (c Composition) PRVEpsilon(delta float64, e PRVErrors) (PRV, error) {
	l, err := c.prv(e)
	if err != nil || l == nil {
		return PRV{}, err
	}
	at := func(d float64) float64 {
		if !(d > 0) {
			return math.Inf(1)
		}
		return root(l.delta, e.Reach, d)
	}
	return PRV{Lower: math.Max(0, at(delta+l.lost)-e.Epsilon), Estimate: at(delta), Upper: at(delta-l.lost) + e.Epsilon}, nil
}

// PRVDelta returns the delta of c at epsilon by the same theorem:
//
//	Lower = delta(epsilon+epsError) - deltaError,  Upper = delta(epsilon-epsError) + deltaError.
func (c Composition) PRVDelta(epsilon float64, e PRVErrors) (PRV, error) {
	l, err := c.prv(e)
	if err != nil || l == nil {
		return PRV{}, err
	}
	return PRV{
		Lower:    math.Max(0, l.delta(epsilon+e.Epsilon)-l.lost),
		Estimate: math.Max(0, l.delta(epsilon)),
		Upper:    math.Min(1, l.delta(epsilon-e.Epsilon)+l.lost),
	}, nil
}

// prv composes c on a lattice; nil where there is nothing to compose.
func (c Composition) prv(e PRVErrors) (*prvLattice, error) {
	parts, steps := c.prvParts()
	if steps == 0 {
		return nil, nil
	}
	h := e.Epsilon / math.Sqrt(steps/2*math.Log(12/e.Delta))
	reach := e.Epsilon + 3 + math.Max(e.Reach, c.largestLoss(parts, e.Delta/(8*steps)))
	size := math.Exp2(math.Ceil(math.Log2(2 * reach / h)))
	if !(size <= maxPRVPoints) {
		return nil, fmt.Errorf("%w: prv needs %.3g lattice points for an error of %.3g in epsilon, at most %d are taken; use pld", ErrRange, size, e.Epsilon, maxPRVPoints)
	}
	l := &prvLattice{n: int(size), h: 2 * reach / size}
	l.compose(parts)
	l.lost = e.Delta + 0x1p-53*(steps/8+math.Log2(size)) // the second by rounding
	return l, nil
}

// A prvPart is a distribution of the loss with its count.
type prvPart struct {
	pairs []Component
	count float64
}

// prvParts lists the steps; the Gaussian ones are one step.
func (c Composition) prvParts() (parts []prvPart, steps float64) {
	for _, s := range c.Steps {
		parts = append(parts, prvPart{s.Components, s.Count})
		steps += s.Count
	}
	if c.GaussianMu2 > 0 {
		parts = append(parts, prvPart{[]Component{{1, Remove, 1, math.Sqrt(c.GaussianMu2)}}, 1})
		steps++
	}
	return parts, steps
}

// below is P(L <= l).
func (p prvPart) below(l float64) float64 {
	sum := 0.0
	for _, k := range p.pairs {
		q := pair{k.Kind, k.SampleRate, k.Shift}
		if l >= q.supremum() {
			sum += k.Weight
			continue
		}
		if x := q.inverse(l); k.Kind == Add {
			sum += k.Weight * tail1(-x)
		} else {
			sum += k.Weight * ((1-q.q)*tail1(-x) + q.q*tail1(q.s-x))
		}
	}
	return sum
}

// mean is E[L].
func (p prvPart) mean() float64 {
	sum := 0.0
	for _, k := range p.pairs {
		q := pair{k.Kind, k.SampleRate, k.Shift}
		n := quadrature(q, start, 9.25+q.s, exactStep)
		for i, l := range n.loss {
			sum += k.Weight * n.mass[i] * l
		}
	}
	return sum
}

// largestLoss is the loss that one step exceeds with at most this probability.
func (c Composition) largestLoss(parts []prvPart, tail float64) float64 {
	most := 0.0
	for _, p := range parts {
		for _, k := range p.pairs {
			q := pair{k.Kind, k.SampleRate, k.Shift}
			x := end(math.Log(tail)) + q.s
			if q.kind == Add {
				x -= q.s
			}
			most = math.Max(most, math.Max(q.loss(x), -q.loss(-end(math.Log(tail)))))
		}
	}
	return most
}

// A prvLattice has the points (i - n/2) h + shift with the masses of the composed loss.
type prvLattice struct {
	n     int
	h     float64
	mass  []float64
	shift float64 // undoes each part's rounding in the mean
	lost  float64 // error of delta
}

// compose fills in masses and shift.
func (l *prvLattice) compose(parts []prvPart) {
	fft := fourier.NewFFT(l.n)
	total := make([]complex128, l.n/2+1)
	for i := range total {
		total[i] = 1
	}
	p := make([]float64, l.n)
	for _, part := range parts {
		rounded := 0.0
		last := part.below((-float64(l.n/2) - 0.5) * l.h)
		for i := range p {
			next := part.below((float64(i-l.n/2) + 0.5) * l.h)
			p[i], last = next-last, next
			rounded += p[i] * float64(i-l.n/2) * l.h
		}
		l.shift += part.count * (part.mean() - rounded)
		// The lattice's point 0 has to be the array's first for a cyclic sum.
		f := fft.Coefficients(nil, append(append([]float64(nil), p[l.n/2:]...), p[:l.n/2]...))
		for i, v := range f {
			if part.count != 1 {
				v = cmplx.Exp(complex(part.count, 0) * cmplx.Log(v))
			}
			if !cmplx.IsNaN(v) { // else it was 0
				total[i] *= v
			} else {
				total[i] = 0
			}
		}
	}
	sum := fft.Sequence(nil, total)
	for i := range sum {
		sum[i] /= float64(l.n)
	}
	l.mass = append(append([]float64(nil), sum[l.n/2:]...), sum[:l.n/2]...)
}

// delta is the sum of (1-e^(epsilon-loss))_+ over the lattice.
func (l *prvLattice) delta(epsilon float64) float64 {
	sum := 0.0
	first := max(0, int((epsilon-l.shift)/l.h)+l.n/2)
	for i := l.n - 1; i >= first; i-- {
		if v := epsilon - l.shift - float64(i-l.n/2)*l.h; v < 0 {
			sum -= l.mass[i] * math.Expm1(v)
		}
	}
	return sum
}
