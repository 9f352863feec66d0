//go:build !race

package dpadam

const raceEnabled = false
