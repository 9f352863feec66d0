package pld

import (
	"math"
	"math/cmplx"
)

// A contour holds the integrand's values at c + iy_k, y_k = 2 pi k/W, k = 0, 1, ...,
// without the factor e^(-epsilon t), so that any epsilon nearby costs one sum:
//
//	delta(epsilon) ~ e^(K(c)-c epsilon)/W * (g_0 + 2 Re sum_k g_k e^(-i y_k epsilon)),
//	g_k = M(c+iy_k)/M(c) / (t(t+1)).
type contour struct {
	c, k, mean float64 // tilt, K(c), tilted mean of the loss: g_k is stored without e^(i y_k mean)
	spacing    float64 // 2 pi/W
	g          []complex128
	rounding   float64 // bound of the error of the sum, in units of its prefactor
	cut        float64 // bound of what is cut off, likewise
	blur       float64 // bound of the relative error of e^K
	infinite   float64
}

// window returns W. The terms of m >= 1 are at most, for every c' > c and by Chernoff,
//
//	e^(cW) e^(K(c')-c'(epsilon+W)),
//
// those of m <= -1 at most e^(-cW) e^(K(c”)-c”(epsilon-W)) for every 0 <= c” < c. The
// smallest W over some c' and c” that keeps both below alias is taken; terms of larger |m| are
// smaller still.
func (s *spectrum) window(c, epsilon, alias float64) float64 {
	goal := math.Log(alias)
	right, left := math.Inf(1), math.Inf(1)
	for _, f := range []float64{1.07, 1.2, 1.5, 2.2, 4, 12} {
		k, _, _ := s.cumulant(c * f)
		right = math.Min(right, (k-c*f*epsilon-goal)/(c*f-c))
	}
	for _, f := range []float64{0, 0.25, 0.5, 0.7, 0.85, 0.94} {
		k := 0.0
		if f > 0 {
			k, _, _ = s.cumulant(c * f)
		}
		left = math.Min(left, (k-c*f*epsilon-goal)/(c-c*f))
	}
	return math.Max(right, left)
}

// restart is the number of frequencies between exact phases; in between a phase is a product.
const restart = 32

// A wheel turns the tilted distribution of one term from frequency to frequency. It holds
//
//	z_j = m_j (e^(iy o_j) - 1),   sum_j z_j = M(c+iy)/M(c) - 1 up to the phase of the mean,
//
// m_j the tilted mass, o_j the loss less its tilted mean. Where a million steps move the loss by
// a hair each, z_j is as small as they are, and so are its errors; the phases themselves would
// have errors of 2^-53 a step.
type wheel struct {
	count          float64
	offset, mass   []float64
	re, im, dr, di []float64 // z and e^(i spacing o) - 1
	shake          float64   // bound of |z|'s error in units of 2^-53, at the present stretch
	loose          float64   // tilted mass left out
}

// newWheel tilts n. Nodes that together have less than 1e-18 of the tilted mass are left out.
func newWheel(t *term, c, spacing float64) (w wheel) {
	k, mean, _ := t.cumulant(c)
	w.count = t.count
	least := 1e-18 / float64(len(t.loss))
	for i, l := range t.loss {
		m := math.Exp(c*l + t.logMass[i] - k)
		if m < least {
			w.loose += m
			continue
		}
		w.offset, w.mass = append(w.offset, l-mean), append(w.mass, m)
	}
	n := len(w.mass)
	all := make([]float64, 4*n)
	w.re, w.im, w.dr, w.di = all[:n:n], all[n:2*n:2*n], all[2*n:3*n:3*n], all[3*n:]
	for i, o := range w.offset {
		w.dr[i], w.di[i] = turned(spacing * o)
	}
	return w
}

// turned returns e^(ix) - 1 = -2 sin^2(x/2) + i sin x, both parts with a small relative error.
func turned(x float64) (re, im float64) {
	s, c := math.Sincos(x / 2)
	return -2 * s * s, 2 * s * c
}

// set turns the wheel to frequency y and bounds the errors of the stretch that follows. A node's
// error is at most |z| times: 80 units for its tilted mass (an exponential of an argument below
// 60) and 12 a turn; 16 sums add n/16 units; and |z| <= m min(2, y|o|).
func (w *wheel) set(y, spacing float64) {
	size, end := 0.0, y+restart*spacing
	for i, o := range w.offset {
		r, j := turned(y * o)
		w.re[i], w.im[i] = w.mass[i]*r, w.mass[i]*j
		size += w.mass[i] * math.Min(2, end*math.Abs(o))
	}
	w.shake = size * (float64(len(w.re))/8 + 12*restart + 80)
}

// sum returns sum_j z_j at the present frequency and turns on to the next:
// z' = z + (z+m)(e^(i spacing o) - 1).
func (w *wheel) sum() complex128 {
	n := len(w.re)
	re, im, dr, di, mass := w.re, w.im[:n], w.dr[:n], w.di[:n], w.mass[:n]
	var a, b [4]float64
	i := 0
	for ; i+4 <= n; i += 4 {
		for j := range 4 {
			x, y := re[i+j], im[i+j]
			a[j] += x
			b[j] += y
			v := x + mass[i+j]
			re[i+j] = x + (v*dr[i+j] - y*di[i+j])
			im[i+j] = y + (v*di[i+j] + y*dr[i+j])
		}
	}
	for ; i < n; i++ {
		x, y := re[i], im[i]
		a[0] += x
		b[0] += y
		v := x + mass[i]
		re[i] = x + (v*dr[i] - y*di[i])
		im[i] = y + (v*di[i] + y*dr[i])
	}
	return complex((a[0]+a[1])+(a[2]+a[3]), (b[0]+b[1])+(b[2]+b[3]))
}

