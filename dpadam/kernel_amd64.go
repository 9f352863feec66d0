package dpadam

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// bestLevel is the best level of this machine: what the processor has and the operating system
// saves.
func bestLevel() level {
	switch x := &cpu.X86; {
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX2:
		return levelAVX512
	case x.HasAVX2:
		return levelAVX2
	}
	return levelGo
}

// The assembly takes addresses and a count, above 0 and a multiple of 8 (16 where all is float32).

//go:noescape
func addRoundedAVX2(k *int64, x *float32, n int, factor, inv float64, lanes *[sumLanes]float64)

//go:noescape
func addRoundedAVX512(k *int64, x *float32, n int, factor, inv float64, lanes *[sumLanes]float64)

func (l level) addRoundedBlocks(k []int64, x []float32, factor, inv float64, lanes *[sumLanes]float64) {
	switch l {
	case levelAVX512:
		addRoundedAVX512(&k[0], &x[0], len(x), factor, inv, lanes)
	case levelAVX2:
		addRoundedAVX2(&k[0], &x[0], len(x), factor, inv, lanes)
	default:
		addRoundedGo(k, x, factor, inv, lanes)
	}
}

//go:noescape
func addPlainAVX2(f *float64, x *float32, n int, factor float64, lanes *[sumLanes]float64)

//go:noescape
func addPlainAVX512(f *float64, x *float32, n int, factor float64, lanes *[sumLanes]float64)

func (l level) addPlainBlocks(f []float64, x []float32, factor float64, lanes *[sumLanes]float64) {
	switch l {
	case levelAVX512:
		addPlainAVX512(&f[0], &x[0], len(x), factor, lanes)
	case levelAVX2:
		addPlainAVX2(&f[0], &x[0], len(x), factor, lanes)
	default:
		addPlainGo(f, x, factor, lanes)
	}
}

//go:noescape
func releaseAVX2(out *float32, k, z *int64, n int, scale float64)

//go:noescape
func releaseAVX512(out *float32, k, z *int64, n int, scale float64)

func (l level) releaseBlocks(out []float32, k, z []int64, scale float64) {
	if l == levelAVX512 {
		releaseAVX512(&out[0], &k[0], &z[0], len(out), scale)
	} else {
		releaseAVX2(&out[0], &k[0], &z[0], len(out), scale)
	}
}

//go:noescape
func adamAVX2(s *adamStep, p, sum, m, v *float32, n int)

//go:noescape
func adamAVX512(s *adamStep, p, sum, m, v *float32, n int)

func (l level) adamBlocks(s *adamStep, p, sum, m, v []float32) {
	if l == levelAVX512 {
		adamAVX512(s, &p[0], &sum[0], &m[0], &v[0], len(p))
	} else {
		adamAVX2(s, &p[0], &sum[0], &m[0], &v[0], len(p))
	}
}

//go:noescape
func sgdAVX2(s *sgdStep, p, sum, momentum *float32, n int)

//go:noescape
func sgdAVX512(s *sgdStep, p, sum, momentum *float32, n int)

func (l level) sgdBlocks(s *sgdStep, p, sum, momentum []float32) {
	if l == levelAVX512 {
		sgdAVX512(s, &p[0], &sum[0], unsafe.SliceData(momentum), len(p))
	} else {
		sgdAVX2(s, &p[0], &sum[0], unsafe.SliceData(momentum), len(p))
	}
}

//go:noescape
func mixAVX2(a, w *float32, n int, share float32)

//go:noescape
func mixAVX512(a, w *float32, n int, share float32)

func (l level) mixBlocks(a, w []float32, share float32) {
	if l == levelAVX512 {
		mixAVX512(&a[0], &w[0], len(a), share)
	} else {
		mixAVX2(&a[0], &w[0], len(a), share)
	}
}

//go:noescape
func zigguratAVX512(dst *int64, words *byte, n int, layers *layer, reject uint64) int

// ziggurat turns words into samples as gaussian.run does, eight at a time, and returns how many it
// made: all of the largest multiple of eight or, stopped, those before the first word that it can't
// decide. AVX2 has no gain over plain Go, which multiplies 64 bits at once.
func (l level) ziggurat(g *gaussian, dst []int64, words []byte) (done int, stopped bool) {
	n := min(len(dst), len(words)/8) &^ 7
	if l < levelAVX512 || n == 0 {
		return 0, false
	}
	done = zigguratAVX512(&dst[0], &words[0], n, &g.layers[0], g.mostReject)
	return done, done < n
}
