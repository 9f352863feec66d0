package floatfmt

import "math"

// A Float16 is the bits of an IEEE 754 binary16 number: sign, 5 bits of
// exponent, 10 of fraction.
type Float16 uint16

// A BFloat16 is the bits of a bfloat16 number: the upper half of a float32.
type BFloat16 uint16

// Float32 widens h; the result is exact. A NaN keeps its sign and payload.
func (h Float16) Float32() float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10)&0x1f, uint32(h&0x3ff)
	switch {
	case exp == 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp == 0: // zero and subnormals: frac · 2^−24
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// ToFloat16 rounds to the nearest binary16, ties to even. A finite number of
// 65,520 or more becomes infinity (CheckFits refuses that case); NaN becomes the
// quiet NaN of its sign.
func ToFloat16(f float32) Float16 {
	bits := math.Float32bits(f)
	sign := Float16(bits>>16) & 0x8000
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN stays NaN
		return sign | 0x7e00
	case abs >= 0x477ff000: // ≥ 65520 rounds to infinity
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^−14: subnormal, in units of 2^−24
		v := math.RoundToEven(float64(math.Float32frombits(abs)) * (1 << 24))
		return sign | Float16(v)
	}
	rounded := abs + 0xfff + (abs>>13)&1
	return sign | Float16((rounded-0x38000000)>>13)
}

// Float32 widens b; the result is exact. A NaN keeps its sign and payload.
func (b BFloat16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }

// ToBFloat16 rounds to the nearest bfloat16, ties to even. A finite number that
// rounds beyond the largest becomes infinity; NaN stays NaN and becomes quiet.
func ToBFloat16(f float32) BFloat16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return BFloat16(bits>>16) | 0x40
	}
	return BFloat16((bits + 0x7fff + (bits>>16)&1) >> 16)
}