// slip bounds the error of sum.
func (w *wheel) slip() float64 { return 0x1p-53*w.shake + w.loose }

// logOnePlus returns log(1+z), accurate for small z.
func logOnePlus(z complex128) complex128 {
	x, y := real(z), imag(z)
	if excess := x*(2+x) + y*y; excess > -0.5 { // |1+z|^2 - 1
		return complex(0.5*math.Log1p(excess), math.Atan2(y, 1+x))
	}
	return complex(math.Log(math.Hypot(1+x, y)), math.Atan2(y, 1+x))
}

// trace evaluates the integrand at frequencies 0, 1, ..., until stop says enough.
func (s *spectrum) trace(c, window float64, stop func(k int, y, size float64) bool) *contour {
	ct := &contour{c: c, spacing: 2 * math.Pi / window, infinite: s.infinite()}
	ct.k, ct.mean, _ = s.cumulant(c)
	wheels := make([]wheel, len(s.terms))
	for i := range s.terms {
		wheels[i] = newWheel(&s.terms[i], c, ct.spacing)
		ct.blur += wheels[i].count * (0x1p-53*(float64(len(s.terms[i].loss))+100) + wheels[i].loose)
	}
	for k := 0; ; k++ {
		y := float64(k) * ct.spacing
		if k%restart == 0 {
			for i := range wheels {
				wheels[i].set(y, ct.spacing)
			}
		}
		g, err := integrand(wheels, s.mu2, complex(c, y))
		ct.g = append(ct.g, g)
		ct.rounding += 2 * err
		if stop(k, y, cmplx.Abs(g)) {
			return ct
		}
	}
}

// integrand returns M(t)/M(c)/(t(t+1)) at the wheels' frequency and a bound of its error: with
// |phi - phi^| <= e for one step's transform, |phi^T - phi^^T| <= T e (|phi^|+e)^(T-1); to
// which come the rounding of the logarithm, and later that of its phase.
func integrand(wheels []wheel, mu2 float64, t complex128) (g complex128, err float64) {
	y := imag(t)
	log := complex(-mu2*y*y/2, 0)
	bound, slip := real(log), 0.0
	for i := range wheels {
		w := &wheels[i]
		z := w.sum()
		e := w.slip()
		size := cmplx.Abs(1+z) + e
		log += complex(w.count, 0) * logOnePlus(z)
		bound += w.count * math.Log(size)
		slip += w.count * e / size
	}
	weight := 1 / (t * (t + 1))
	if real(log) > -700 { // else it is 0, or not a number
		g = cmplx.Exp(log) * weight
		slip += 0x1p-52 * (16 + math.Abs(real(log)) + math.Abs(imag(log)) + 2*restart)
	}
	return g, slip * math.Exp(bound) * cmplx.Abs(weight)
}

// delta returns the trapezoid sum at epsilon, without the bounds of its errors.
func (ct *contour) delta(epsilon float64) float64 {
	shift := ct.mean - epsilon
	turn := cmplx.Rect(1, ct.spacing*shift)
	phase, sum := complex(1, 0), real(ct.g[0])
	for k, g := range ct.g[1:] {
		if (k+1)%restart == 0 {
			phase = cmplx.Rect(1, ct.spacing*float64(k+1)*shift)
		} else {
			phase *= turn
		}
		sum += 2 * (real(g)*real(phase) - imag(g)*imag(phase))
	}
	return ct.prefactor(epsilon) * sum
}

// total is delta with the mass at +Inf.
func (ct *contour) total(epsilon float64) float64 { return ct.delta(epsilon) + ct.infinite }

// density returns the density of the composition's loss at e, smoothed over a width h: the same
// integral without 1/(t(t+1)).
func (ct *contour) density(e, h float64) float64 {
	return ct.smoothed(e, h, func(t complex128) complex128 { return t * (t + 1) })
}

// fall returns -delta'(e), smoothed over a width h: the same integral without 1/t.
func (ct *contour) fall(e, h float64) float64 {
	return ct.smoothed(e, h, func(t complex128) complex128 { return t })
}

func (ct *contour) smoothed(e, h float64, factor func(t complex128) complex128) float64 {
	sum := real(ct.g[0] * factor(complex(ct.c, 0)))
	for k, g := range ct.g[1:] {
		y := float64(k+1) * ct.spacing
		if h*y > 7 {
			break
		}
		phase := cmplx.Rect(math.Exp(-h*h*y*y/2), y*(ct.mean-e))
		sum += 2 * real(g*factor(complex(ct.c, y))*phase)
	}
	return ct.prefactor(e) * sum
}

// prefactor is e^(K(c)-c epsilon)/W.
func (ct *contour) prefactor(epsilon float64) float64 {
	return math.Exp(ct.k-ct.c*epsilon) * ct.spacing / (2 * math.Pi)
}

// upper returns the rigorous bound of delta at epsilon.
func (ct *contour) upper(epsilon float64) float64 {
	blur := ct.blur + 0x1p-50*(1+math.Abs(ct.k)+ct.c*epsilon)
	return (ct.delta(epsilon)+ct.prefactor(epsilon)*(ct.rounding+ct.cut))*(1+2*blur) + ct.infinite
}
