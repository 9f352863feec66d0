package audit

import "math"

// Noise compares what the steps added to the sums with the noise that they claim. It needs no
// guesses: whoever knows the gradients sees the noise itself.
type Noise struct {
	Ratio   float64 `json:"ratio"`   // standard deviation, over the claimed one
	Small   float64 `json:"small"`   // p-value of a variance so small, under the claimed one
	Missing int     `json:"missing"` // releases of a coordinate without any noise
	Drawn   int     `json:"drawn"`   // releases of a coordinate
}

// A NoiseMeter compares noise with what it should be. The zero value is ready.
type NoiseMeter struct {
	square     float64
	n, missing int
}

// Add takes the noise of one release of one coordinate, and the standard deviation that it claims.
func (m *NoiseMeter) Add(noise, sd float64) {
	if noise == 0 {
		m.missing++
	}
	m.n++
	m.square += noise * noise / (sd * sd)
}

// Result gives the comparison; the variance's p-value is the normal approximation of chi-square with n
// degrees of freedom, mean n and variance 2n.
func (m *NoiseMeter) Result() Noise {
	if m.n == 0 {
		return Noise{Small: 1}
	}
	n := float64(m.n)
	return Noise{Ratio: math.Sqrt(m.square / n), Small: phi((m.square - n) / math.Sqrt(2*n)), Missing: m.missing, Drawn: m.n}
}
