package dpadam

import (
	"fmt"
	"math"
)

// Bounds of the standard deviation in lattice units. Widths are at most about 8*s half
// units and must stay below 2^55; below 1024 only the tests of the distribution go.
const (
	maxLatticeSigma = uint64(1) << 48
	// maxNoiseSigmas bounds |Z|/s for s >= 1024: the staircase ends at
	// r + 641 w < 128 S half units (checked when the table is made).
	maxNoiseSigmas = 128
)

// newGaussian returns a sampler of round(N(0, s^2)).
func newGaussian(s uint64) (*gaussian, error) {
	if s < 1 || s > maxLatticeSigma {
		return nil, invalid("standard deviation in lattice units", s, fmt.Sprintf("must be in [1, %d]", maxLatticeSigma))
	}
	g := &gaussian{s: s, invS: 1 / (2 * float64(s)), level: bestLevel()}
	// The smallest y_0 whose cover reaches the top: larger ones only waste samples.
	lo, hi := 0.0, 0.5
	for range 80 {
		mid := (lo + hi) / 2
		if g.build(mid) >= 1+0x1p-40 {
			hi = mid
		} else {
			lo = mid
		}
	}
	g.build(hi)
	if err := g.prepare(hi); err != nil {
		return nil, err
	}
	if s >= 1024 && g.r+(maxHalvings+1)*g.w >= maxNoiseSigmas*2*s {
		return nil, fmt.Errorf("ziggurat for s = %d: the tail is too long", s)
	}
	for i := range g.layers {
		w := g.layers[i].width
		g.layers[i].reject = ((1 << 55) % w) << 9
		g.mostReject = max(g.mostReject, g.layers[i].reject)
	}
	return g, nil
}

// build lays out the cover for y_0 and returns its height. Abscissas are moved outward
// (W, r) or inward (I) by 2^-40 relative, more than float64's error in them.
func (g *gaussian) build(y0 float64) float64 {
	s := 2 * float64(g.s)
	inverse := func(y float64) float64 { // f^-1
		if y >= 1 {
			return 0
		}
		return s * math.Sqrt(-2*math.Log(y))
	}
	outward := func(x float64) uint64 { return max(1, uint64(math.Ceil(x*(1+0x1p-40)))) }
	inward := func(x float64) uint64 { return uint64(math.Floor(x * (1 - 0x1p-40))) }
	g.r = outward(inverse(y0))
	g.w = outward(s * s * math.Ln2 / float64(g.r))
	g.layers[0] = layer{width: g.r + 2*g.w, inner: inward(inverse(y0))}
	area, y := y0*float64(g.layers[0].width), y0
	for i := 1; i < len(g.layers); i++ {
		w := outward(inverse(y))
		y += area / float64(w)
		g.layers[i] = layer{width: w, inner: inward(inverse(y))}
	}
	return y
}
