//go:build !slow

package dpadam

// slowSamples is the number of samples of `make slow-test`; 0 means the fast one of each test.
const slowSamples = 0
