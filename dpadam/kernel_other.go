//go:build !amd64

package dpadam

// bestLevel is the best level of this machine.
func bestLevel() level { return levelGo }

func (level) addRoundedBlocks(k []int64, x []float32, factor, inv float64, lanes *[sumLanes]float64) {
	addRoundedGo(k, x, factor, inv, lanes)
}

func (level) addPlainBlocks(f []float64, x []float32, factor float64, lanes *[sumLanes]float64) {
	addPlainGo(f, x, factor, lanes)
}

// Without vector units the callers take plain Go for all coordinates, and these none.

func (level) releaseBlocks(out []float32, k, z []int64, scale float64) {}
func (level) adamBlocks(s *adamStep, p, sum, m, v []float32)           {}
func (level) sgdBlocks(s *sgdStep, p, sum, momentum []float32)         {}
func (level) mixBlocks(a, w []float32, share float32)                  {}

// ziggurat decides no word: gaussian.run goes over all.
func (level) ziggurat(g *gaussian, dst []int64, words []byte) (done int, stopped bool) {
	return 0, false
}
