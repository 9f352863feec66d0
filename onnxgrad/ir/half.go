package ir

import "math"

// HalfToFloat32 widens an IEEE 754 binary16 number; the result is exact.
func HalfToFloat32(h uint16) float32 {
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

// Float32ToHalf rounds to the nearest binary16, ties to even. A finite number
// beyond 65,504 becomes infinity; checkFloats refuses that case.
func Float32ToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN stays NaN
		return sign | 0x7e00
	case abs >= 0x477ff000: // ≥ 65520 rounds to infinity
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^−14: subnormal, in units of 2^−24
		v := math.RoundToEven(float64(math.Float32frombits(abs)) * (1 << 24))
		return sign | uint16(v)
	}
	rounded := abs + 0xfff + (abs>>13)&1
	return sign | uint16((rounded-0x38000000)>>13)
}

// Float32ToBFloat16 rounds to the nearest bfloat16, ties to even.
func Float32ToBFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + (bits>>16)&1) >> 16)
}
