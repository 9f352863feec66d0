package dpadam

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// gaussian draws Z = round(G), G ~ N(0, s^2), for an integer s, exactly.
//
// It is a ziggurat (Marsaglia, Tsang 2000) whose every part is an integer or a rational,
// so that each region is chosen with exactly its area. Lengths are in half lattice units:
// X = |2G| has the density proportional to f(x) = exp(-x^2/2S^2), S = 2s, and with
// t = floor(X), Z = sign * floor((t+1)/2) is |G| rounded to nearest.
//
// The graph of f is covered by 256 regions of exactly equal area v = y_0*W_0:
//
//	region 0:  [0, r) x [0, y_0], and right of r a staircase of steps k = 0, 1, ...
//	           [r+kw, r+(k+1)w) x [0, y_0 2^-k], whose area is 2w*y_0; W_0 = r + 2w
//	region i:  [0, W_i) x [y_{i-1}, y_i],  y_i = y_{i-1} + v/W_i
//
// with integers r, w, W_i. The cover is checked when the table is made (gauss_table.go).
// A point uniform in the cover is drawn, and kept if it lies under f; its abscissa then has
// exactly the density wanted (rejection sampling, von Neumann 1951):
//
//	region  8 bits, sign 1 bit, t uniform on [0, W_i) from 55 bits by Lemire's method
//	        (2019, exact), t < I_i means that the whole cell lies under f: keep (98.8 %)
//	else    draw the ordinate y and the fraction of X, compare y with f(X).
//
// The comparison uses float64 when the gap is wider than any rounding error, else 693 bits of
// V and of the fraction and 768-bit arithmetic, which decides wrongly with a probability below
// 2^-680; the staircase is cut after 640 steps, which has probability 2^-641. Nothing else is
// approximate: the total variation distance to round(G) is below 2^-600 a sample.
type gaussian struct {
	layers [256]layer
	s      uint64 // standard deviation in lattice units
	r, w   uint64 // start and width of the staircase, in half units
	invS   float64
	low    [256]float64 // ordinates of the regions' lower edges and their heights
	height [256]float64
	exact  exactTable

	mostReject uint64 // the largest reject of all layers
	level      level
}

// layer is what the fast path reads of a region.
type layer struct {
	width  uint64 // W_i
	inner  uint64 // I_i: f(I_i) >= y_i, cells below are under f
	reject uint64 // (2^55 mod W_i) << 9: Lemire's bound for the low word
}

// fill writes len(dst) samples. The words consumed depend on the stream alone.
func (g *gaussian) fill(dst []int64, src *stream) {
	for len(dst) > 0 {
		if src.pos == len(src.buf) {
			src.refill()
		}
		b := src.buf[src.pos:]
		n := min(len(dst), len(b)/8)
		done, stopped := g.level.ziggurat(g, dst[:n], b[:8*n])
		if !stopped {
			done += g.run(dst[done:n], b[8*done:8*n])
		}
		src.pos += 8 * done
		dst = dst[done:]
		if done < n { // the next word needs the slow path
			w := src.next()
			dst[0] = g.resolve(w, src)
			dst = dst[1:]
		}
	}
}

// run is the fast path: one word a sample, stopping before the first word that it cannot
// turn into a sample alone.
func (g *gaussian) run(dst []int64, b []byte) int {
	for j := range dst {
		if len(b) < 8 {
			return j // cannot happen; it removes the bounds check
		}
		word := binary.LittleEndian.Uint64(b)
		b = b[8:]
		l := &g.layers[word&255]
		t, lo := bits.Mul64(word&^511, l.width)
		if t >= l.inner || lo < l.reject {
			return j
		}
		dst[j] = signed(t, word)
	}
	return len(dst)
}

// signed turns a cell of X into a signed lattice point; bit 8 of the word is the sign.
func signed(t, word uint64) int64 {
	z := int64((t + 1) >> 1)
	m := -int64(word >> 8 & 1)
	return (z ^ m) - m
}

// resolve finishes a sample that word could not decide.
func (g *gaussian) resolve(word uint64, src *stream) int64 {
	for {
		i := word & 255
		l := &g.layers[i]
		t, lo := bits.Mul64(word&^511, l.width)
		for lo < l.reject { // not uniform: draw t again, region and sign stay
			t, lo = bits.Mul64(src.next()&^511, l.width)
		}
		switch {
		case t < l.inner:
			return signed(t, word)
		case i == 0 && t >= g.r:
			if tail, ok := g.tail(src); ok {
				return signed(tail, word)
			}
		case g.under(t, pointAt{low: g.low[i], height: g.height[i], layer: int(i), halvings: -1}, src):
			return signed(t, word)
		}
		word = src.next()
	}
}

// maxHalvings bounds the staircase; a step beyond it has probability 2^-641.
const maxHalvings = 640

// tail draws a point of the staircase and reports whether it lies under f: step k with
// probability 2^-(k+1), which is its share of the area.
func (g *gaussian) tail(src *stream) (uint64, bool) {
	k := 0
	for {
		z := bits.TrailingZeros64(src.next())
		if k += z; z < 64 {
			break
		}
		if k > maxHalvings {
			return 0, false
		}
	}
	if k > maxHalvings {
		return 0, false
	}
	t := g.r + uint64(k)*g.w + below(g.w, src)
	return t, g.under(t, pointAt{height: math.Ldexp(g.height[0], -k), layer: 0, halvings: k}, src)
}

// below returns a uniform integer in [0, n) (Lemire 2019, exact).
func below(n uint64, src *stream) uint64 {
	hi, lo := bits.Mul64(src.next(), n)
	for reject := -n % n; lo < reject; {
		hi, lo = bits.Mul64(src.next(), n)
	}
	return hi
}

// pointAt says between which ordinates a point is uniform: [low, low+height).
type pointAt struct {
	low, height float64
	layer       int
	halvings    int // staircase step, -1 for a plain region
}

// under draws the ordinate y = low + V*height and the fraction phi of X = t + phi and
// reports whether y < f(X). float64 decides when the two differ by more than 2^-38
// relative (where f underflows to 0, y is larger or 0, and 0 goes on to the exact test): exp has an error below 2^-51 and its argument one below 2^-50 of
// itself, and f is 0 beyond 745, so the sum of all relative errors stays below 2^-40.
func (g *gaussian) under(t uint64, p pointAt, src *stream) bool {
	const unit = 0x1p-53
	v, phi := src.next()>>11, src.next()>>11
	y := p.low + (float64(v)*unit)*p.height
	x := (float64(t) + float64(phi)*unit) * g.invS
	f := math.Exp(-x * x / 2)
	if gap := 0x1p-38 * (y + f); math.Abs(y-f) > gap {
		return y < f
	}
	return g.exact.under(t, p, v, phi, src)
}
