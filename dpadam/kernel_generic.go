package dpadam

import "math"

// addRoundedGo is addRounded on a multiple of eight coordinates, in plain Go. Two halves of four
// lanes keep all sums in registers.
func addRoundedGo(k []int64, x []float32, factor, inv float64, lanes *[sumLanes]float64) {
	for half := 0; half < sumLanes; half += 4 {
		a, b, c, d := lanes[half], lanes[half+1], lanes[half+2], lanes[half+3]
		for i := half; i+4 <= len(x) && i+4 <= len(k); i += sumLanes {
			xs, ks := (*[4]float32)(x[i:]), (*[4]int64)(k[i:])
			v0, v1, v2, v3 := float64(xs[0])*factor, float64(xs[1])*factor, float64(xs[2])*factor, float64(xs[3])*factor
			a, b, c, d = a+float64(v0*v0), b+float64(v1*v1), c+float64(v2*v2), d+float64(v3*v3)
			ks[0] += int64(math.RoundToEven(v0 * inv))
			ks[1] += int64(math.RoundToEven(v1 * inv))
			ks[2] += int64(math.RoundToEven(v2 * inv))
			ks[3] += int64(math.RoundToEven(v3 * inv))
		}
		lanes[half], lanes[half+1], lanes[half+2], lanes[half+3] = a, b, c, d
	}
}

// addPlainGo is addPlain on a multiple of eight coordinates, in plain Go.
func addPlainGo(f []float64, x []float32, factor float64, lanes *[sumLanes]float64) {
	for half := 0; half < sumLanes; half += 4 {
		a, b, c, d := lanes[half], lanes[half+1], lanes[half+2], lanes[half+3]
		for i := half; i+4 <= len(x) && i+4 <= len(f); i += sumLanes {
			xs, fs := (*[4]float32)(x[i:]), (*[4]float64)(f[i:])
			v0, v1, v2, v3 := float64(xs[0])*factor, float64(xs[1])*factor, float64(xs[2])*factor, float64(xs[3])*factor
			a, b, c, d = a+float64(v0*v0), b+float64(v1*v1), c+float64(v2*v2), d+float64(v3*v3)
			fs[0], fs[1], fs[2], fs[3] = fs[0]+v0, fs[1]+v1, fs[2]+v2, fs[3]+v3
		}
		lanes[half], lanes[half+1], lanes[half+2], lanes[half+3] = a, b, c, d
	}
}
