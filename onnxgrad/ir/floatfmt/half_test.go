package floatfmt_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
)

// A half is a format of 16 bits with a number of fraction and exponent bits.
type half struct {
	name      string
	fraction  int
	exponent  int
	widen     func(uint16) float32
	round     func(float32) uint16
	infinity  uint16
	largest   float64
	halfULP   float64 // half the distance from the largest number to the next one above
	smallest  float64 // subnormal
	quietBits uint16
}

var halves = []half{
	{"float16", 10, 5, func(h uint16) float32 { return floatfmt.Float16(h).Float32() }, func(f float32) uint16 { return uint16(floatfmt.ToFloat16(f)) },
		0x7c00, 65504, 16, 0x1p-24, 0x200},
	{"bfloat16", 7, 8, func(h uint16) float32 { return floatfmt.BFloat16(h).Float32() }, func(f float32) uint16 { return uint16(floatfmt.ToBFloat16(f)) },
		0x7f80, 0x1.fep127, 0x1p119, 0x1p-133, 0x40},
}

// value is a number's definition in IEEE 754: (−1)^s · 1.f · 2^(e−bias), and for
// e = 0 (−1)^s · 0.f · 2^(1−bias).
func (h half) value(bits uint16) float64 {
	sign, e, f := float64(1), int(bits>>h.fraction)&(1<<h.exponent-1), float64(bits&(1<<h.fraction-1))
	if bits&0x8000 != 0 {
		sign = -1
	}
	bias, unit := 1<<(h.exponent-1)-1, math.Ldexp(1, -h.fraction)
	switch {
	case e == 1<<h.exponent-1 && f != 0:
		return math.NaN()
	case e == 1<<h.exponent-1:
		return math.Inf(int(sign))
	case e == 0:
		return math.Copysign(math.Ldexp(f*unit, 1-bias), sign)
	}
	return sign * math.Ldexp(1+f*unit, e-bias)
}

// All 65,536 values widen to their definition, and back to themselves.
func TestEveryValue(t *testing.T) {
	for _, h := range halves {
		for i := range 1 << 16 {
			bits := uint16(i)
			want, got := h.value(bits), h.widen(bits)
			if math.IsNaN(want) {
				back := h.round(got)
				if got == got || back&^(1<<h.fraction-1) != bits&^(1<<h.fraction-1) || back&h.quietBits == 0 {
					t.Fatalf("%s %04x: NaN widened to %v, back to %04x", h.name, bits, got, back)
				}
				continue
			}
			if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
				t.Fatalf("%s %04x: %v, want %v", h.name, bits, got, want)
			}
			if back := h.round(got); back != bits {
				t.Fatalf("%s %04x: back to %04x", h.name, bits, back)
			}
		}
	}
}

// Between two neighbours the nearer is taken, in the middle the even one, on the
// whole line and at its ends.
func TestRoundsToNearestEven(t *testing.T) {
	for _, h := range halves {
		for bits := range h.infinity {
			low := h.value(bits)
			high := h.value(bits + 1)
			if bits+1 == h.infinity {
				high = h.largest + 2*h.halfULP
			}
			middle := float32((low + high) / 2)
			even := bits + bits&1
			for _, c := range []struct {
				f    float32
				want uint16
			}{{math.Nextafter32(middle, 0), bits}, {middle, even}, {math.Nextafter32(middle, math.MaxFloat32), bits + 1}} {
				if middle == 0 || float64(middle) != (low+high)/2 { // no such float32 below bfloat16's subnormals
					continue
				}
				if got := h.round(c.f); got != c.want {
					t.Fatalf("%s: %x became %04x, want %04x", h.name, c.f, got, c.want)
				}
				if got := h.round(-c.f); got != c.want|0x8000 {
					t.Fatalf("%s: %x became %04x, want %04x", h.name, -c.f, got, c.want|0x8000)
				}
			}
		}
		if got := h.round(float32(h.smallest / 2)); got != 0 {
			t.Errorf("%s: half the smallest number became %04x, want 0 (even)", h.name, got)
		}
		if h.round(float32(math.Inf(1))) != h.infinity || h.round(float32(math.Inf(-1))) != h.infinity|0x8000 {
			t.Errorf("%s: infinity is not kept", h.name)
		}
	}
}

// Any float32 becomes the value that is nearest, found by exact arithmetic.
func TestNearestOfAll(t *testing.T) {
	for _, h := range halves {
		rapid.Check(t, func(rt *rapid.T) {
			f := math.Float32frombits(rapid.Uint32().Draw(rt, "bits"))
			if f != f || math.Abs(float64(f)) >= h.largest+h.halfULP {
				return
			}
			got := h.round(f)
			for _, other := range []uint16{got - 1, got + 1} {
				if v := h.value(other); !math.IsNaN(v) && !math.IsInf(v, 0) && distance(v, f).Cmp(distance(h.value(got), f)) < 0 {
					rt.Fatalf("%s: %x became %x; %x is nearer", h.name, f, h.value(got), v)
				}
			}
		})
	}
}

func distance(a float64, b float32) *big.Float {
	d := new(big.Float).SetPrec(600).SetFloat64(a)
	return d.Abs(d.Sub(d, big.NewFloat(float64(b))))
}
