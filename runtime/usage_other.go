//go:build !unix

package runtime

// processSeconds is not read on this system.
func processSeconds() float64 { return 0 }

// largestResident is not read on this system.
func largestResident() int64 { return 0 }
