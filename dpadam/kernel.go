package dpadam

import "math"

// The inner loops over coordinates are written three times: in plain Go, which every machine runs,
// and for the vector units AVX2 and AVX-512. All give the same bits (of a NaN only that it is one):
// they round every product and every sum where plain Go does and fuse none, and where values are
// summed over coordinates the order is part of the definition (addRounded). So a run's numbers do
// not depend on the machine, and what doc.go proves of one holds for all.
//
// The functions here work on slices: of a whole vector, a stretch that one goroutine takes, or the
// part of a vector that one of several machines holds.

// level is a set of instructions. A machine has all levels up to bestLevel.
type level int

const (
	levelGo level = iota
	levelAVX2
	levelAVX512
)

// String is the level's name.
func (l level) String() string { return [...]string{"go", "avx2", "avx512"}[l] }

const (
	// sumLanes is the number of partial sums of addRounded and addPlain: lane j takes the
	// coordinates j, j+8, j+16, ...
	sumLanes = 8
	// floatLanes is the number of coordinates that an assembly loop over float32 takes at a time.
	floatLanes = 16
)

// addRounded rounds and adds a microbatch's sum, and returns its squared norm:
//
//	v_i = factor x_i,  k_i += RoundToEven(inv v_i),  sum_i v_i^2,
//
// everything in float64. Eight lanes are summed apart and then in pairs, half against half; the
// coordinates after the last multiple of eight are added one by one.
func (l level) addRounded(k []int64, x []float32, factor, inv float64) float64 {
	var lanes [sumLanes]float64
	k = k[:len(x)]
	n := len(x) &^ (sumLanes - 1)
	if n > 0 {
		l.addRoundedBlocks(k[:n], x[:n], factor, inv, &lanes)
	}
	sum := foldLanes(&lanes)
	for i := n; i < len(x); i++ {
		v := float64(x[i]) * factor
		sum += float64(v * v)
		k[i] += int64(math.RoundToEven(v * inv))
	}
	return sum
}

// addPlain is addRounded without the rounding: f_i += factor x_i.
func (l level) addPlain(f []float64, x []float32, factor float64) float64 {
	var lanes [sumLanes]float64
	f = f[:len(x)]
	n := len(x) &^ (sumLanes - 1)
	if n > 0 {
		l.addPlainBlocks(f[:n], x[:n], factor, &lanes)
	}
	sum := foldLanes(&lanes)
	for i := n; i < len(x); i++ {
		v := float64(x[i]) * factor
		sum += float64(v * v)
		f[i] += v
	}
	return sum
}

func foldLanes(l *[sumLanes]float64) float64 {
	a, b, c, d := l[0]+l[4], l[1]+l[5], l[2]+l[6], l[3]+l[7]
	return (a + c) + (b + d)
}

// release writes what leaves the lattice and empties it:
//
//	out_i = float32(scale (k_i + z_i)),  k_i = 0.
func (l level) release(out []float32, k, z []int64, scale float64) {
	k, z = k[:len(out)], z[:len(out)]
	n := 0
	if l > levelGo {
		if n = len(out) &^ (sumLanes - 1); n > 0 {
			l.releaseBlocks(out[:n], k[:n], z[:n], scale)
		}
	}
	for i := n; i < len(out); i++ {
		out[i] = float32(scale * float64(k[i]+z[i]))
		k[i] = 0
	}
}

// adam applies one update of Adam to a stretch of coordinates (adamStep.apply).
func (l level) adam(s *adamStep, p, sum, m, v []float32) {
	sum, m, v = sum[:len(p)], m[:len(p)], v[:len(p)]
	n := 0
	if l > levelGo {
		if n = len(p) &^ (floatLanes - 1); n > 0 {
			l.adamBlocks(s, p[:n], sum[:n], m[:n], v[:n])
		}
	}
	s.apply(p[n:], sum[n:], m[n:], v[n:])
}

// sgd applies one update of SGD to a stretch of coordinates (sgdStep.apply); momentum is nil for
// none.
func (l level) sgd(s *sgdStep, p, sum, momentum []float32) {
	sum = sum[:len(p)]
	n := 0
	if l > levelGo {
		n = len(p) &^ (floatLanes - 1)
	}
	if momentum == nil {
		if n > 0 {
			l.sgdBlocks(s, p[:n], sum[:n], nil)
		}
		s.apply(p[n:], sum[n:], nil)
		return
	}
	momentum = momentum[:len(p)]
	if n > 0 {
		l.sgdBlocks(s, p[:n], sum[:n], momentum[:n])
	}
	s.apply(p[n:], sum[n:], momentum[n:])
}

// mix moves an average towards the weights: a_i += share (w_i - a_i).
func (l level) mix(a, w []float32, share float32) {
	w = w[:len(a)]
	n := 0
	if l > levelGo {
		if n = len(a) &^ (floatLanes - 1); n > 0 {
			l.mixBlocks(a[:n], w[:n], share)
		}
	}
	for i := n; i < len(a); i++ {
		a[i] += float32(share * (w[i] - a[i]))
	}
}
