//go:build slow

package dpadam

// slowSamples is what every statistical test of the noise draws in `make slow-test`.
const slowSamples = 1_000_000_000
