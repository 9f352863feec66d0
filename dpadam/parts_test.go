package dpadam

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// A sum in parts leaves the accumulator as the whole vector does, wherever it is cut
// and whatever zeros are left out.
func TestAddParts(t *testing.T) {
	const d = 3*updateStretch + 17
	p := noisePlan(t, d, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		sum := make([]float32, d)
		var parts []Part
		for at := 0; at < d; {
			n := min(1+rng.IntN(d/3), d-at)
			if rng.IntN(3) > 0 {
				for i := range n {
					sum[at+i] = float32(rng.NormFloat64()) * 1e-5
				}
				parts = append(parts, Part{at, slices.Clone(sum[at : at+n])})
			}
			at += n
		}
		whole, cut := NewAccumulator(p), NewAccumulator(p)
		if err := whole.Add(sum, 2); err != nil {
			t.Fatal(err)
		}
		if err := cut.AddParts(parts, 2); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(whole.k, cut.k) || whole.records != cut.records || whole.microbatches != cut.microbatches {
			t.Fatalf("%d parts: not what the whole vector gives", len(parts))
		}
	}
}

// A coordinate in two parts would be rounded twice; and the norm is that of all parts
// together.
func TestAddPartsRefused(t *testing.T) {
	one := func(at, n int, v float32) Part { return Part{at, slices.Repeat([]float32{v}, n)} }
	for name, c := range map[string]struct {
		parts []Part
		want  error
	}{
		"overlap":    {[]Part{one(0, 3, 0), one(2, 1, 0)}, ErrMisuse},
		"order":      {[]Part{one(4, 1, 0), one(0, 1, 0)}, ErrMisuse},
		"beyond":     {[]Part{one(30, 3, 0)}, ErrMisuse},
		"far beyond": {[]Part{one(1<<40, 1, 0)}, ErrMisuse},
		"negative":   {[]Part{one(-1, 1, 0)}, ErrMisuse},
		"together":   {[]Part{one(0, 1, 0.08), one(9, 1, 0.08)}, ErrSensitivity}, // of norm 0.113 > C = 0.1
		"nothing":    {nil, nil},
		"fits":       {[]Part{one(0, 1, 0.07), one(31, 1, 0.07)}, nil},
	} {
		a := NewAccumulator(noisePlan(t, 32, nil))
		if err := a.AddParts(c.parts, 1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want != nil && a.AddParts(nil, 0) == nil {
			t.Errorf("%s: the step goes on after the error", name)
		}
	}
}
