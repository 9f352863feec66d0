//go:build race

package dpadam

// raceEnabled makes the statistical tests smaller under the race detector.
const raceEnabled = true
