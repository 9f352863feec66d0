package dpadam

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
)

const (
	// exactBits is the working precision of everything that float64 cannot decide.
	exactBits = 768
	// extraWords extend a 53-bit fraction where float64 cannot decide: 693 bits in all.
	extraWords = 10
)

// exactTable holds the ordinates of the ziggurat as rationals rounded to exactBits; their
// relative error is below 2^-750.
type exactTable struct {
	twoS2  *big.Float // 2*S^2
	low    [256]*big.Float
	height [256]*big.Float
}

// under continues gaussian.under: the 53 bits of V and phi are extended by 640 more each, and
// y is compared with f in 768 bits. With real V and phi instead of 693 bits of them, y would
// differ by less than 2^-693 of the region's height and f by less than 2^-690 of it (its slope
// is below 1/S, a height above 2^-11), and the computation is exact to 2^-700: the decision
// is wrong with a probability below 2^-680.
func (e *exactTable) under(t uint64, p pointAt, v53, phi53 uint64, src *stream) bool {
	v, phi := extend(v53, src), extend(phi53, src)
	y := newFloat().Mul(v, e.height[p.layer])
	if p.halvings >= 0 {
		y.SetMantExp(y, -p.halvings)
	} else {
		y.Add(y, e.low[p.layer])
	}
	x := newFloat().SetUint64(t)
	x.Add(x, phi)
	return y.Cmp(e.density(x)) < 0
}

// density returns f(x) = exp(-x^2/2S^2).
func (e *exactTable) density(x *big.Float) *big.Float {
	a := newFloat().Mul(x, x)
	return expNeg(a.Quo(a, e.twoS2))
}

func newFloat() *big.Float { return new(big.Float).SetPrec(exactBits) }

// extend returns (v53 + U)/2^53 with 64*extraWords further bits U.
func extend(v53 uint64, src *stream) *big.Float {
	var b [8 + 8*extraWords]byte
	binary.BigEndian.PutUint64(b[:], v53)
	for k := 8; k < len(b); k += 8 {
		binary.BigEndian.PutUint64(b[k:], src.next())
	}
	x := newFloat().SetInt(new(big.Int).SetBytes(b[:]))
	return x.SetMantExp(x, -53-64*extraWords)
}

// expNeg returns e^-a for 0 <= a <= 2^20, to a relative error below 2^-720: the argument is
// halved until it is below 2^-12, the Taylor series is summed, the result squared back
// (each squaring doubles the error: at most 33 of them).
func expNeg(a *big.Float) *big.Float {
	if a.Sign() == 0 {
		return newFloat().SetInt64(1)
	}
	y := newFloat().Neg(a)
	squarings := max(0, y.MantExp(nil)+12)
	y.SetMantExp(y, -squarings)
	sum, term := newFloat().SetInt64(1), newFloat().SetInt64(1)
	for n := int64(1); ; n++ {
		term.Mul(term, y)
		term.Quo(term, newFloat().SetInt64(n))
		if term.Sign() == 0 || term.MantExp(nil) < -exactBits-8 {
			break
		}
		sum.Add(sum, term)
	}
	for range squarings {
		sum.Mul(sum, sum)
	}
	return sum
}

// prepare computes the exact ordinates from the integer widths and the float64 y_0 (itself
// a rational) and checks the cover:
//
//	f(r) <= y_0 and r*w >= S^2 log 2     the staircase covers the tail, because
//	                                     f(r+kw) <= f(r) e^(-r k w/S^2) <= y_0 2^-k
//	f(W_i) <= y_{i-1}                    region i is wide enough
//	f(I_i) >= y_i                        cells below I_i are under f
//	y_255 >= 1 = f(0)                    the cover reaches the top
//
// An error here is a defect of the construction; no sample is drawn from a table that
// fails it.
func (g *gaussian) prepare(y0 float64) error {
	e := &g.exact
	s := newFloat().SetUint64(2 * g.s)
	e.twoS2 = newFloat().Mul(s, s)
	e.twoS2.Mul(e.twoS2, newFloat().SetInt64(2))
	area := newFloat().Mul(newFloat().SetFloat64(y0), newFloat().SetUint64(g.layers[0].width))
	top := newFloat()
	for i := range g.layers {
		e.low[i] = newFloat().Set(top)
		e.height[i] = newFloat().Quo(area, newFloat().SetUint64(g.layers[i].width))
		if i == 0 {
			e.height[0].SetFloat64(y0)
		}
		top.Add(e.low[i], e.height[i])
		g.low[i], _ = e.low[i].Float64()
		g.height[i], _ = e.height[i].Float64()
		if err := g.checkLayer(i, top); err != nil {
			return err
		}
	}
	if top.Cmp(newFloat().SetInt64(1)) < 0 {
		return fmt.Errorf("ziggurat for s = %d: the cover ends below the top", g.s)
	}
	return g.checkTail()
}

func (g *gaussian) checkLayer(i int, top *big.Float) error {
	at := func(x uint64) *big.Float { return g.exact.density(newFloat().SetUint64(x)) }
	edge, below := g.layers[i].width, g.exact.low[i]
	if i == 0 {
		edge, below = g.r, g.exact.height[0]
	}
	if at(edge).Cmp(below) > 0 {
		return fmt.Errorf("ziggurat for s = %d: region %d is too narrow", g.s, i)
	}
	if inner := g.layers[i].inner; inner > 0 && at(inner).Cmp(top) < 0 {
		return fmt.Errorf("ziggurat for s = %d: inner bound of region %d is too wide", g.s, i)
	}
	return nil
}

func (g *gaussian) checkTail() error {
	rw := newFloat().Mul(newFloat().SetUint64(g.r), newFloat().SetUint64(g.w))
	ln2 := newFloat().SetFloat64(math.Nextafter(math.Ln2, 1)) // above log 2
	need := newFloat().Mul(g.exact.twoS2, ln2)
	if rw.Add(rw, rw).Cmp(need) < 0 { // 2rw >= 2S^2 log 2
		return fmt.Errorf("ziggurat for s = %d: the staircase is too steep", g.s)
	}
	return nil
}
