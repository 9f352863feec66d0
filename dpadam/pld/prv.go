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

// PRV returns the epsilon of c at delta by privacy random variables (Gopi, Lee, Wutschitz 2021,
// "Numerical Composition of Differential Privacy", Algorithm 1 and Theorem 5.5): the loss is
// rounded to a lattice so that its mean stays, a fast Fourier transform composes it modulo 2L, and
// with probability 1-deltaError the rounding errors of all steps add up to less than epsError:
//
//	h = epsError/sqrt(T/2 log(12/deltaError)),
//	Lower = eps(delta+deltaError) - epsError,  Upper = eps(delta-deltaError) + epsError.
//
// To deltaError is added what the transforms may round. It is here for comparison with the literature; Epsilon is
// tighter, faster and holds at any delta. guess is an upper bound of the
// epsilon at deltaError/4, for the lattice's width.
func (c Composition) PRV(delta, epsError, deltaError, guess float64) (PRV, error) {
	parts, steps := c.prvParts()
	if steps == 0 {
		return PRV{}, nil
	}
	h := epsError / math.Sqrt(steps/2*math.Log(12/deltaError))
	reach := epsError + 3 + math.Max(guess, c.largestLoss(parts, deltaError/(8*steps)))
	size := math.Exp2(math.Ceil(math.Log2(2 * reach / h)))
	if !(size <= maxPRVPoints) {
		return PRV{}, fmt.Errorf("%w: prv needs %.3g lattice points for an error of %.3g in epsilon, at most %d are taken; use pld", ErrRange, size, epsError, maxPRVPoints)
	}
	l := prvLattice{n: int(size), h: 2 * reach / size}
	mass, shift := l.compose(parts)
	lost := deltaError + 0x1p-53*(steps/8+math.Log2(size)) // of delta; the second by rounding
	at := func(d float64) float64 {
		if !(d > 0) {
			return math.Inf(1)
		}
		return root(func(e float64) float64 { return l.delta(mass, shift, e) }, guess, d)
	}
	return PRV{Lower: math.Max(0, at(delta+lost)-epsError), Estimate: at(delta), Upper: at(delta-lost) + epsError}, nil
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

// A prvLattice has the points (i - n/2) h.
type prvLattice struct {
	n int
	h float64
}

// compose returns the masses of the composed loss and by how much its points are moved: each part's
// rounding is undone in the mean.
func (l prvLattice) compose(parts []prvPart) (mass []float64, shift float64) {
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
		shift += part.count * (part.mean() - rounded)
		// The lattice's point 0 has to be the array's first for a cyclic sum.
		f := fft.Coefficients(nil, append(append([]float64(nil), p[l.n/2:]...), p[:l.n/2]...))
		for i, v := range f {
			if part.count != 1 {
				v = cmplx.Exp(complex(part.count, 0) * cmplx.Log(v))
			}
			if v == v { // log of 0
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
	return append(append([]float64(nil), sum[l.n/2:]...), sum[:l.n/2]...), shift
}

// delta is the sum of (1-e^(epsilon-loss))_+ over the lattice.
func (l prvLattice) delta(mass []float64, shift, epsilon float64) float64 {
	sum := 0.0
	first := max(0, int((epsilon-shift)/l.h)+l.n/2)
	for i := l.n - 1; i >= first; i-- {
		if v := epsilon - shift - float64(i-l.n/2)*l.h; v < 0 {
			sum -= mass[i] * math.Expm1(v)
		}
	}
	return sum
}
