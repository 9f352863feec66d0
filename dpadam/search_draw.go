package dpadam

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
)

// Draw draws K, the number of runs, from the operating system's random numbers. It is secret.
//
// K is the smallest k with F(k) > U, where F is the distribution function and U a number of 640
// random bits. F is summed up in 768-bit arithmetic from the ratios of successive
// probabilities, whose rounding errors stay below 2^-740 over the at most 2^23 terms, and the
// tail that is left out of the normalisation is below 2^-600: the total variation distance to
// the distribution that is accounted is below 2^-599, which doc.go's argument has room for.
func (s *SearchSpec) Draw() (int64, error) {
	if err := s.validateRuns(); err != nil {
		return 0, err
	}
	return s.draw(s.total(), rand.Reader)
}

const (
	drawBits      = 640
	drawPrecision = 768
	drawTail      = -600
)

// total is the sum of all weights.
func (s *SearchSpec) total() *big.Float {
	total := drawFloat()
	s.weights(func(_ int64, w *big.Float) bool { total.Add(total, w); return true })
	return total
}

func (s *SearchSpec) draw(total *big.Float, random io.Reader) (int64, error) {
	bytes := make([]byte, drawBits/8)
	if _, err := io.ReadFull(random, bytes); err != nil {
		return 0, fmt.Errorf("operating system's random numbers: %w", err)
	}
	u := drawFloat().SetInt(new(big.Int).SetBytes(bytes))
	u.SetMantExp(u, -drawBits)
	clear(bytes)
	u.Mul(u, total)
	sum, drawn := drawFloat(), int64(0)
	s.weights(func(k int64, w *big.Float) bool {
		sum.Add(sum, w)
		drawn = k
		return sum.Cmp(u) <= 0
	})
	return drawn, nil
}

func drawFloat() *big.Float { return new(big.Float).SetPrec(drawPrecision) }

// weights calls visit with every k and a number proportional to P[K = k], until visit returns
// false or what is left is below 2^-600 of what was visited. The ratios of successive ones are
//
//	(1-gamma)(k+eta)/(k+1)  (negative binomial, from k = 1; k/(k+1) of it for eta = 0),
//	mu/(k+1)                (Poisson, from k = 0),
//
// and from k on they are at most the larger of this ratio and of their limit, 1-gamma or 0.
func (s *SearchSpec) weights(visit func(k int64, w *big.Float) bool) {
	w, sum := drawFloat().SetInt64(1), drawFloat()
	k, limit := int64(0), drawFloat()
	if s.Distribution == SearchNegativeBinomial {
		k = 1
		limit.Sub(drawFloat().SetInt64(1), drawFloat().SetFloat64(s.Gamma))
	}
	eta, mean := drawFloat().SetFloat64(s.Shape), drawFloat().SetFloat64(s.Mean)
	one, ratio, rest := drawFloat().SetInt64(1), drawFloat(), drawFloat()
	for ; ; k++ {
		sum.Add(sum, w)
		if !visit(k, w) {
			return
		}
		if s.Distribution == SearchPoisson {
			ratio.Quo(mean, drawFloat().SetInt64(k+1))
		} else {
			ratio.Add(drawFloat().SetInt64(k), eta)
			ratio.Quo(ratio, drawFloat().SetInt64(k+1))
			ratio.Mul(ratio, limit)
		}
		w.Mul(w, ratio)
		bound := ratio
		if bound.Cmp(limit) < 0 {
			bound = limit
		}
		if bound.Cmp(one) >= 0 {
			continue
		}
		// What is left is at most w/(1-bound).
		rest.Quo(w, rest.Sub(one, bound))
		if rest.Sign() == 0 || rest.MantExp(nil)-sum.MantExp(nil) < drawTail-1 {
			return
		}
	}
}

// DrawCell draws a cell of the grid, uniformly.
func (s *SearchSpec) DrawCell() (int, error) {
	if s.Grid < 1 {
		return 0, invalid("cells of the search", s.Grid, "must be at least 1")
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(s.Grid)))
	if err != nil {
		return 0, fmt.Errorf("operating system's random numbers: %w", err)
	}
	return int(n.Int64()), nil
}
