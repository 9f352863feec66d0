package dpadam

import (
	"fmt"
	"math"
)

// noiseSearch finds the smallest noise multiplier whose bound is at most target. bound falls as sigma
// rises.
type noiseSearch struct {
	target   float64
	bound    func(sigma float64) (float64, error)
	estimate func(sigma float64) (float64, error) // nil, or cheap and close to the bound
}

// smallest returns it, rounded up to seven significant digits; 0 means that no noise multiplier within bounds is
// affordable.
func (s noiseSearch) smallest() (float64, error) {
	lo, hi, err := 0.5, 1.0, error(nil)
	if s.estimate != nil {
		rough := noiseSearch{target: s.target, bound: s.estimate}
		lo, hi, err = rough.bracket(lo, hi)
		if err == nil && hi != 0 {
			_, hi, err = rough.narrow(lo, hi, 1e-5)
		}
		lo, hi = hi*(1-1.1e-5), hi*(1+1e-4) // where the bound, a little larger, is to be expected
	}
	if err == nil && hi != 0 {
		lo, hi, err = s.bracket(lo, hi)
	}
	if err == nil && hi != 0 {
		_, hi, err = s.narrow(lo, hi, 2e-8)
	}
	if err != nil || hi == 0 {
		return 0, err
	}
	return s.settle(hi)
}

func (s noiseSearch) affordable(sigma float64) (bool, error) {
	eps, err := s.bound(sigma)
	return eps <= s.target, err
}

// bracket widens [lo, hi] until lo is not affordable, or the smallest noise multiplier there is, and hi
// is; hi = 0 if nothing is.
func (s noiseSearch) bracket(lo, hi float64) (float64, float64, error) {
	grow := math.Pow(hi/lo, 2)
	for {
		ok, err := s.affordable(hi)
		if err != nil {
			return 0, 0, err
		}
		if ok {
			break
		}
		if hi >= maxNoiseMultiplier {
			return 0, 0, nil
		}
		lo, hi, grow = hi, math.Min(hi*grow, maxNoiseMultiplier), math.Min(grow*grow, 16)
	}
	for grow = hi / lo; lo > minNoiseMultiplier; grow = math.Min(grow*grow, 4) {
		ok, err := s.affordable(lo)
		if err != nil {
			return 0, 0, err
		}
		if !ok {
			break
		}
		lo, hi = lo/grow, lo
	}
	return math.Max(lo, minNoiseMultiplier), hi, nil
}

// narrow shrinks a bracket to a relative width. Between two finite values log epsilon is almost linear in log
// sigma: the next point is where the line meets the target, moved a little to either side in turn
// so that both ends close in; a bisection whenever that did not halve the bracket.
func (s noiseSearch) narrow(lo, hi, width float64) (float64, float64, error) {
	atLo, err := s.bound(lo)
	if err != nil {
		return 0, 0, err
	}
	atHi, err := s.bound(hi)
	for err == nil && hi > lo*(1+width) {
		before := hi / lo
		mid := math.Sqrt(lo * hi)
		if t := math.Log(atLo/s.target) / math.Log(atLo/atHi); t > 0 && t < 1 {
			mid = lo * math.Pow(hi/lo, t)
		}
		for _, x := range []float64{mid * (1 + width/4), mid * (1 - width/4)} {
			if lo, hi, atLo, atHi, err = s.cut(lo, hi, atLo, atHi, x); err != nil {
				return 0, 0, err
			}
		}
		if math.Log(hi/lo) > math.Log(before)/2 {
			lo, hi, atLo, atHi, err = s.cut(lo, hi, atLo, atHi, math.Sqrt(lo*hi))
		}
	}
	return lo, hi, err
}

// cut evaluates x within the bracket and replaces the end on its side.
func (s noiseSearch) cut(lo, hi, atLo, atHi, x float64) (_, _, _, _ float64, err error) {
	if !(x > lo && x < hi) {
		return lo, hi, atLo, atHi, nil
	}
	at, err := s.bound(x)
	if at <= s.target {
		return lo, x, atLo, at, err
	}
	return x, hi, at, atHi, err
}

// settle rounds up to seven significant digits and checks the rounded value itself, which
// may need a little more where the bound's last digits are not monotone.
func (s noiseSearch) settle(sigma float64) (float64, error) {
	unit := math.Pow(10, math.Floor(math.Log10(sigma))-6)
	n := math.Ceil(sigma / unit)
	for range 100 {
		// The shortest decimal of n*unit reads back as the same float64.
		v := math.Min(decimal(n, unit), maxNoiseMultiplier)
		if v >= sigma {
			ok, err := s.affordable(v)
			if err != nil || ok {
				return v, err
			}
		}
		n++
	}
	return 0, fmt.Errorf("internal error: the bound is not monotone near sigma %v", sigma)
}

// decimal returns the float64 nearest to n*unit, unit a power of ten.
func decimal(n, unit float64) float64 {
	if unit < 1 {
		return n / math.Round(1/unit)
	}
	return n * unit
}
